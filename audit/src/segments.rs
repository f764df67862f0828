//! The records of a ledger as they lie in its segments.
//!
//! A segment is called after the number of its first record (20 digits, `.log`) and begins with 24 bytes: `PMLEDGER`, the version
//! 1 and that number (little endian), and the CRC-32 of those. Frames follow: length, CRC-32, eight bytes that say how many
//! records were durable when the frame was written, and as many bytes of JSON as the length says; a length of 0 is a mark without a
//! record. The sum is over length, durable count and bytes. Zeros after the last frame are room that was made.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

/// The largest record.
const MOST_BYTES: usize = 1 << 20;

/// How the records of a ledger end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Cleanly.
    Whole,
    /// In something that is no frame, in the newest segment: a crash may have left it.
    Torn,
}

/// Why the records cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// The file system.
    Io(io::Error),
    /// No crash leaves this behind.
    Altered(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Gives each record of a ledger's folder to `each`, in order, with its number.
///
/// # Errors
/// Where a segment is missing or is none, a frame is broken before the newest segment, or a file cannot be read.
pub fn records(folder: &Path, mut each: impl FnMut(u64, &[u8])) -> Result<End, Broken> {
    let mut firsts: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 20);
        firsts.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    let mut number = 0;
    for (at, first) in firsts.iter().enumerate() {
        if *first != number {
            return Err(Broken::Altered(format!("records from {number} on are missing: no segment begins there")));
        }
        let end = segment(folder, *first, &mut number, &mut each)?;
        if end == End::Torn && at + 1 < firsts.len() {
            return Err(Broken::Altered(format!("record {number} is broken, and a later segment proves it was whole")));
        }
        if end == End::Torn {
            return Ok(End::Torn);
        }
    }
    Ok(End::Whole)
}

fn segment(folder: &Path, first: u64, number: &mut u64, each: &mut impl FnMut(u64, &[u8])) -> Result<End, Broken> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(folder.join(format!("{first:020}.log")))?);
    let mut header = [0; 24];
    let got = full(&mut file, &mut header)?;
    let sum = u32::from_le_bytes([header[20], header[21], header[22], header[23]]);
    let is_header = header[..12] == *b"PMLEDGER\x01\0\0\0" && header[12..20] == first.to_le_bytes();
    if !is_header || sum != crc32fast::hash(&header[..20]) {
        // A segment whose making was cut short holds nothing.
        return match got < header.len() || header[8..] == [0; 16] {
            true => Ok(End::Torn),
            false => Err(Broken::Altered(format!("the segment of record {first} does not begin as one"))),
        };
    }
    let mut body = Vec::new();
    loop {
        let mut frame = [0; 16];
        match full(&mut file, &mut frame)? {
            0 => return Ok(End::Whole),
            16 if frame != [0; 16] => {}
            _ => return rest(&mut file, &frame),
        }
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        if length > MOST_BYTES {
            return Ok(End::Torn);
        }
        body.resize(length, 0);
        let got = full(&mut file, &mut body)?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&frame[..4]);
        sum.update(&frame[8..]);
        sum.update(&body);
        if got < length || sum.finalize().to_le_bytes() != frame[4..8] {
            return Ok(End::Torn);
        }
        if length > 0 {
            each(*number, &body);
            *number += 1;
        }
    }
}

/// Where no frame begins: room, or something that is torn.
fn rest(file: &mut impl Read, frame: &[u8; 16]) -> Result<End, Broken> {
    let mut chunk = vec![0; 64 << 10];
    let mut is_room = *frame == [0; 16];
    loop {
        let got = full(file, &mut chunk)?;
        is_room &= chunk[..got].iter().all(|byte| *byte == 0);
        if got < chunk.len() {
            return Ok(if is_room { End::Whole } else { End::Torn });
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
