//! Files of lines of JSON that only grow at their end, until they are written anew.
//!
//! Bytes after the last newline are what a crash tore: nobody was told that they are there, so they count for nothing, and the
//! next line is written in their place. A line that cannot be read counts for nothing either. Whoever writes holds the lock;
//! who reads need not, as a file is replaced whole.
//!
//! This is how another process leaves something for the gateway to heed: whom it erased, what was accepted. A file beside says
//! how many lines the ledger tells of ([`told`]).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::keys::replace_file;

/// The most bytes of a file.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
/// How long another writer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The file that says how many lines the ledger tells of.
const TOLD: &str = "told";
/// How soon a lock is tried again. Whoever has it needs a few milliseconds.
const AGAIN: Duration = Duration::from_millis(2);

/// A line of a file.
pub(crate) fn text(line: &impl Serialize) -> String {
    // Structs of strings and numbers always have a JSON form.
    serde_json::to_string(line).map(|line| line + "\n").unwrap_or_default()
}

/// What tells that a file is still the one that was read: another one is in its place, or it grew or shrank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    pub(crate) bytes: u64,
}

/// That of a file; none where there is no file.
pub(crate) fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(of) => Ok(Some(Stamp { inode: of.ino(), bytes: of.len() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps other writers out for as long as it is held, and waits for one that is there, up to [`PATIENCE`]. Makes the folder
/// where there is none.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("lock"))?;
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => thread::sleep(AGAIN),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process does not let go of its lock"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The lines of a file; none where there is no file.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let bytes = match File::open(path) {
        Ok(file) => whole(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The same, and what is read is on disk: a line may be there whose write failed.
pub(crate) fn durable_lines<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    match File::open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    lines(path)
}

/// How many lines the ledger tells of, as the file of that in a folder says. One that cannot be read makes it say some twice.
pub(crate) fn told(folder: &Path) -> usize {
    fs::read_to_string(folder.join(TOLD)).ok().and_then(|told| told.trim().parse().ok()).unwrap_or(0)
}

/// The ledger tells of so many.
pub(crate) fn tell(folder: &Path, lines: u64) -> io::Result<()> {
    replace_file(&folder.join(TOLD), format!("{lines}\n").as_bytes())
}

/// The bytes of the whole lines of a file.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {MOST_BYTES} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    Ok(bytes)
}

/// Appends whole lines; returns once they are on disk.
pub(crate) fn append(path: &Path, lines: &str) -> io::Result<Stamp> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let end = end(&file)?;
    if end + lines.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::StorageFull, format!("it would be larger than {MOST_BYTES} bytes")));
    }
    file.set_len(end)?;
    let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // What it took of them must not be found later. If that fails too, it may, and is made durable then.
        let _ = file.set_len(end);
        return Err(error);
    }
    if is_new && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    let of = file.metadata()?;
    Ok(Stamp { inode: of.ino(), bytes: of.len() })
}

/// Where the whole lines of a file end.
fn end(file: &File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    let mut last = [b'\n'];
    if let Some(at) = bytes.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    Ok(if last == *b"\n" { bytes } else { whole(file)?.len() as u64 })
}
