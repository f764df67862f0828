//! Whether anybody still waits for the step that is being computed, to be asked while it is.
//!
//! A step of a prompt takes a second on a small machine. When a caller leaves meanwhile, his tokens of the step count as lost;
//! once they are more than the others', the step is given up, and begins again without them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// See the module. Nothing but these numbers passes between the threads, so they need no order.
#[derive(Debug, Default)]
pub struct Interest {
    stopped: AtomicBool,
    /// Tokens of the step.
    tokens: AtomicUsize,
    /// Those of them that nobody waits for.
    lost: AtomicUsize,
}

impl Interest {
    /// Whether to give the step up. Costs no more than reading three numbers.
    pub fn is_lost(&self) -> bool {
        self.is_stopped() || self.lost.load(Relaxed) * 2 > self.tokens.load(Relaxed)
    }

    /// The engine ends.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// A step begins.
    pub fn begin(&self, tokens: usize) {
        self.lost.store(0, Relaxed);
        self.tokens.store(tokens, Relaxed);
    }

    /// Nobody waits for so many of its tokens any more.
    pub fn lose(&self, tokens: usize) {
        self.lost.fetch_add(tokens, Relaxed);
    }
}
