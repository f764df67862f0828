//! Reading a ledger back, from its first record on, also while it is being written.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{
    Damage, Position, ReadError,
    frame::{Frames, Step},
    prune,
    segment::{self, Header},
};

/// Opens the ledger in `dir` for reading, from the first record that was not pruned. Takes no lock, so a gateway may be writing
/// to it.
///
/// # Errors
/// The directory cannot be read, or its first segment is not there.
pub fn read(dir: &Path) -> Result<Reader, ReadError> {
    let segments = segment::list(dir).map_err(|cause| ReadError::Io { path: dir.into(), cause })?;
    let mut reader = Reader { dir: dir.into(), current: None };
    let kept = prune::mark(dir)?;
    if segments.is_empty() && kept == 0 {
        return Ok(reader);
    }
    reader.current = open_kept(dir, kept)?;
    Ok(reader)
}

/// The same from a record on, found by the names of the segments; from the first one that was not pruned if it was.
///
/// # Errors
/// The directory or the segment cannot be read.
pub fn read_from(dir: &Path, sequence: u64) -> Result<Reader, ReadError> {
    let segments = segment::list(dir).map_err(|cause| ReadError::Io { path: dir.into(), cause })?;
    let kept = prune::mark(dir)?;
    let first = segments.into_iter().rfind(|first| *first <= sequence && *first >= kept);
    let current = match first {
        Some(first) => open_kept(dir, first)?,
        None if kept > sequence => open_kept(dir, kept)?,
        None => None,
    };
    let mut reader = Reader { dir: dir.into(), current };
    let next = |reader: &Reader| reader.current.as_ref().map(|current| current.frames.sequence());
    while next(&reader).is_some_and(|next| next < sequence) && reader.advance()?.is_some() {}
    Ok(reader)
}

/// Opens a segment that should be there, or the first one of those that are left if it was pruned meanwhile.
fn open_kept(dir: &Path, mut first: u64) -> Result<Option<Segment>, ReadError> {
    loop {
        match open(dir, first) {
            Err(ReadError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => match prune::mark(dir)? {
                kept if kept > first => first = kept,
                _ => return Err(Damage::Missing { sequence: first, path: segment::path(dir, first) }.into()),
            },
            opened => return opened,
        }
    }
}

/// The records of a ledger in order, in bounded memory.
///
/// Ends at the last whole record; one that is half written does not count. Records that are pruned while it reads may be left
/// out. After an error it ends.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    current: Option<Segment>,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    frames: Frames,
}

impl Iterator for Reader {
    type Item = Result<(Position, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.current = None;
        }
        item
    }
}

impl Reader {
    /// The next record, if one is there; more may be there later.
    pub(crate) fn advance(&mut self) -> Result<Option<(Position, Vec<u8>)>, ReadError> {
        loop {
            let Some(current) = &mut self.current else { return Ok(None) };
            if let Some(record) = current.record(&self.dir)? {
                return Ok(Some(record));
            }
            // The names are listed before the second look: if there is a later segment by now, this one is
            // complete by now, and what it still lacks is missing for good.
            let later = segment::list(&self.dir)
                .map_err(|cause| ReadError::Io { path: self.dir.clone(), cause })?
                .into_iter()
                .find(|&first| first > current.first);
            if let Some(record) = current.record(&self.dir)? {
                return Ok(Some(record));
            }
            let next = current.frames.sequence();
            match later {
                None => return Ok(None),
                Some(first) if first == next => self.current = open_kept(&self.dir, first)?,
                Some(_) if prune::mark(&self.dir)? > next => {
                    self.current = open_kept(&self.dir, prune::mark(&self.dir)?)?
                }
                Some(_) => {
                    return Err(Damage::Missing { sequence: next, path: segment::path(&self.dir, next) }.into());
                }
            }
        }
    }
}

impl Segment {
    /// The next record, if a whole one is there.
    fn record(&mut self, dir: &Path) -> Result<Option<(Position, Vec<u8>)>, ReadError> {
        let failed = |cause| ReadError::Io { path: segment::path(dir, self.first), cause };
        let sequence = self.frames.sequence();
        let mut step = self.frames.step().map_err(failed)?;
        if matches!(step, Step::Broken) {
            if !self.frames.is_damage().map_err(failed)? {
                return Ok(None);
            }
            // A writer may have finished this record, and more, between the two looks. What follows it is there
            // now, so it is there too, unless it is damaged.
            step = self.frames.step().map_err(failed)?;
        }
        match step {
            Step::Record { offset, bytes } => Ok(Some((Position { sequence, segment: self.first, offset }, bytes))),
            Step::End => Ok(None),
            Step::Broken => {
                let (path, offset) = (segment::path(dir, self.first), self.frames.offset());
                Err(Damage::Record { sequence, path, offset }.into())
            }
        }
    }
}

/// Opens one segment; `None` if it is only just being created and has no header yet.
fn open(dir: &Path, first: u64) -> Result<Option<Segment>, ReadError> {
    let path = segment::path(dir, first);
    let attempt = || -> io::Result<(Header, Frames)> {
        let mut file = File::open(&path)?;
        Ok((segment::check(&mut file, first)?, Frames::new(file, first)?))
    };
    match attempt().map_err(|cause| ReadError::Io { path: path.clone(), cause })? {
        (Header::Good, frames) => Ok(Some(Segment { first, frames })),
        (Header::Unfinished, _) => Ok(None),
        (Header::Version(version), _) => Err(Damage::Version { path, version }.into()),
        (Header::Bad, _) => Err(Damage::Header { path }.into()),
    }
}
