//! Tells those that wait for a place that one may have become free.
//!
//! A word may be missed by one that begins to wait at the same moment; whoever waits looks again every now and then anyway.
//! Costs one load where nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, futures::Notified};

/// See the module. One for all deployments of a process.
#[derive(Debug, Default)]
pub struct Vacancy {
    standing: AtomicUsize,
    told: Notify,
}

/// One that waits, for as long as this lives.
#[derive(Debug)]
pub struct Standing<'v>(&'v Vacancy);

impl Vacancy {
    /// One more waits.
    pub fn stand(&self) -> Standing<'_> {
        self.standing.fetch_add(1, Relaxed);
        Standing(self)
    }

    /// Whether nobody waits.
    pub fn is_idle(&self) -> bool {
        self.standing.load(Relaxed) == 0
    }

    /// Something may have changed for those that wait.
    pub fn tell(&self) {
        if !self.is_idle() {
            self.told.notify_waiters();
        }
    }

    /// Ends with the next word after it was enabled or polled.
    pub fn told(&self) -> Notified<'_> {
        self.told.notified()
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Relaxed);
    }
}
