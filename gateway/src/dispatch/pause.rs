//! Which candidate that failed is asked once more, and when: where nobody else is left to try, and its failure may pass.
//!
//! Each pause is a random part of a bound that doubles with every failure there, so that requests that failed together do
//! not come back together; and it is no shorter than what the backend said itself. Knows candidates by their places in the
//! plan alone.

use std::time::Duration;

use backends::{BackendError, Class};
use rand::Rng as _;
use tokio::time::Instant;

/// The longest pause after the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// The longest of all that the backend did not ask for.
const LONGEST: Duration = Duration::from_secs(5);

/// The candidates that may be asked once more.
#[derive(Debug)]
pub(super) struct Again {
    /// How often each.
    times: u32,
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    candidate: usize,
    failures: u32,
    /// When it may be asked, where it waits for that.
    at: Option<Instant>,
}

impl Again {
    /// Nobody yet; each so often.
    pub(super) fn new(times: u32) -> Self {
        Self { times, failed: Vec::new() }
    }

    /// A candidate failed now.
    pub(super) fn failed(&mut self, candidate: usize, error: &BackendError, now: Instant) {
        let passes = [Class::Connect, Class::TooManyRequests, Class::ServerError, Class::BadStream];
        if self.times == 0 || !passes.contains(&error.class()) {
            return;
        }
        let known = self.failed.iter().position(|failed| failed.candidate == candidate);
        let before = known.map_or(0, |at| self.failed.swap_remove(at).failures);
        let bound = FIRST.saturating_mul(1 << before.min(8)).min(LONGEST);
        let pause = rand::rng().random_range(Duration::ZERO..=bound).max(error.retry_after().unwrap_or_default());
        if let Some(at) = now.checked_add(pause) {
            self.failed.push(Failed { candidate, failures: before + 1, at: Some(at) });
        }
    }

    /// Takes the one that may be asked first, and says when.
    pub(super) fn next(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let open = self.failed.iter_mut().filter(|failed| failed.failures <= self.times && failed.at.is_some());
        let next = open.min_by_key(|failed| (failed.at, failed.candidate))?;
        Some((next.candidate, next.at.take()?.max(now)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> BackendError {
        BackendError::Status { status, body: Bytes::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_asked_once_more_as_often_as_it_may_after_what_may_pass() {
        let now = Instant::now();
        let mut again = Again::new(2);
        again.failed(3, &status(500, None), now);
        let (candidate, at) = again.next(now).expect("once more");
        assert!(candidate == 3 && at >= now && at <= now + FIRST);
        again.failed(3, &status(503, None), now);
        assert!(again.next(now).expect("twice").1 <= now + FIRST * 2);
        again.failed(3, &status(500, None), now);
        assert_eq!(again.next(now), None, "that was all");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_not_tried_again_and_nothing_is_where_nothing_may_be() {
        let now = Instant::now();
        let mut again = Again::new(1);
        for error in [status(401, None), status(400, None), BackendError::PromptTooLong { got: 2, limit: 1 }] {
            again.failed(0, &error, now);
            assert_eq!(again.next(now), None, "{error}");
        }
        let mut never = Again::new(0);
        never.failed(0, &status(500, None), now);
        assert_eq!(never.next(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_backends_own_word_is_waited_for() {
        let now = Instant::now();
        let mut again = Again::new(1);
        again.failed(0, &status(429, Some(20)), now);
        assert_eq!(again.next(now), Some((0, now + Duration::from_secs(20))));
        again.failed(1, &status(429, Some(u64::MAX)), now);
        assert!(again.next(now).is_none_or(|(candidate, _)| candidate == 0), "a moment that never comes");
    }
}
