//! The one thread that writes: takes what is queued, writes it, syncs it once, resolves its tickets.
//!
//! While one group is being synced the next one gathers, so groups grow with the load, and a record that arrives at
//! an idle log is written at once. A sync costs tens of microseconds of CPU, though, whatever it holds; so after a
//! group that shows load the next may gather a little longer (`Options::pace`). When the queue runs empty a mark is
//! written (see [`crate::frame`]), so that damage to the newest group can be told from a torn tail.
//!
//! After a failed write or sync nothing is tried again: a kernel may drop the pages it could not write and report
//! success on the next sync. The log stays failed until it is opened anew, which reads back what is really there.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Failure, frame,
    queue::{Batch, Queue},
    segment,
    ticket::Base,
};

/// A group of this many records shows load: fewer callers than this are better served by an early sync.
const BUSY_RECORDS: u64 = 4;

/// A buffer that one burst made large is not kept for the next.
const SPARE_BYTES: usize = 1 << 20;

/// Where the writer's bytes go. The tests put a failing one in its place.
pub(crate) trait Disk: Send {
    /// Writes all of `bytes` at the end of the current segment.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Starts the segment whose first record is `first`, durably.
    fn create(&mut self, first: u64) -> io::Result<()>;
}

/// The state of the writer thread.
pub(crate) struct Writer<D> {
    pub(crate) queue: Arc<Queue>,
    pub(crate) disk: D,
    /// The ledger directory, for messages.
    pub(crate) dir: PathBuf,
    /// The current segment and where its end is.
    pub(crate) end: Base,
    /// Records that are durable; the number of the next one to write.
    pub(crate) durable: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_age: Duration,
    /// When the current segment was made.
    pub(crate) begun: SystemTime,
    pub(crate) pace: Duration,
}

impl<D: Disk> Writer<D> {
    /// Writes until the queue is closed and empty, or something fails.
    pub(crate) fn run(mut self) {
        // A panic here would be a bug; callers must hear of it rather than wait for ever.
        let result = catch_unwind(AssertUnwindSafe(|| self.write_groups()))
            .unwrap_or_else(|_| Err(self.failure("write", io::Error::other("the writer thread panicked"))));
        if let Err(failure) = result {
            tracing::error!(%failure, cause = %failure.cause, "the ledger failed and takes no more records");
            self.queue.fail(failure);
        }
    }

    fn write_groups(&mut self) -> Result<(), Failure> {
        let mut spare = Vec::new();
        while let Some(first) = self.queue.wait(&mut spare) {
            let mut next = Some(first);
            while let Some(batch) = next {
                let (start, busy) = (Instant::now(), batch.records >= BUSY_RECORDS);
                spare = self.commit(batch)?;
                if busy {
                    thread::sleep(self.pace.saturating_sub(start.elapsed()));
                }
                next = self.queue.take(&mut spare);
            }
            self.write(&frame::mark(self.durable))?;
        }
        Ok(())
    }

    /// Makes one group durable and gives its buffer back, empty.
    fn commit(&mut self, mut batch: Batch) -> Result<Vec<u8>, Failure> {
        let holds_records = self.durable > self.end.segment;
        // A clock that was set back makes no segment old.
        let is_old = || self.begun.elapsed().is_ok_and(|age| age >= self.segment_age);
        if holds_records && (self.end.offset >= self.segment_bytes || is_old()) {
            self.rotate()?;
        }
        frame::seal(&mut batch.bytes, self.durable);
        let base = self.end;
        self.write(&batch.bytes)?;
        self.disk.sync().map_err(|cause| self.failure("sync", cause))?;
        self.durable += batch.records;
        self.queue.committed(self.durable);
        batch.group.finish(Ok(base));
        batch.bytes.clear();
        batch.bytes.shrink_to(SPARE_BYTES);
        Ok(batch.bytes)
    }

    fn rotate(&mut self) -> Result<(), Failure> {
        let end = Base { segment: self.durable, offset: segment::HEADER_BYTES as u64 };
        let before = std::mem::replace(&mut self.end, end);
        self.begun = SystemTime::now();
        tracing::debug!(from = before.segment, to = end.segment, "new ledger segment");
        self.disk.create(end.segment).map_err(|cause| self.failure("create", cause))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.disk.write(bytes).map_err(|cause| self.failure("write", cause))?;
        self.end.offset += bytes.len() as u64;
        Ok(())
    }

    fn failure(&self, action: &'static str, cause: io::Error) -> Failure {
        Failure { action, path: segment::path(&self.dir, self.end.segment), cause: Arc::new(cause) }
    }
}
