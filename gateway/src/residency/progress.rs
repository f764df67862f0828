//! How far the loading of a model is.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A share in thousandths that whoever loads may set. One that says nothing stays at 0, and is told by the time that
/// loading took before.
#[derive(Debug, Default)]
pub struct Progress(AtomicU32);

impl Progress {
    /// So many of 1,000 parts are done.
    pub fn set(&self, thousandths: u32) {
        self.0.store(thousandths.min(1_000), Relaxed);
    }

    /// The share that is done, where it is told: 0 to 1.
    pub fn share(&self) -> Option<f64> {
        Some(self.0.load(Relaxed)).filter(|done| *done > 0).map(|done| f64::from(done) / 1_000.0)
    }
}
