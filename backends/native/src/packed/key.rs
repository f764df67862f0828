//! What a model is known by without its weights being read whole.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use engine::gguf;
use sha2::{Digest, Sha256};

/// Where the weights are looked at, evenly from the first byte to the last.
const SPOTS: usize = 64;
/// Bytes of a spot.
const SPOT: usize = 4 << 10;

/// What the system says of a file.
///
/// Writing to a file sets the time of its last change, which no program can put back, and renaming another over it brings that
/// one's number. The number of the device is left out: for some file systems it is another one at each start of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    bytes: u64,
    number: u64,
    modified: [i64; 2],
    changed: [i64; 2],
}

impl Seen {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let of = fs::metadata(path)?;
        Ok(Self {
            bytes: of.len(),
            number: of.ino(),
            modified: [of.mtime(), of.mtime_nsec()],
            changed: [of.ctime(), of.ctime_nsec()],
        })
    }

    /// The key of a model of which this was seen before it was opened.
    pub(super) fn key(&self, model: &gguf::File) -> [u8; 32] {
        let mut digest = Sha256::new();
        for number in [self.bytes, self.number] {
            digest.update(number.to_le_bytes());
        }
        for number in [self.modified, self.changed].concat() {
            digest.update(number.to_le_bytes());
        }
        digest.update((model.head().len() as u64).to_le_bytes());
        digest.update(model.head());
        let data = model.data();
        let last = data.len().saturating_sub(SPOT);
        for spot in 0..SPOTS {
            // Of what lies in memory: a product of two such numbers does not overflow 128 bits.
            let at = (last as u128 * spot as u128 / (SPOTS as u128 - 1)) as usize;
            digest.update(&data[at..data.len().min(at + SPOT)]);
        }
        digest.finalize().into()
    }
}
