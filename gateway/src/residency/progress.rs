//! How far the loading of a model is, and whether anybody still wants it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// A share in thousandths that whoever loads may set. One that says nothing stays at 0, and is told by the time that
/// loading took before.
#[derive(Debug, Default)]
pub struct Progress {
    thousandths: AtomicU32,
    unwanted: AtomicBool,
}

impl Progress {
    /// So many of 1,000 parts are done.
    pub fn set(&self, thousandths: u32) {
        self.thousandths.store(thousandths.min(1_000), Relaxed);
    }

    /// The share that is done, where it is told: 0 to 1.
    pub fn share(&self) -> Option<f64> {
        Some(self.thousandths.load(Relaxed)).filter(|done| *done > 0).map(|done| f64::from(done) / 1_000.0)
    }

    /// Whether the model is to be loaded still: whoever loads it may give up where it is not.
    pub fn is_wanted(&self) -> bool {
        !self.unwanted.load(Relaxed)
    }

    /// Nobody wants the model any more.
    pub(super) fn give_up(&self) {
        self.unwanted.store(true, Relaxed);
    }
}
