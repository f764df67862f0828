//! Pictures, for models that read them.

/// A PNG file of random dots, the same of the same number.
pub fn picture(width: u32, height: u32, number: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    let mut dot = number.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        dot ^= dot << 13;
        dot ^= dot >> 17;
        dot ^= dot << 5;
        (dot >> 24) as u8
    };
    for _ in 0..height {
        // Each row as it is.
        rows.extend([0]);
        rows.extend((0..3 * width).map(|_| next()));
    }
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &head);
    chunk(&mut out, b"IDAT", &stored(&rows));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend(kind);
    out.extend(data);
    out.extend(crc32(&out[from..]).to_be_bytes());
}

/// In the format of zlib, and not compressed.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(blocks.peek().is_none().into());
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let add = |(a, b): (u32, u32), byte: &u8| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    };
    let (a, b) = bytes.iter().fold((1, 0), add);
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// The checksum of a chunk.
pub fn crc32(bytes: &[u8]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, byte)
}
