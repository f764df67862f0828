//! What can be seen of the requests of a host from outside: how many are open now, and what became of each. A test
//! waits for a cancel to arrive instead of sleeping.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use crate::socket::Line;

/// How a request ended at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole answer was handed to the connection.
    Answered,
    /// The host broke it off, as its script says.
    Broken,
    /// The client went away before the host was done.
    Cancelled,
}

/// What became of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    end: OnceLock<End>,
    sent: AtomicU64,
}

impl Progress {
    pub(crate) fn end(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Bytes of the answer's body that were handed to the connection.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The number of open requests.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(Arc<watch::Sender<usize>>);

/// One open request; it is closed by the drop.
#[derive(Debug)]
pub(crate) struct Open {
    gauge: Gauge,
    progress: Arc<Progress>,
    /// The connection that it came on.
    line: Line,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn open(&self, line: Line) -> Open {
        self.0.send_modify(|running| *running += 1);
        Open { gauge: self.clone(), progress: Arc::default(), line }
    }

    pub(crate) fn now(&self) -> usize {
        *self.0.borrow()
    }

    pub(crate) async fn until(&self, wanted: usize) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|running| *running == wanted).await;
    }
}

impl Open {
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Says how it ended, unless that is said.
    pub(crate) fn ends(&self, end: End) {
        let _ = self.progress.end.set(end);
    }

    pub(crate) fn sends(&self, bytes: usize) {
        self.progress.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ends(End::Cancelled);
        self.gauge.0.send_modify(|running| *running -= 1);
    }
}
