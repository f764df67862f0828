//! Retention: removes the oldest segments, and keeps the hashes of their records, so that the log stays what was signed.
//!
//! Removed are whole segments, never the newest. Before the first of them goes:
//! 1. all that is durable is signed and that checkpoint is kept, so that it covers what goes and the record that says so;
//! 2. the hashes of what goes are read from the tiles, compared with the records, and synced; only whole tiles count, which
//!    never change;
//! 3. `tlog/pruned` says which record is the first that is kept, durably.
//!
//! A crash after the third leaves segments that the next start or the next prune removes. A log whose first segment is another
//! than that file says is damaged, as before. Whether it was right to remove them is a matter of records that say so: for whoever
//! appends, and for whoever verifies.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    Damage, ReadError, Segment,
    read::read_from,
    seal, segment, storage,
    tree::{self, WIDTH},
};

/// Why a log was not pruned.
#[derive(Debug, Error)]
pub enum PruneError {
    /// What goes must be under a signature first.
    #[error("the ledger is not signed: {why}")]
    Unsigned {
        /// Why it is not.
        why: String,
    },
    /// The records that would go are not those whose hashes stay.
    #[error("the hashes in `{}` are not those of the records that would be removed", path.display())]
    Tile {
        /// The tile.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The records that would go cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What a prune left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The first record that is kept.
    pub first: u64,
    /// How many segments were removed.
    pub segments: usize,
    /// How many bytes they had.
    pub bytes: u64,
}

/// The file that says which record is the first that was kept.
pub(crate) fn path(dir: &Path) -> PathBuf {
    seal::folder(dir).join("pruned")
}

/// Which record is the first that was kept: 0 where none was pruned.
pub(crate) fn mark(dir: &Path) -> Result<u64, ReadError> {
    let path = path(dir);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(cause) => Err(ReadError::Io { path, cause }),
        Ok(bytes) => {
            let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
            number.ok_or_else(|| Damage::Pruned { path }.into())
        }
    }
}

/// The segments of a log, in order.
///
/// # Errors
/// The directory cannot be read.
pub fn segments(dir: &Path) -> Result<Vec<Segment>, ReadError> {
    let failed = |cause| ReadError::Io { path: dir.into(), cause };
    let mark = mark(dir)?;
    let mut firsts = segment::list(dir).map_err(failed)?;
    firsts.retain(|first| *first >= mark);
    let mut all = Vec::new();
    for (at, &first) in firsts.iter().enumerate() {
        let bytes = fs::metadata(segment::path(dir, first)).map_err(failed)?.len();
        all.push(Segment { first, records: firsts.get(at + 1).map(|next| next - first), bytes });
    }
    Ok(all)
}

/// Removes the segments of which all records come before `before` and are among the `signed` ones.
pub(crate) fn prune(dir: &Path, before: u64, signed: u64) -> Result<Pruned, PruneError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |cause| PruneError::Io { action, path, cause }
    };
    let mark = mark(dir)?;
    let firsts = segment::list(dir).map_err(io("list", dir))?;
    // The tile of the last record that goes is whole.
    let is_covered = |first: u64| first.div_ceil(WIDTH as u64) * (WIDTH as u64) <= signed;
    let first = firsts.iter().copied().rfind(|first| *first > mark && *first <= before && is_covered(*first));
    let Some(first) = first else {
        return finish(dir, mark).map_err(io("remove the oldest segments of", dir));
    };
    keep_hashes(dir, mark, first)?;
    let path = path(dir);
    storage::replace(&path, format!("{first}\n").as_bytes()).map_err(io("write", &path))?;
    finish(dir, first).map_err(io("remove the oldest segments of", dir))
}

/// Compares the hashes of records with the records, and makes them durable.
fn keep_hashes(dir: &Path, from: u64, until: u64) -> Result<(), PruneError> {
    let folder = seal::folder(dir);
    let mut records = read_from(dir, from)?;
    let (mut at, mut folders) = (from, BTreeSet::new());
    while at < until {
        let number = at / WIDTH as u64;
        let path = tree::path(&folder, 0, number, WIDTH);
        let failed = |cause| PruneError::Io { action: "keep", path: path.clone(), cause };
        let hashes = tree::read_whole(&folder, 0, number).map_err(failed)?;
        let end = until.min((number + 1) * WIDTH as u64);
        for hash in &hashes[(at % WIDTH as u64) as usize..][..(end - at) as usize] {
            let record = records.next().transpose()?;
            if record.is_none_or(|(_, record)| tree::leaf(&record) != *hash) {
                return Err(PruneError::Tile { path });
            }
        }
        storage::sync(&path).map_err(failed)?;
        folders.extend(path.ancestors().skip(1).take_while(|folder| *folder != dir).map(Path::to_owned));
        at = end;
    }
    for folder in folders {
        storage::sync_folder(&folder).map_err(|cause| PruneError::Io { action: "keep", path: folder, cause })?;
    }
    Ok(())
}

/// Removes the segments that were pruned and are still there.
pub(crate) fn finish(dir: &Path, mark: u64) -> io::Result<Pruned> {
    let mut pruned = Pruned { first: mark, segments: 0, bytes: 0 };
    for first in segment::list(dir)?.into_iter().filter(|first| *first < mark) {
        if pruned.segments == 0 {
            // If the run before ended because a sync failed, the mark may be on no disk.
            storage::sync_parent(&path(dir))?;
        }
        let path = segment::path(dir, first);
        pruned.bytes += fs::metadata(&path)?.len();
        pruned.segments += 1;
        storage::remove(&path)?;
    }
    if pruned.segments > 0 {
        storage::sync_folder(dir)?;
    }
    Ok(pruned)
}
