//! The promise that a record will be durable, shared by all records of one group.
//!
//! A group of records is written and synced together, so one allocation serves all their tickets; a waker is
//! stored only for a ticket that was polled before its group was done. A channel per record would cost an
//! allocation and two atomic hand-overs for each.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crate::{AppendError, Failure, Position};

/// Resolves once its record is durable, or never will be. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "the record is durable only once the ticket has resolved"]
pub struct Ticket {
    group: Arc<Group>,
    sequence: u64,
    /// Where the record lies within its group's bytes.
    offset: u64,
    /// Where this ticket's waker is kept, once it has one.
    slot: Option<usize>,
}

impl Ticket {
    pub(crate) fn new(group: Arc<Group>, sequence: u64, offset: u64) -> Self {
        Self { group, sequence, offset, slot: None }
    }

    /// The number that the record has, or would have, in the log.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Blocks the thread until the record is durable. For callers outside an async runtime.
    ///
    /// # Errors
    /// The log failed before the record was durable.
    pub fn wait(mut self) -> Result<Position, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Ticket {
    type Output = Result<Position, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = &mut *self;
        match &mut *ticket.group.lock() {
            State::Done(Ok(base)) => Poll::Ready(Ok(Position {
                sequence: ticket.sequence,
                segment: base.segment,
                offset: base.offset + ticket.offset,
            })),
            State::Done(Err(failure)) => Poll::Ready(Err(AppendError::Failed(failure.clone()))),
            State::Waiting(wakers) => {
                match ticket.slot {
                    Some(slot) => wakers[slot].clone_from(context.waker()),
                    None => {
                        ticket.slot = Some(wakers.len());
                        wakers.push(context.waker().clone());
                    }
                }
                Poll::Pending
            }
        }
    }
}

/// Where the bytes of a group begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Records that are written and synced together.
#[derive(Debug)]
pub(crate) struct Group(Mutex<State>);

#[derive(Debug)]
enum State {
    Waiting(Vec<Waker>),
    Done(Result<Base, Failure>),
}

impl Group {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Waiting(Vec::new()))))
    }

    /// Resolves all tickets, those that wait in the order in which they began to.
    pub(crate) fn finish(&self, result: Result<Base, Failure>) {
        let before = std::mem::replace(&mut *self.lock(), State::Done(result));
        // Woken outside the lock: a waker may run its task at once.
        if let State::Waiting(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
