//! SHA-256 of what is too large to be held: a file of weights, say.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::keys::hex;

/// What is read at a time.
const BLOCK: usize = 1 << 20;

/// The digest of all that can be read, in hex; `progress` is told how many bytes were.
///
/// # Errors
/// It cannot be read.
pub fn of(from: impl Read, progress: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut hash = Sha256::new();
    read_through(from, &mut hash, progress)?;
    Ok(hex(&hash.finalize()))
}

/// Adds all that can be read to a digest; `progress` is told how many bytes were.
///
/// # Errors
/// It cannot be read.
pub fn read_through(mut from: impl Read, hash: &mut Sha256, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let (mut block, mut read) = (vec![0; BLOCK], 0);
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            n => {
                hash.update(&block[..n]);
                read += n as u64;
                progress(read);
            }
        }
    }
}
