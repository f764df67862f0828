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
//! - old segments can be removed, and the hashes of their records stay ([`Ledger::prune`]);
//! - each second all records are signed, as the root of a Merkle tree over them, so that whoever has a checkpoint can tell
//!   whether any of them was changed, removed, put in or moved; a log that lost signed records is not opened.
//!
//! Knows bytes and files only: nothing of what a record means, of HTTP, or of an async runtime.
//!
//! Turned down: an embedded database. It brings an index and compaction that an append-only log does not need, and
//! its own idea of when a record is durable.

#![forbid(unsafe_code)]

mod cosign;
mod error;
mod files;
mod frame;
mod keys;
mod ml_dsa;
mod note;
mod prune;
mod queue;
mod read;
mod recover;
mod seal;
mod segment;
mod storage;
#[cfg(test)]
mod tests;
mod ticket;
mod tree;
pub mod witness;
mod writer;

use std::{
    cell::Cell,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use serde::Serialize;

pub use cosign::CosignError;
pub use error::{AppendError, Damage, Failure, OpenError, ReadError};
pub use frame::MAX_RECORD_BYTES;
pub use keys::{RotatedKey, rotate_key, verifier_key};
pub use ml_dsa::ml_dsa_key;
pub use note::{NoKey, VerifierKey};
pub use prune::{PruneError, Pruned, segments};
pub use read::{Reader, read, read_from};
pub use ticket::Ticket;

use cosign::Cosignatures;
use files::Files;
use keys::Keys;
use note::Checkpoint;
use queue::Queue;
use recover::Recovered;
use seal::{Ask, Seal};
use writer::{Disk, Writer};

/// The bounds of a ledger.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment that has reached this size is followed by a new one. The last group may go beyond it.
    pub segment_bytes: u64,
    /// A segment that is as old as this is followed by a new one, at the next record.
    pub segment_age: Duration,
    /// How many records may wait for the disk, besides those being written.
    pub queue_records: usize,
    /// How many bytes may wait for the disk, besides those being written.
    pub queue_bytes: usize,
    /// Under load, the least time from the start of one group to the start of the next: what it adds to the time
    /// until a record is durable, it saves in CPU. An idle log syncs at once.
    pub pace: Duration,
    /// How often what is durable is signed, where it is.
    pub checkpoints: Option<Duration>,
    /// Whether checkpoints are also signed by ML-DSA-44, for proofs that outlast Ed25519; 3.3 KB more for each.
    pub ml_dsa: bool,
    /// The keys of the witnesses whose cosignatures are kept: [`Ledger::cosigned`].
    pub witnesses: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            segment_age: Duration::from_secs(86_400),
            queue_records: 65_536,
            queue_bytes: 32 << 20,
            pace: Duration::from_millis(2),
            checkpoints: Some(Duration::from_secs(1)),
            ml_dsa: false,
            witnesses: Vec::new(),
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

/// A segment of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first record.
    pub first: u64,
    /// How many records it has; of the newest one that is not said.
    pub records: Option<u64>,
    /// How many bytes it has, the room that was made included.
    pub bytes: u64,
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
    sealer: Mutex<Option<(mpsc::Sender<Ask>, JoinHandle<()>)>>,
    sealed: Option<Sealed>,
    dir: PathBuf,
    /// One prune at a time.
    pruning: Mutex<()>,
    /// Keeps other writers out until this one is done.
    lock: Mutex<Option<File>>,
}

/// What is known of a log that is signed.
#[derive(Debug)]
struct Sealed {
    keys: Arc<Keys>,
    verifier_key: String,
    cosignatures: Cosignatures,
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
        let seal = options
            .checkpoints
            .map(|every| Ok::<_, OpenError>((every, Seal::open(dir, report.records, options.ml_dsa)?)));
        let seal = seal.transpose()?;
        let witness = |key: &String| key.parse().ok().filter(VerifierKey::is_of_witness).ok_or_else(|| key.clone());
        let witnesses: Result<Vec<_>, _> = options.witnesses.iter().map(witness).collect();
        let witnesses = witnesses.map_err(|key| OpenError::Witness { key })?;
        let mut log = Log::start(disk, dir, end, report.records, &options).map_err(failed)?;
        log.lock = Mutex::new(Some(lock));
        if let Some((every, seal)) = seal {
            let (ask, asked) = mpsc::channel();
            let queue = Arc::clone(&log.queue);
            log.sealed = Some(Sealed {
                keys: Arc::clone(seal.keys()),
                verifier_key: seal.keys().verifier_key().to_string(),
                cosignatures: Cosignatures::open(seal::folder(dir), witnesses)?,
            });
            let thread = thread::Builder::new().name("ledger-seal".into());
            let thread = thread.spawn(move || seal.run(&queue, every, &asked)).map_err(failed)?;
            log.sealer = Mutex::new(Some((ask, thread)));
        }
        Ok((Self(Arc::new(log)), report))
    }

    /// What whoever verifies the log has to know of its key, where it is signed: name, hash and key, as signed notes write them.
    pub fn verifier_key(&self) -> Option<&str> {
        self.0.sealed.as_ref().map(|sealed| &*sealed.verifier_key)
    }

    /// The name of the log, as its checkpoints say it, where it is signed. It stays when the key is rotated.
    pub fn log_name(&self) -> Option<&str> {
        self.0.sealed.as_ref().map(|sealed| sealed.keys.name())
    }

    /// Removes the segments of which all records come before `before`, except the newest, and keeps the hashes of their records.
    /// What goes is signed first, and so is whatever was durable before the call, such as the record that says why. Blocks while
    /// it reads what goes.
    ///
    /// # Errors
    /// The log is not signed or cannot be, the hashes of what goes are not there as they should be, or the file system refuses.
    pub fn prune(&self, before: u64) -> Result<Pruned, PruneError> {
        let _one = self.0.pruning.lock().unwrap_or_else(PoisonError::into_inner);
        let unsigned = |why: &str| PruneError::Unsigned { why: why.to_owned() };
        let signed = match self.0.ask(Ask::Keep) {
            None if self.0.sealed.is_none() => return Err(unsigned("it was opened without checkpoints")),
            None => return Err(unsigned("it is closed")),
            Some(Err(why)) => return Err(unsigned(&why)),
            Some(Ok(signed)) => signed,
        };
        prune::prune(&self.0.dir, before, signed)
    }

    /// The newest checkpoint, as a note; `None` where nothing was signed yet.
    ///
    /// # Errors
    /// The log is not signed, or the file cannot be read.
    pub fn checkpoint(&self) -> Result<Option<String>, CosignError> {
        self.0.sealed.as_ref().ok_or(CosignError::Unsigned)?;
        let path = seal::folder(&self.0.dir).join("checkpoint");
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(|cause| CosignError::Io { action: "read", path, cause }),
        }
    }

    /// The body of a request to a witness (`add-checkpoint`) for a checkpoint of this log, where the last one that the witness
    /// cosigned is over `old` records: 0 if that is not known, the size that it answers with (409) then. One checkpoint goes to
    /// all witnesses, so that they cosign the same one.
    ///
    /// # Errors
    /// It is no checkpoint of this log, or `old` is above it, or the tiles cannot be read.
    pub fn submission(&self, checkpoint: &str, old: u64) -> Result<String, CosignError> {
        let sealed = self.0.sealed.as_ref().ok_or(CosignError::Unsigned)?;
        let Checkpoint { size: new, .. } = sealed.keys.verified(checkpoint).ok_or(CosignError::Checkpoint)?;
        let hashes = self.0.ask(|answer| Ask::Consistency { old, new, answer }).ok_or(CosignError::Closed)?;
        let hashes = hashes.map_err(|why| CosignError::Proof { why })?;
        let hashes: String = hashes.iter().map(note::hash_line).collect();
        Ok(format!("old {old}\n{hashes}\n{checkpoint}"))
    }

    /// Keeps what witnesses answered about a checkpoint of this log: the lines of all of them at once, or one after the other.
    /// Says how many lines are of witnesses that the log was opened with; other lines are left out.
    ///
    /// # Errors
    /// It is no checkpoint of this log, none of the lines is of such a witness or one of them does not hold, or the file system
    /// refuses.
    pub fn cosigned(&self, checkpoint: &str, answer: &str) -> Result<usize, CosignError> {
        let sealed = self.0.sealed.as_ref().ok_or(CosignError::Unsigned)?;
        let verified = sealed.keys.verified(checkpoint).ok_or(CosignError::Checkpoint)?;
        sealed.cosignatures.add(&verified, checkpoint, answer)
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
            segment_age: options.segment_age,
            begun: begun(&segment::path(dir, end.segment)),
            pace: options.pace,
        };
        let thread = thread::Builder::new().name("ledger".into()).spawn(|| writer.run())?;
        Ok(Self {
            queue,
            writer: Mutex::new(Some(thread)),
            sealer: Mutex::default(),
            sealed: None,
            dir: dir.into(),
            pruning: Mutex::default(),
            lock: Mutex::default(),
        })
    }

    /// Asks the thread that signs; `None` where there is none, or not any more.
    fn ask<T>(&self, ask: impl FnOnce(mpsc::SyncSender<T>) -> Ask) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        sealer.as_ref()?.0.send(ask(answer)).ok()?;
        drop(sealer);
        answered.recv().ok()
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

/// When a segment was made; where the file system does not know, now.
fn begun(path: &Path) -> SystemTime {
    std::fs::metadata(path).and_then(|of| of.created()).unwrap_or_else(|_| SystemTime::now())
}

thread_local! {
    /// Where a caller's thread builds its frame before it is copied into the queue.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that one huge record made large is not kept.
const SCRATCH_BYTES: usize = 16 << 10;
