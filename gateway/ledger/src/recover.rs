//! Opening what an earlier run left: finds the end of the log, and cuts off what a crash left half written.
//!
//! Only the newest segment can have a torn tail, because a segment is left only once all in it is durable. So only
//! that one is read at start, whatever the log's size; of the older ones the names and headers are checked.
//! [`crate::read()`] checks every record.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    Damage, OpenError, Recovery,
    frame::{Frames, Step},
    prune,
    segment::{self, Header},
    storage::{self, Output},
    ticket::Base,
};

/// An existing or new log, ready to be appended to.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The newest segment, positioned at its end.
    pub(crate) file: Output,
    pub(crate) end: Base,
    pub(crate) report: Recovery,
}

/// Takes the lock that keeps a second writer out. It is held as long as the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    make_directory(dir).map_err(io_error("create", dir))?;
    let path = dir.join("lock");
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.into() }),
        Err(TryLockError::Error(cause)) => Err(OpenError::Io { action: "lock", path, cause }),
    }
}

/// Brings the log in `dir` to a state that can be appended to. The caller holds the lock.
pub(crate) fn recover(dir: &Path) -> Result<Recovered, OpenError> {
    let kept = prune::mark(dir)?;
    // A crash may have cut a prune short.
    prune::finish(dir, kept).map_err(io_error("remove the oldest segments of", dir))?;
    let mut segments = segment::list(dir).map_err(io_error("list", dir))?;
    let mut bytes_cut = 0;
    if let Some(last) = remove_unfinished(dir, &segments)? {
        bytes_cut += last;
        segments.pop();
    }
    if segments.is_empty() && kept == 0 {
        let file = segment::create(dir, 0).map_err(io_error("create", &segment::path(dir, 0)))?;
        let end = Base { segment: 0, offset: segment::HEADER_BYTES as u64 };
        return Ok(Recovered { file, end, report: Recovery { segments: 1, records: 0, bytes_cut } });
    }
    if segments.first() != Some(&kept) {
        return Err(Damage::Missing { sequence: kept, path: segment::path(dir, kept) }.into());
    }
    for &first in &segments {
        check_header(dir, first)?;
    }
    let newest = segments[segments.len() - 1];
    let tail = cut_tail(&segment::path(dir, newest), newest)?;
    bytes_cut += tail.bytes_cut;
    Ok(Recovered {
        file: tail.file,
        end: Base { segment: newest, offset: tail.end },
        report: Recovery { segments: segments.len(), records: tail.next, bytes_cut },
    })
}

/// Removes the newest segment if its creation was cut short, and says how many bytes it had.
fn remove_unfinished(dir: &Path, segments: &[u64]) -> Result<Option<u64>, OpenError> {
    let Some(&newest) = segments.last() else { return Ok(None) };
    let path = segment::path(dir, newest);
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    if segment::check(&mut file, newest).map_err(io_error("read", &path))? != Header::Unfinished {
        return Ok(None);
    }
    let bytes = file.metadata().map_err(io_error("read", &path))?.len();
    storage::remove(&path).and_then(|()| storage::sync_folder(dir)).map_err(io_error("remove", &path))?;
    Ok(Some(bytes))
}

fn check_header(dir: &Path, first: u64) -> Result<(), OpenError> {
    let path = segment::path(dir, first);
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    match segment::check(&mut file, first).map_err(io_error("read", &path))? {
        Header::Good => Ok(()),
        Header::Version(version) => Err(Damage::Version { path, version }.into()),
        Header::Unfinished | Header::Bad => Err(Damage::Header { path }.into()),
    }
}

struct Tail {
    file: Output,
    end: u64,
    /// The sequence number after the last whole record.
    next: u64,
    bytes_cut: u64,
}

/// Reads the newest segment, and cuts off what follows its last whole record.
fn cut_tail(path: &Path, first: u64) -> Result<Tail, OpenError> {
    let read = |cause| OpenError::Io { action: "read", path: path.into(), cause };
    let mut frames = Frames::new(File::open(path).map_err(read)?, first).map_err(read)?;
    let torn = loop {
        match frames.step().map_err(read)? {
            Step::Record { .. } => {}
            Step::End => break false,
            Step::Broken => break true,
        }
    };
    if torn && frames.is_damage().map_err(read)? {
        let (sequence, offset) = (frames.sequence(), frames.offset());
        return Err(Damage::Record { sequence, path: path.into(), offset }.into());
    }
    let (end, next) = (frames.offset(), frames.sequence());
    let bytes_cut = frames.data_end().map_err(read)? - end;
    let settle = || -> io::Result<Output> {
        let mut file = Output::open(path)?;
        file.set_length(end)?;
        rewrite(&mut file, frames.group_offset(), end)?;
        file.sync()?;
        Ok(file)
    };
    let file = settle().map_err(|cause| OpenError::Io { action: "repair", path: path.into(), cause })?;
    Ok(Tail { file, end, next, bytes_cut })
}

/// Writes the newest group over itself and leaves the file positioned at its end.
///
/// If the run before ended because a sync failed, the kernel may hold the group only in pages that it believes to
/// be on disk already. Written again they are dirty again, and the sync that follows means what it says.
fn rewrite(file: &mut Output, start: u64, end: u64) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    let mut at = start;
    while at < end {
        let bytes = usize::try_from(end - at).map_or(chunk.len(), |left| left.min(chunk.len()));
        file.seek(at)?;
        file.file().read_exact(&mut chunk[..bytes])?;
        file.seek(at)?;
        file.write(&chunk[..bytes])?;
        at += bytes as u64;
    }
    file.seek(end)
}

/// Creates the directory, for its owner only, and makes the new names durable.
fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent: PathBuf = parent.unwrap_or(Path::new(".")).into();
    fs::create_dir_all(&parent)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    storage::sync_folder(&parent)
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |cause| OpenError::Io { action, path: path.into(), cause }
}
