//! Wraps a body as gzip (RFC 1952) without compressing it: deflate's stored blocks, so that no compressor is needed.

use bytes::Bytes;

/// The most that a stored block holds.
const BLOCK: usize = 0xffff;

/// A gzip member that unpacks to `body`.
pub(crate) fn stored(body: &[u8]) -> Bytes {
    // Deflate, no name, no time, unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = body.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32fast::hash(body).to_le_bytes());
    out.extend((body.len() as u32).to_le_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapping_is_what_gzip_writes_for_a_stored_block() {
        // `python3 -c "import gzip; print(gzip.compress(b'hello', 0, mtime=0).hex())"`, but for the two bytes that name
        // the compression level and the system.
        let expected = "1f8b08000000000000ff010500faff68656c6c6f86a6103605000000";
        let hex: String = stored(b"hello").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_body_longer_than_a_block_has_one_last_block() {
        let long = vec![7; BLOCK + 1];
        let wrapped = stored(&long);
        assert_eq!((wrapped[10], wrapped[10 + 5 + BLOCK]), (0, 1));
        assert_eq!(wrapped.len(), 10 + 2 * 5 + long.len() + 8);
    }
}
