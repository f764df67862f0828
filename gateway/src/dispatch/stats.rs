//! What the gateway learns about a deployment from the answers it gives: latency, errors, whether to leave it alone.
//!
//! The breaker: closed (requests pass) -> open (left out of plans) after three failures in a row -> when its
//! delay is over, half-open (the next request is the probe, others stay away) -> closed, or open for twice as
//! long. A failure is the backend's own; a caller's mistake or a cancelled request counts neither way.
//!
//! Plans read every deployment of a route, so reading takes no lock: numbers are published as atomics by the few
//! that write. Knows nothing of models, prices or policies.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use backends::{BackendError, Class, Fault, Load};
use policies::Live;
use tokio::time::Instant;

/// Failures in a row that open the breaker.
const TRIP: u32 = 3;
/// How long it stays open the first time.
const FIRST_OPEN: Duration = Duration::from_secs(5);
/// How long it stays open at most.
const LONGEST_OPEN: Duration = Duration::from_secs(60);
/// Weight of the newest sample in the running means: half of the mean comes from the last seven.
const WEIGHT: f32 = 0.1;
/// The error rate halves in this time without a request, so that a repaired backend is tried again.
const ERROR_HALF_LIFE: Duration = Duration::from_secs(30);

/// Statistics of one deployment. They outlive a reload.
#[derive(Debug)]
pub struct Stats {
    /// Moments are kept as milliseconds since then.
    epoch: Instant,
    running: AtomicU32,
    /// Means in milliseconds as `f32` bits; NaN until the first sample.
    ttft_ms: AtomicU32,
    tpot_ms: AtomicU32,
    error_rate: AtomicU32,
    error_at_ms: AtomicU64,
    /// The breaker is open until then; 0 when closed.
    open_until_ms: AtomicU64,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures_in_a_row: u32,
    /// How often it opened since the last success.
    openings: u32,
}

impl Default for Stats {
    fn default() -> Self {
        let unknown = f32::NAN.to_bits();
        Self {
            epoch: Instant::now(),
            running: AtomicU32::new(0),
            ttft_ms: AtomicU32::new(unknown),
            tpot_ms: AtomicU32::new(unknown),
            error_rate: AtomicU32::new(0),
            error_at_ms: AtomicU64::new(0),
            open_until_ms: AtomicU64::new(0),
            breaker: Mutex::default(),
        }
    }
}

impl Stats {
    /// What plans see, from these numbers and the backend's own.
    pub fn live(&self, now: Instant, load: Load) -> Live {
        Live {
            healthy: load.healthy && self.open_until_ms.load(Relaxed) <= self.ms(now),
            running: load.running.max(self.running.load(Relaxed)),
            queued: load.queued,
            ttft_ms: known(&self.ttft_ms),
            tpot_ms: known(&self.tpot_ms),
            error_rate: self.error_rate(now),
            cached_prefix_tokens: load.cached_prefix,
        }
    }

    /// Starts an attempt; `None` while the breaker is open or another request is its probe.
    pub fn begin(self: &Arc<Self>) -> Option<Attempt> {
        let now = Instant::now();
        let open_until = self.open_until_ms.load(Relaxed);
        let probe = open_until != 0;
        if probe {
            let now_ms = self.ms(now);
            // Whoever moves the moment on is the probe; the others keep away until it is over or lost.
            let next = now_ms + FIRST_OPEN.as_millis() as u64;
            if open_until > now_ms || self.open_until_ms.compare_exchange(open_until, next, Relaxed, Relaxed).is_err() {
                return None;
            }
        }
        self.running.fetch_add(1, Relaxed);
        Some(Attempt { stats: Arc::clone(self), started: now, first: None, probe })
    }

    fn close(&self, breaker: &mut Breaker) {
        *breaker = Breaker::default();
        self.open_until_ms.store(0, Relaxed);
    }

    fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_millis() as u64
    }

    fn error_rate(&self, now: Instant) -> f32 {
        let rate = f32::from_bits(self.error_rate.load(Relaxed));
        if rate == 0.0 {
            return 0.0;
        }
        let idle_ms = self.ms(now).saturating_sub(self.error_at_ms.load(Relaxed));
        rate * (-(idle_ms as f32) / ERROR_HALF_LIFE.as_millis() as f32).exp2()
    }

    /// Takes the outcome of an attempt: an error of the backend, or success. What began before the breaker opened
    /// and fails after it opens it no further: only a failed probe does.
    fn outcome(&self, failed: bool, probe: bool) {
        let now = Instant::now();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = self.error_rate(now);
        let rate = rate + WEIGHT * (f32::from(u8::from(failed)) - rate);
        self.error_rate.store(rate.to_bits(), Relaxed);
        self.error_at_ms.store(self.ms(now), Relaxed);
        if !failed {
            self.close(&mut breaker);
            return;
        }
        breaker.failures_in_a_row += 1;
        let closed = self.open_until_ms.load(Relaxed) == 0;
        if breaker.failures_in_a_row >= TRIP && (closed || probe) {
            let delay = FIRST_OPEN.saturating_mul(1 << breaker.openings.min(8)).min(LONGEST_OPEN);
            // Up to a quarter more, so that gateways do not probe in step.
            let delay = delay.mul_f32(rand::random_range(1.0..1.25));
            breaker.openings += 1;
            self.open_until_ms.store(self.ms(now + delay).max(1), Relaxed);
        }
    }
}

fn known(bits: &AtomicU32) -> Option<f32> {
    Some(f32::from_bits(bits.load(Relaxed))).filter(|value| !value.is_nan())
}

/// Moves a running mean. Two writers at once may lose one sample, which a mean can bear.
fn sample(mean: &AtomicU32, value: f32) {
    let next = known(mean).map_or(value, |old| old + WEIGHT * (value - old));
    mean.store(next.to_bits(), Relaxed);
}

/// One attempt at a deployment. Dropped without an outcome it was cancelled, which says nothing of the backend.
#[derive(Debug)]
pub struct Attempt {
    stats: Arc<Stats>,
    started: Instant,
    first: Option<Instant>,
    /// It is the one that tries whether the backend is well again.
    probe: bool,
}

impl Attempt {
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
        if self.probe {
            // It answers: others need not wait until this answer is whole.
            self.probe = false;
            self.stats.close(&mut self.stats.breaker.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Some(now - self.started)
    }

    /// The answer is whole. `streamed` answers tell latencies; whole ones only that it worked.
    pub fn succeeded(self, completion_tokens: u64, streamed: bool) {
        if let (true, Some(first)) = (streamed, self.first) {
            sample(&self.stats.ttft_ms, (first - self.started).as_secs_f32() * 1e3);
            if completion_tokens > 1 {
                let each = (Instant::now() - first).as_secs_f32() * 1e3 / (completion_tokens - 1) as f32;
                sample(&self.stats.tpot_ms, each);
            }
        }
        self.stats.outcome(false, self.probe);
    }

    /// The attempt failed.
    pub fn failed(self, error: &BackendError) {
        // A backend at capacity is well: it rests for nobody, and says itself when to come back.
        if error.fault() == Fault::Backend && error.class() != Class::TooManyRequests {
            self.stats.outcome(true, self.probe);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.stats.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> BackendError {
        BackendError::Internal { reason: "x".into() }
    }

    fn healthy(stats: &Stats) -> bool {
        stats.live(Instant::now(), Load::IDLE).healthy
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_open_the_breaker_and_one_probe_closes_it() {
        let stats = Arc::new(Stats::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..TRIP {
            assert!(healthy(&stats));
            stats.begin().unwrap().failed(&broken());
        }
        assert!(!healthy(&stats) && stats.begin().is_none());
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        assert!(healthy(&stats));
        let probe = stats.begin().unwrap();
        assert!(stats.begin().is_none(), "only one request is the probe");
        probe.succeeded(1, true);
        assert!(healthy(&stats) && stats.begin().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_it_for_longer_and_a_lost_one_does_not_hold_it_forever() {
        let stats = Arc::new(Stats::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..TRIP {
            stats.begin().unwrap().failed(&broken());
        }
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        stats.begin().unwrap().failed(&broken());
        tokio::time::advance(FIRST_OPEN.mul_f32(1.5)).await;
        assert!(!healthy(&stats), "the second delay is twice as long");
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        drop(stats.begin().unwrap());
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        assert!(healthy(&stats), "a cancelled probe lets another try");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_requests_that_were_under_way_open_it_no_further() {
        let stats = Arc::new(Stats::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        let under_way: Vec<_> = (0..10).map(|_| stats.begin().unwrap()).collect();
        under_way.into_iter().for_each(|attempt| attempt.failed(&broken()));
        assert!(!healthy(&stats));
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        assert!(healthy(&stats), "as long as the first time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_content_of_a_probe_lets_the_others_in() {
        let stats = Arc::new(Stats::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        (0..TRIP).for_each(|_| stats.begin().unwrap().failed(&broken()));
        tokio::time::advance(FIRST_OPEN.mul_f32(1.3)).await;
        let mut probe = stats.begin().unwrap();
        probe.first_token();
        assert!(stats.begin().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_callers_mistake_a_full_backend_and_a_cancel_count_for_nothing() {
        let stats = Arc::new(Stats::default());
        for _ in 0..10 {
            stats.begin().unwrap().failed(&BackendError::PromptTooLong { got: 2, limit: 1 });
            stats.begin().unwrap().failed(&BackendError::Overloaded { retry_after: None });
            drop(stats.begin().unwrap());
        }
        let live = stats.live(Instant::now(), Load::IDLE);
        assert_eq!((live.healthy, live.error_rate, live.running), (true, 0.0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_fails_fast_has_a_high_error_rate_that_fades() {
        let stats = Arc::new(Stats::default());
        for _ in 0..2 {
            stats.begin().unwrap().failed(&broken());
        }
        let now = stats.live(Instant::now(), Load::IDLE).error_rate;
        assert!(now > 0.15, "{now}");
        tokio::time::advance(ERROR_HALF_LIFE).await;
        let later = stats.live(Instant::now(), Load::IDLE).error_rate;
        assert!((later / now - 0.5).abs() < 0.01, "{later}");
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_are_means_of_streamed_answers() {
        let stats = Arc::new(Stats::default());
        let mut attempt = stats.begin().unwrap();
        tokio::time::advance(Duration::from_millis(40)).await;
        assert_eq!(attempt.first_token(), Some(Duration::from_millis(40)));
        assert_eq!(attempt.first_token(), None);
        tokio::time::advance(Duration::from_millis(90)).await;
        attempt.succeeded(10, true);
        let live = stats.live(Instant::now(), Load::IDLE);
        assert!((live.ttft_ms.unwrap() - 40.0).abs() < 0.1 && (live.tpot_ms.unwrap() - 10.0).abs() < 0.1);
    }
}
