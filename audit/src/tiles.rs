//! The hashes of records as a log keeps them in tiles (c2sp.org/tlog-tiles), which stay when records are pruned.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::tree::Hash;

/// Hashes of a whole tile.
const WIDTH: u64 = 256;

/// Which record is the first that a ledger kept; 0 where none was pruned. `None` where the file that says so is not one.
///
/// # Errors
/// It cannot be read.
pub fn pruned(folder: &Path) -> io::Result<Option<u64>> {
    match fs::read(folder.join("tlog/pruned")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(0)),
        Err(error) => Err(error),
        Ok(bytes) => {
            let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
            Ok(number)
        }
    }
}

/// The hashes of the first `count` records; fewer where a tile is not there or not whole.
///
/// # Errors
/// A tile cannot be read.
pub fn leaves(folder: &Path, count: u64) -> io::Result<Vec<Hash>> {
    let mut leaves = Vec::new();
    for tile in 0..count.div_ceil(WIDTH) {
        let bytes = match fs::read(path(folder, tile)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(leaves),
            read => read?,
        };
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() as u64 != WIDTH || !rest.is_empty() {
            return Ok(leaves);
        }
        leaves.extend_from_slice(hashes);
    }
    // The records of the last tile that were kept have hashes of their own.
    leaves.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(leaves)
}

/// Where a whole tile of records' hashes lies: `tlog/tile/0/x001/x234/067`.
fn path(folder: &Path, number: u64) -> PathBuf {
    let mut name = format!("{:03}", number % 1_000);
    let mut rest = number / 1_000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1_000);
        rest /= 1_000;
    }
    folder.join("tlog/tile/0").join(name)
}
