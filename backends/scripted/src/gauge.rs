//! Counts the requests that are open now, so that a test can wait for a cancel to arrive instead of sleeping.

use std::sync::Arc;

use tokio::sync::watch;

/// The number of open requests.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(Arc<watch::Sender<usize>>);

/// One open request; it is closed by the drop.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Gauge {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn open(&self) -> Open {
        self.0.send_modify(|running| *running += 1);
        Open(self.clone())
    }

    pub(crate) fn now(&self) -> usize {
        *self.0.borrow()
    }

    pub(crate) async fn until(&self, wanted: usize) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|running| *running == wanted).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|running| *running -= 1);
    }
}
