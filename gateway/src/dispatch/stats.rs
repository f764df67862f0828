//! What the gateway learns about a deployment from the answers it gives: how long they take by size of the prompt, how
//! many fail, how much of a prompt it had cached and whether that was expected (`hits`), how many requests it bears at a
//! time (`ceiling`), and whether to leave it alone for a while ([`Breaker`]).
//!
//! Old samples fade, each kind in its own way: latencies (`histogram`), means (`decayed`), failures (`errors`). A failure
//! is the backend's own; a caller's mistake or a cancelled request counts neither way.
//!
//! Plans read every deployment of a route, so reading takes no lock: numbers are published as atomics by the few
//! that write. Knows nothing of models, prices or policies, and of routes only how long their answers are
//! (`lengths`).

mod attempt;
mod ceiling;
mod decayed;
mod errors;
mod histogram;
mod hits;
mod latencies;
mod lengths;
mod size;
mod vacancy;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use backends::{Breaker, Load, Pass, Usage};
use policies::{Live, Spread};
use tokio::time::Instant;

use self::{attempt::Running, ceiling::Ceiling, decayed::Mean, errors::Errors, hits::Hits, latencies::Latencies};

pub use self::{
    attempt::Attempt,
    lengths::{Length, Lengths},
    size::Size,
    vacancy::{Standing, Vacancy},
};

/// Numbers are relied on for this long after something was last heard.
const FRESH: Duration = Duration::from_secs(15);

/// Statistics of one deployment, shared by all routes. They outlive a reload.
#[derive(Debug)]
pub struct Stats {
    epoch: Epoch,
    running: AtomicU32,
    /// Told of each request that ends.
    vacancy: Arc<Vacancy>,
    breaker: Breaker,
    ceiling: Ceiling,
    errors: Errors,
    /// Of the prompts of whole answers: their tokens, and how many of these were cached.
    prompt_tokens: Mean,
    cached_tokens: Mean,
    /// Of the part of a prompt that was expected to be cached, what was.
    hits: Hits,
    latencies: Latencies,
}

/// Moments are kept as milliseconds since then. All statistics of a process share one, so that the time of a plan is
/// worked out once for hundreds of deployments.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(Instant);

impl Epoch {
    /// The epoch of a process that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds until a moment.
    pub fn ms(self, at: Instant) -> u64 {
        at.saturating_duration_since(self.0).as_millis() as u64
    }
}

impl Stats {
    /// Statistics without a sample.
    pub fn new(epoch: Epoch, vacancy: Arc<Vacancy>) -> Self {
        Self { vacancy, ..Self::seeded(epoch, rand::random()) }
    }

    /// The same with a known seed for the breaker's delays.
    fn seeded(epoch: Epoch, seed: u64) -> Self {
        Self {
            epoch,
            running: AtomicU32::new(0),
            vacancy: Arc::default(),
            breaker: Breaker::new(seed),
            ceiling: Ceiling::default(),
            errors: Errors::default(),
            prompt_tokens: Mean::default(),
            cached_tokens: Mean::default(),
            hits: Hits::default(),
            latencies: Latencies::default(),
        }
    }

    /// What plans for prompts of this size see at a moment, from these numbers and the backend's own.
    pub fn live(&self, now_ms: u64, load: Load, size: Size) -> Live {
        let running = self.running.load(Relaxed);
        let (ttft, tpot) = self.latencies.of(size);
        Live {
            healthy: load.healthy && !self.breaker.is_open(now_ms),
            // One that is under way will tell soon.
            fresh: running > 0 || self.errors.heard(now_ms, FRESH),
            running: load.running.max(running),
            queued: load.queued,
            ttft,
            tpot,
            error_rate: self.errors.rate(now_ms),
            cached_share: self.cached_share(),
            cached_prefix_tokens: load.cached_prefix.map(|tokens| (tokens as f32 * self.hits.rate()) as u32),
            throttled_ms: load.throttled_for.map_or(0, |time| (time.as_millis() as u32).max(1)),
            full: running >= self.ceiling.of(now_ms),
            quota_left: load.quota_left.unwrap_or(1.0),
            cache_used: load.cache_used.unwrap_or(0.0),
            wait_ms: load.wait.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
            starts_ms: load.starts_in.map_or(0, |time| (time.as_millis() as u32).max(1)),
        }
    }

    /// The configuration says how many requests may run there at a time, or nothing.
    pub fn set_most(&self, most: Option<u32>) {
        self.ceiling.set_most(most);
    }

    /// The time to the first token of prompts of this size, where it was measured.
    pub fn ttft(&self, size: Size) -> Option<Spread> {
        self.latencies.of(size).0
    }

    /// Starts an attempt; `None` while the breaker is open or another request is its probe, and where as many run there
    /// as may.
    pub fn begin(self: &Arc<Self>, size: Size) -> Option<Attempt> {
        let now = Instant::now();
        let now_ms = self.epoch.ms(now);
        let running = Running::enter(Arc::clone(self), self.ceiling.of(now_ms))?;
        let pass = self.breaker.pass(now_ms)?;
        Some(Attempt::new(running, size, now, pass))
    }

    fn refused(&self, now: Instant) {
        self.ceiling.refused(self.running.load(Relaxed), self.epoch.ms(now));
    }

    /// An answer is whole, of whose prompt a share was expected to be cached.
    fn succeeded(&self, usage: Usage, expected: f32, now: Instant) {
        self.hits.add(expected, &usage);
        if usage.prompt_tokens > 0 {
            self.prompt_tokens.add(usage.prompt_tokens as f32);
            self.cached_tokens.add(usage.cached_tokens.min(usage.prompt_tokens) as f32);
        }
        self.errors.add(false, self.epoch.ms(now));
        self.breaker.succeeded();
        self.ceiling.answered(self.running.load(Relaxed));
    }

    fn failed(&self, pass: Pass, now: Instant) {
        let now_ms = self.epoch.ms(now);
        self.errors.add(true, now_ms);
        self.breaker.failed(now_ms, pass);
    }

    fn cached_share(&self) -> f32 {
        match (self.cached_tokens.get(), self.prompt_tokens.get()) {
            (Some(cached), Some(prompt)) if cached > 0.0 => (cached / prompt).min(1.0),
            _ => 0.0,
        }
    }
}
