//! The bounded queue between the callers and the writer thread.
//!
//! Callers copy their finished frame onto the end of one buffer under a short lock; the writer takes the whole
//! buffer at once, as the next group. States: open -> closed (what is queued is still written) or failed (what is
//! queued is refused), and neither is left again.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    AppendError, Failure, Options, Status,
    ticket::{Group, Ticket},
};

/// How soon the writer looks by itself for records, and for how long after the last one: to be woken costs the caller up to some
/// tens of microseconds; this costs a thread that otherwise syncs some looks, and the record no longer than it was awaited, or
/// a millisecond.
const FIRST_LOOK: Duration = Duration::from_micros(200);
const LOOK: Duration = Duration::from_millis(1);
const LOOKS_FOR: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    max_records: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Frames whose headers the writer still has to seal.
    bytes: Vec<u8>,
    records: usize,
    /// The sequence number that the next record gets.
    next: u64,
    durable: u64,
    /// The group that the next record joins.
    group: Arc<Group>,
    /// The group that the writer is working on; kept here so that a failure reaches its tickets too.
    writing: Option<Arc<Group>>,
    writer_waits: bool,
}

#[derive(Debug)]
enum Phase {
    Open,
    Closed,
    Failed(Failure),
}

/// A group of records as the writer takes it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
    pub(crate) group: Arc<Group>,
}

impl Queue {
    pub(crate) fn new(options: &Options, next: u64) -> Self {
        let state = State {
            phase: Phase::Open,
            bytes: Vec::new(),
            records: 0,
            next,
            durable: next,
            group: Group::new(),
            writing: None,
            writer_waits: false,
        };
        let (max_records, max_bytes) = (options.queue_records, options.queue_bytes);
        Self { state: Mutex::new(state), work: Condvar::new(), max_records, max_bytes }
    }

    /// Puts one frame at the end.
    pub(crate) fn push(&self, frame: &[u8]) -> Result<Ticket, AppendError> {
        let mut state = self.lock();
        match &state.phase {
            Phase::Open => {}
            Phase::Closed => return Err(AppendError::Closed),
            Phase::Failed(failure) => return Err(AppendError::Failed(failure.clone())),
        }
        // A record always fits into an empty queue, however small the bound was set.
        let full = state.records >= self.max_records || state.bytes.len() + frame.len() > self.max_bytes;
        if full && state.records > 0 {
            return Err(AppendError::Full { records: state.records, bytes: state.bytes.len() });
        }
        let ticket = Ticket::new(Arc::clone(&state.group), state.next, state.bytes.len() as u64);
        state.bytes.extend_from_slice(frame);
        state.records += 1;
        state.next += 1;
        let wake = mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// Takes all that is queued, if anything is, and leaves the empty `spare` in its place.
    pub(crate) fn take(&self, spare: &mut Vec<u8>) -> Option<Batch> {
        Self::take_from(&mut self.lock(), spare)
    }

    /// Waits until something is queued and takes it; `None` once the queue is closed and empty. For a while after it was
    /// called the writer looks by itself, so that no caller pays for waking it while records come now and then.
    pub(crate) fn wait(&self, spare: &mut Vec<u8>) -> Option<Batch> {
        let begun = Instant::now();
        let mut look = FIRST_LOOK;
        let mut state = self.lock();
        loop {
            if let Some(batch) = Self::take_from(&mut state, spare) {
                return Some(batch);
            }
            if !matches!(state.phase, Phase::Open) {
                return None;
            }
            if begun.elapsed() < LOOKS_FOR {
                state = self.work.wait_timeout(state, look).unwrap_or_else(PoisonError::into_inner).0;
                look = LOOK.min(2 * look);
                continue;
            }
            state.writer_waits = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_from(state: &mut State, spare: &mut Vec<u8>) -> Option<Batch> {
        if state.records == 0 {
            return None;
        }
        let bytes = mem::replace(&mut state.bytes, mem::take(spare));
        let records = mem::take(&mut state.records) as u64;
        let group = mem::replace(&mut state.group, Group::new());
        state.writing = Some(Arc::clone(&group));
        Some(Batch { bytes, records, group })
    }

    /// Notes that the group in work is durable.
    pub(crate) fn committed(&self, durable: u64) {
        let mut state = self.lock();
        state.durable = durable;
        state.writing = None;
    }

    /// Refuses everything from now on, what is queued and in work included.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        state.phase = Phase::Failed(failure.clone());
        state.bytes = Vec::new();
        state.records = 0;
        let waiting = mem::replace(&mut state.group, Group::new());
        let groups = [state.writing.take(), Some(waiting)];
        drop(state);
        for group in groups.into_iter().flatten() {
            group.finish(Err(failure.clone()));
        }
    }

    /// Takes no more records; those that are queued are still written.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closed;
        }
        drop(state);
        self.work.notify_one();
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.lock();
        Status {
            durable_records: state.durable,
            queued_records: state.records,
            queued_bytes: state.bytes.len(),
            failure: match &state.phase {
                Phase::Failed(failure) => Some(failure.clone()),
                Phase::Open | Phase::Closed => None,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
