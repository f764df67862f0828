//! The reader's end of a request: a stream that wakes the loop when there is room again or nobody reads.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
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
    pub(super) shared: Arc<Shared>,
}

impl Flow {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { stalled: AtomicBool::new(false), shared }
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
        self.flow.shared.wake();
    }
}
