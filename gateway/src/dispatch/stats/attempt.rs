//! One attempt at a deployment, from the moment it is sent to its outcome.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use backends::{BackendError, Class, Fault, Pass, Usage};
use tokio::time::Instant;

use super::{Stats, size::Size};

/// A request that runs at a deployment, for as long as this lives.
#[derive(Debug)]
pub(super) struct Running(Arc<Stats>);

impl Running {
    /// One more, where fewer than `most` run.
    pub(super) fn enter(stats: Arc<Stats>, most: u32) -> Option<Self> {
        let one_more = |running| Some(running + 1).filter(|_| running < most);
        stats.running.fetch_update(Relaxed, Relaxed, one_more).is_ok().then(|| Self(stats))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
        self.0.vacancy.tell();
    }
}

/// One attempt at a deployment. Dropped without an outcome it was cancelled, which says nothing of the backend.
#[derive(Debug)]
pub struct Attempt {
    running: Running,
    size: Size,
    started: Instant,
    first: Option<Instant>,
    pass: Pass,
    /// The share of the prompt that is expected to be cached.
    cached: f32,
}

impl Attempt {
    pub(super) fn new(running: Running, size: Size, started: Instant, pass: Pass) -> Self {
        Self { running, size, started, first: None, pass, cached: 0.0 }
    }

    /// The same, where this share of the prompt is expected to be cached.
    #[must_use]
    pub fn expecting(self, cached: f32) -> Self {
        Self { cached, ..self }
    }

    fn stats(&self) -> &Stats {
        &self.running.0
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The backend is ready for it only now: what it waited for says nothing of how fast it answers.
    pub fn begins_now(&mut self) {
        self.started = Instant::now();
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
            self.stats().breaker.succeeded();
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
            let stats = self.stats();
            stats.latencies.add(self.size, ms(first - self.started), tpot, stats.epoch.ms(now));
        }
        self.stats().succeeded(usage, self.cached, now);
    }

    /// The attempt failed.
    pub fn failed(self, error: &BackendError) {
        match (error.class(), error.fault()) {
            // A backend at capacity is well, and says itself when to come back; where it does not, it is given less.
            (Class::TooManyRequests, _) if error.retry_after().is_none() => self.stats().refused(Instant::now()),
            (Class::TooManyRequests, _) | (_, Fault::Caller | Fault::Us) => {}
            (_, Fault::Backend) => self.stats().failed(self.pass, Instant::now()),
        }
    }
}
