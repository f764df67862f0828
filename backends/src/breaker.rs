//! Stops sending to a backend that keeps failing, and tries it again later.
//!
//! Closed (requests pass) -> open (left out of plans) after three failures in a row -> when its delay is over, half-open
//! (the next request is the probe, others stay away) -> closed, or open for twice as long. Whoever calls says what a
//! failure is. Knows no clock: time comes in as milliseconds. Asking whether it is open takes no lock.
//!
//! The gateway has one for each deployment; a backend that is made of several endpoints has one for each of them.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

/// Failures in a row that open it.
pub const TRIP: u32 = 3;
/// How long it stays open the first time.
pub const FIRST_OPEN: Duration = Duration::from_secs(5);
/// How long it stays open at most.
pub const LONGEST_OPEN: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    /// It is open until then; 0 when closed.
    open_until_ms: AtomicU64,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    failures_in_a_row: u32,
    /// How often it opened since the last success.
    openings: u32,
    jitter: SmallRng,
}

/// Leave to send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As usual.
    Usual,
    /// It is the one that tries whether the backend is well again.
    Probe,
}

impl Breaker {
    /// A closed one. The seed decides by how much each delay is longer than its least.
    pub fn new(seed: u64) -> Self {
        let jitter = SmallRng::seed_from_u64(seed);
        Self {
            open_until_ms: AtomicU64::new(0),
            history: Mutex::new(History { failures_in_a_row: 0, openings: 0, jitter }),
        }
    }

    /// Whether plans leave it out.
    pub fn is_open(&self, now_ms: u64) -> bool {
        self.open_until_ms.load(Relaxed) > now_ms
    }

    /// Whether nothing is held against it: it is neither open nor waits for a probe.
    pub fn is_closed(&self) -> bool {
        self.open_until_ms.load(Relaxed) == 0
    }

    /// Leave to send one request; `None` while it is open or another request is its probe.
    pub fn pass(&self, now_ms: u64) -> Option<Pass> {
        let open_until = self.open_until_ms.load(Relaxed);
        if open_until == 0 {
            return Some(Pass::Usual);
        }
        // Whoever moves the moment on is the probe; the others keep away until it is over or lost.
        let next = now_ms + FIRST_OPEN.as_millis() as u64;
        let probe =
            open_until <= now_ms && self.open_until_ms.compare_exchange(open_until, next, Relaxed, Relaxed).is_ok();
        probe.then_some(Pass::Probe)
    }

    /// It answers; whether it was not closed until now.
    pub fn succeeded(&self) -> bool {
        let mut history = self.history();
        (history.failures_in_a_row, history.openings) = (0, 0);
        self.open_until_ms.swap(0, Relaxed) != 0
    }

    /// A request failed; for how long it now opens, if it does. What began before it opened and fails after it opens it no
    /// further: only a failed probe does.
    pub fn failed(&self, now_ms: u64, pass: Pass) -> Option<Duration> {
        let mut history = self.history();
        history.failures_in_a_row += 1;
        let opens = history.failures_in_a_row >= TRIP && (self.is_closed() || pass == Pass::Probe);
        opens.then(|| {
            let delay = FIRST_OPEN.saturating_mul(1 << history.openings.min(8)).min(LONGEST_OPEN);
            // Up to a quarter more, so that gateways do not probe in step.
            let delay = delay.mul_f32(history.jitter.random_range(1.0..1.25));
            history.openings += 1;
            self.open_until_ms.store((now_ms + delay.as_millis() as u64).max(1), Relaxed);
            delay
        })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
