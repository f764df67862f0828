//! The segment files as the writer fills them.
//!
//! Room is made ahead of the records, in zeros: a sync then has to store data only, not also a new length and new
//! blocks, which halves its time and takes a third off its CPU. What is not used is cut off when a segment is left
//! or the log is closed; after a crash it is still there, and readers take zeros for the end.

use std::{io, path::PathBuf};

use crate::{segment, storage::Output, writer::Disk};

/// How much room is made at a time.
const ROOM_BYTES: u64 = 1 << 20;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The newest segment of a ledger directory, open for appending.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    /// Positioned at `end`.
    file: Output,
    /// Where the records end.
    end: u64,
    /// Where the zeros after them end.
    room: u64,
}

impl Files {
    /// Goes on in `file`, which ends at `end` and is positioned there.
    pub(crate) fn new(dir: PathBuf, file: Output, end: u64) -> Self {
        Self { dir, file, end, room: end }
    }

    fn make_room(&mut self, until: u64) -> io::Result<()> {
        self.file.seek(self.room)?;
        while self.room < until {
            let bytes = usize::try_from(until - self.room).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.file.write(&ZEROS[..bytes])?;
            self.room += bytes as u64;
        }
        self.file.seek(self.end)
    }
}

impl Disk for Files {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if end > self.room {
            self.make_room(end + ROOM_BYTES)?;
        }
        self.file.write(bytes)?;
        self.end = end;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn create(&mut self, first: u64) -> io::Result<()> {
        // A mark at the end was not synced yet; torn by a crash it would be damage in a segment that is not the newest.
        self.file.set_length(self.end)?;
        self.file.sync()?;
        self.file = segment::create(&self.dir, first)?;
        self.end = segment::HEADER_BYTES as u64;
        self.room = self.end;
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Only tidiness: zeros that stay are taken for the end of the log.
        if let Err(error) = self.file.set_length(self.end) {
            tracing::debug!(%error, "unused room stays at the end of the ledger");
        }
    }
}
