//! The append-only record of what the gateway decided and what came of it.
//!
//! [`Ledger::append`] takes a record, numbers it and returns a [`Ticket`]; the ticket resolves once the record is on
//! disk and synced. One thread writes, in groups: all that gathered while the group before was being synced goes out
//! with one write and one sync. [`read()`] goes through the records again, also while the gateway runs.
//!
//! What holds:
//! - a record whose ticket resolved is there after a crash, under the number it was given; numbers have no gaps;
//! - a tail that a crash tore is cut back to the last whole record at the next start, and said so ([`Recovery`]);
//! - a record that was durable once and no longer is whole is never cut away silently: opening and reading refuse;
//! - after a failed write or sync the log takes nothing more ([`Ledger::status`]), so that no record is lost unheard;
//! - queue, record and memory are bounded, and one directory has one writer;
//! - each second all records are signed, as the root of a Merkle tree over them, so that whoever has a checkpoint can tell
//!   whether any of them was changed, removed, put in or moved; a log that lost signed records is not opened.
//!
//! Knows bytes and files only: nothing of what a record means, of HTTP, or of an async runtime.
//!
//! Turned down: an embedded database. It brings an index and compaction that an append-only log does not need, and
//! its own idea of when a record is durable.

#![forbid(unsafe_code)]

mod error;
mod files;
mod frame;
mod queue;
mod read;
mod recover;
mod seal;
mod segment;
#[cfg(test)]
mod tests;
mod ticket;
mod tree;
mod writer;

use std::{
    cell::Cell,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::Serialize;

pub use error::{AppendError, Damage, Failure, OpenError, ReadError};
pub use frame::MAX_RECORD_BYTES;
pub use read::{Reader, read};
pub use seal::{is_verifier_key, verifier_key};
pub use ticket::Ticket;

use files::Files;
use queue::Queue;
use recover::Recovered;
use seal::Seal;
use writer::{Disk, Writer};

/// The bounds of a ledger.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment that has reached this size is followed by a new one. The last group may go beyond it.
    pub segment_bytes: u64,
    /// How many records may wait for the disk, besides those being written.
    pub queue_records: usize,
    /// How many bytes may wait for the disk, besides those being written.
    pub queue_bytes: usize,
    /// Under load, the least time from the start of one group to the start of the next: what it adds to the time
    /// until a record is durable, it saves in CPU. An idle log syncs at once.
    pub pace: Duration,
    /// How often what is durable is signed, where it is.
    pub checkpoints: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            queue_records: 65_536,
            queue_bytes: 32 << 20,
            pace: Duration::from_millis(2),
            checkpoints: Some(Duration::from_secs(1)),
        }
    }
}

/// What was found when a ledger was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files, the one that is written to included.
    pub segments: usize,
    /// Records in the log: the sequence number that the next one gets.
    pub records: u64,
    /// Bytes cut off because a crash had left them half written. They held no acknowledged record.
    pub bytes_cut: u64,
}

/// Where a record lies. `sequence` counts all records of the log from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the record in the log.
    pub sequence: u64,
    /// The number of the first record of its segment, which is the segment's name.
    pub segment: u64,
    /// The byte of the segment at which the record's frame starts.
    pub offset: u64,
}

/// How the log is doing now.
#[derive(Debug, Clone)]
pub struct Status {
    /// Records that are safe on disk.
    pub durable_records: u64,
    /// Records that wait for the disk, besides those being written.
    pub queued_records: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Why the log takes no more records, if it failed.
    pub failure: Option<Failure>,
}

/// An open ledger. Clones share one log; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Log>);

#[derive(Debug)]
struct Log {
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Told to stop by being dropped.
    sealer: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
    verifier_key: Option<String>,
    /// Keeps other writers out until this one is done.
    lock: Mutex<Option<File>>,
}

impl Ledger {
    /// Opens the ledger in `dir`, creating it if it is not there, and starts its writer thread.
    ///
    /// # Errors
    /// Another writer has it, the file system refuses, or a record that was durable is no longer whole.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Recovery), OpenError> {
        let lock = recover::lock(dir)?;
        let Recovered { file, end, report } = recover::recover(dir)?;
        let disk = Files::new(dir.into(), file, end.offset);
        let failed = |cause| OpenError::Io { action: "start the threads of", path: dir.into(), cause };
        let seal = options.checkpoints.map(|every| Ok::<_, OpenError>((every, Seal::open(dir, report.records)?)));
        let seal = seal.transpose()?;
        let mut log = Log::start(disk, dir, end, report.records, &options).map_err(failed)?;
        log.lock = Mutex::new(Some(lock));
        if let Some((every, seal)) = seal {
            let (stop, stopped) = mpsc::channel();
            let queue = Arc::clone(&log.queue);
            log.verifier_key = Some(seal.verifier_key());
            let thread = thread::Builder::new().name("ledger-seal".into());
            let thread = thread.spawn(move || seal.run(&queue, every, &stopped)).map_err(failed)?;
            log.sealer = Mutex::new(Some((stop, thread)));
        }
        Ok((Self(Arc::new(log)), report))
    }

    /// What whoever verifies the log has to know of its key, where it is signed: name, hash and key, as signed notes write them.
    pub fn verifier_key(&self) -> Option<&str> {
        self.0.verifier_key.as_deref()
    }

    /// Numbers `record` and hands it to the writer. Waits for no disk: the ticket does.
    ///
    /// # Errors
    /// The queue is full, the record is too large or has no JSON form, or the log is closed or failed. The record
    /// has no number then and will not be written.
    pub fn append(&self, record: &impl Serialize) -> Result<Ticket, AppendError> {
        // Taken out rather than borrowed, so that a `Serialize` that appends a record itself finds an empty one.
        let mut frame = SCRATCH.take();
        let ticket = frame::encode(record, &mut frame).and_then(|()| self.0.queue.push(&frame));
        frame.clear();
        frame.shrink_to(SCRATCH_BYTES);
        SCRATCH.set(frame);
        ticket
    }

    /// How the log is doing now.
    pub fn status(&self) -> Status {
        self.0.queue.status()
    }

    /// Writes what is queued, stops the writer and lets go of the directory. Blocks until that is done, which takes
    /// a sync or two; appending through any clone is refused from here on.
    ///
    /// # Errors
    /// The log failed, now or earlier, so that not all of its records are durable.
    pub fn close(&self) -> Result<(), AppendError> {
        self.0.stop();
        self.status().failure.map_or(Ok(()), |failure| Err(AppendError::Failed(failure)))
    }
}

impl Log {
    fn start(
        disk: impl Disk + 'static,
        dir: &Path,
        end: ticket::Base,
        next: u64,
        options: &Options,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(options, next));
        let writer = Writer {
            queue: Arc::clone(&queue),
            disk,
            dir: dir.into(),
            end,
            durable: next,
            segment_bytes: options.segment_bytes,
            pace: options.pace,
        };
        let thread = thread::Builder::new().name("ledger".into()).spawn(|| writer.run())?;
        Ok(Self {
            queue,
            writer: Mutex::new(Some(thread)),
            sealer: Mutex::default(),
            verifier_key: None,
            lock: Mutex::default(),
        })
    }

    fn stop(&self) {
        self.queue.close();
        // The lock is kept while joining: whoever closes second returns only when all is written.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = writer.take() {
            thread.join().expect("the writer thread catches its own panics");
        }
        drop(writer);
        let mut sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stop, thread)) = sealer.take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that signs the ledger panicked; its last records are not signed");
            }
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

thread_local! {
    /// Where a caller's thread builds its frame before it is copied into the queue.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that one huge record made large is not kept.
const SCRATCH_BYTES: usize = 16 << 10;
