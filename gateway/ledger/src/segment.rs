//! Segment files: their names, their headers, and how one comes into being.
//!
//! A segment is called after its first record (`00000000000000004096.log`), so that the names alone give the order
//! and a missing file is noticed. It begins with a header:
//!
//! ```text
//! magic 8 bytes | version u32 | first record u64 | crc32 u32          (little endian)
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    frame::read_full,
    storage::{self, Output},
};

/// Bytes of a segment before its first frame.
pub(crate) const HEADER_BYTES: usize = 24;

const MAGIC: [u8; 8] = *b"PMLEDGER";
const VERSION: u32 = 1;

/// The path of the segment that begins with record `first`.
pub(crate) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The first records of all segments in `dir`, in order. Other files are not ours and are left alone.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 20);
        found.extend(first.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Creates the segment that begins with record `first` and makes its existence durable.
pub(crate) fn create(dir: &Path, first: u64) -> io::Result<Output> {
    let mut file = Output::create(&path(dir, first))?;
    file.write(&header(first))?;
    file.sync()?;
    storage::sync_folder(dir)?;
    Ok(file)
}

/// What the header of a segment says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is the header of the segment that begins with the record asked for.
    Good,
    /// The file holds nothing but a part of a header: its creation was cut short, so it never held a record.
    Unfinished,
    /// A format of another version of Pointsman.
    Version(u32),
    /// Not a header of this segment.
    Bad,
}

/// Reads and checks the header of the segment that begins with record `first`.
pub(crate) fn check(file: &mut File, first: u64) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    let got = read_full(file, &mut bytes)?;
    if got == HEADER_BYTES && bytes == header(first) {
        return Ok(Header::Good);
    }
    if file.metadata()?.len() <= HEADER_BYTES as u64 && is_partly(&bytes[..got], &header(first)) {
        return Ok(Header::Unfinished);
    }
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let version = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    Ok(if magic == MAGIC && version != VERSION { Header::Version(version) } else { Header::Bad })
}

/// Whether `got` is what a cut-short write of `whole` leaves: each byte written, or still zero.
fn is_partly(got: &[u8], whole: &[u8]) -> bool {
    got.iter().zip(whole).all(|(got, whole)| *got == 0 || got == whole)
}

fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
