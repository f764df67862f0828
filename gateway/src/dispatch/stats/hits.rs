//! How far it can be relied on that a place has cached what it was sent before.
//!
//! A place may have dropped a prefix, cache only prompts of some length, or have several machines behind one address.
//! What it reports is compared with what was expected of it, token by token; old answers fade. A place that has never
//! reported a cached token may not report them at all, so it teaches nothing.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use backends::Usage;

use super::decayed::Mean;

/// Before anything is known, as if so many answers had met what was expected.
const BELIEVED: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hits {
    reports: AtomicBool,
    /// Tokens that were expected to be cached, and those of them that were.
    expected: Mean,
    cached: Mean,
}

impl Hits {
    /// Takes the counts of an answer of whose prompt this share was expected to be cached.
    pub(super) fn add(&self, share: f32, usage: &Usage) {
        if usage.cached_tokens > 0 && !self.reports.load(Relaxed) {
            self.reports.store(true, Relaxed);
        }
        let expected = share.min(1.0) * usage.prompt_tokens as f32;
        if !self.reports.load(Relaxed) || expected < 1.0 {
            return;
        }
        if self.expected.get().is_none() {
            for _ in 0..BELIEVED {
                self.expected.add(expected);
                self.cached.add(expected);
            }
        }
        self.expected.add(expected);
        self.cached.add((usage.cached_tokens as f32).min(expected));
    }

    /// The share of what is expected that is met: 1 until something else is known.
    pub(super) fn rate(&self) -> f32 {
        match (self.cached.get(), self.expected.get()) {
            (Some(cached), Some(expected)) if expected > 0.0 => (cached / expected).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cached_tokens: u64) -> Usage {
        Usage { prompt_tokens: 1_000, cached_tokens, ..Usage::default() }
    }

    #[test]
    fn a_place_that_reports_no_cached_tokens_teaches_nothing_until_it_has_reported_some() {
        let hits = Hits::default();
        (0..100).for_each(|_| hits.add(0.9, &usage(0)));
        assert_eq!(hits.rate(), 1.0);
        hits.add(0.9, &usage(900));
        assert_eq!(hits.rate(), 1.0);
        (0..400).for_each(|_| hits.add(0.9, &usage(0)));
        assert!(hits.rate() < 0.1, "{}", hits.rate());
    }

    #[test]
    fn the_rate_is_that_of_tokens_and_one_miss_does_not_undo_it() {
        let hits = Hits::default();
        hits.add(0.5, &usage(800));
        assert_eq!(hits.rate(), 1.0, "more than expected is no better than that");
        hits.add(0.5, &usage(0));
        assert!((hits.rate() - 0.9).abs() < 1e-3, "{}", hits.rate());
        (0..1_000).for_each(|nth| hits.add(0.5, &usage(if nth % 2 == 0 { 500 } else { 0 })));
        assert!((hits.rate() - 0.5).abs() < 0.02, "{}", hits.rate());
        hits.add(0.0, &usage(0));
        assert!((hits.rate() - 0.5).abs() < 0.02, "nothing was expected");
    }
}
