//! The reader's end of a request: a stream that wakes the loop when there is room again or nobody reads.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

use backends::{BackendError, Event};
use futures_core::Stream;
use tokio::sync::mpsc::Receiver;

use super::{Shared, request::Item};

/// What a reader and the loop tell each other.
pub(super) struct Flow {
    /// The loop waits for this reader.
    pub(super) stalled: AtomicBool,
    /// Nobody reads.
    gone: AtomicBool,
    /// Tokens that the present step has for this reader.
    in_step: AtomicUsize,
    pub(super) shared: Arc<Shared>,
}

impl Flow {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { stalled: AtomicBool::new(false), gone: AtomicBool::new(false), in_step: AtomicUsize::new(0), shared }
    }

    /// A step has so many tokens for this reader.
    pub(super) fn enter(&self, tokens: usize) {
        self.in_step.fetch_add(tokens, SeqCst);
        // Whoever goes looks at the number after he has said so: one of the two sees the other.
        if self.gone.load(SeqCst) {
            self.lose();
        }
    }

    /// The step is over.
    pub(super) fn leave(&self) {
        self.in_step.store(0, SeqCst);
    }

    fn lose(&self) {
        self.shared.interest.lose(self.in_step.swap(0, SeqCst));
    }
}

/// The events of a request. Dropping it cancels the request.
pub(super) struct Events {
    receiver: Receiver<Item>,
    flow: Arc<Flow>,
    ended: bool,
}

impl Events {
    pub(super) fn new(receiver: Receiver<Item>, flow: Arc<Flow>) -> Self {
        Self { receiver, flow, ended: false }
    }
}

impl Stream for Events {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.receiver.poll_recv(cx));
        if self.flow.stalled.swap(false, SeqCst) {
            self.flow.shared.wake();
        }
        // The loop ends every request with one of the two; without them it ended itself.
        let item = item.unwrap_or_else(|| Err(BackendError::Internal { reason: "the engine has stopped".into() }));
        self.ended = matches!(item, Ok(Event::Usage(_)) | Err(_));
        Poll::Ready(Some(item))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.receiver.close();
        self.flow.gone.store(true, SeqCst);
        self.flow.lose();
        self.flow.shared.wake();
    }
}
