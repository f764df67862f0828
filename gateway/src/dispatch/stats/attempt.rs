//! One attempt at a deployment, from the moment it is sent to its outcome.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use backends::{BackendError, Class, Fault, Usage};
use tokio::time::Instant;

use super::{Stats, breaker::Pass, size::Size};

/// One attempt at a deployment. Dropped without an outcome it was cancelled, which says nothing of the backend.
#[derive(Debug)]
pub struct Attempt {
    stats: Arc<Stats>,
    size: Size,
    started: Instant,
    first: Option<Instant>,
    pass: Pass,
}

impl Attempt {
    pub(super) fn new(stats: Arc<Stats>, size: Size, started: Instant, pass: Pass) -> Self {
        stats.running.fetch_add(1, Relaxed);
        Self { stats, size, started, first: None, pass }
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The first content is here; the time to it if this is the first call.
    pub fn first_token(&mut self) -> Option<Duration> {
        if self.first.is_some() {
            return None;
        }
        let now = Instant::now();
        self.first = Some(now);
        if self.pass == Pass::Probe {
            // It answers: others need not wait until this answer is whole.
            self.pass = Pass::Usual;
            self.stats.breaker.succeeded();
        }
        Some(now - self.started)
    }

    /// The answer is whole. `streamed` answers tell latencies; whole ones only that it worked. Only what succeeds tells a
    /// latency, so that a backend which fails fast does not look quick.
    pub fn succeeded(self, usage: Usage, streamed: bool) {
        let now = Instant::now();
        if let (true, Some(first)) = (streamed, self.first) {
            let ms = |time: Duration| time.as_secs_f32() * 1e3;
            let further = usage.completion_tokens.saturating_sub(1);
            let tpot = (further > 0).then(|| ms(now - first) / further as f32);
            self.stats.latencies.add(self.size, ms(first - self.started), tpot, self.stats.epoch.ms(now));
        }
        self.stats.succeeded(usage, now);
    }

    /// The attempt failed.
    pub fn failed(self, error: &BackendError) {
        // A backend at capacity is well: it rests for nobody, and says itself when to come back.
        if error.fault() == Fault::Backend && error.class() != Class::TooManyRequests {
            self.stats.failed(self.pass, Instant::now());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.stats.running.fetch_sub(1, Relaxed);
    }
}
