//! How many requests of a backend are under way.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// The number of requests under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU32>);

/// One request under way; it ends with the drop.
#[derive(Debug)]
pub(crate) struct Running(Gauge);

impl Gauge {
    pub(crate) fn enter(&self) -> Running {
        self.0.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
