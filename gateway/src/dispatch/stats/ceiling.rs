//! How many requests a deployment is given at a time: no more than the configuration says, and fewer for a while after it
//! said that it has too many.
//!
//! Additive increase, multiplicative decrease. A refusal for want of room leaves seven tenths of what ran there, at most
//! once a second, so that one moment of overload counts once. A success near the bound raises it by one over the bound: by
//! one in the time in which the bound is once worked through. Five minutes after the last refusal it is forgotten. Knows no
//! clock: time comes in as milliseconds. Asking takes no lock.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a refusal leaves of the requests that ran.
const LEFT: f32 = 0.7;
/// Refusals within this time count once.
const ONCE_IN: Duration = Duration::from_secs(1);
/// A bound that was learnt holds for this long after the last refusal.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// The share of the bound that has to run for a success to raise it: below, it says nothing of the bound.
const NEAR: f32 = 0.8;

/// See the module.
#[derive(Debug)]
pub struct Ceiling {
    /// What the configuration says; `u32::MAX` where it says nothing.
    most: AtomicU32,
    /// What was learnt, as `f32` bits; infinite where nothing was.
    learnt: AtomicU32,
    /// When it last refused; 0 before the first time.
    refused_ms: AtomicU64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            most: AtomicU32::new(u32::MAX),
            learnt: AtomicU32::new(f32::INFINITY.to_bits()),
            refused_ms: AtomicU64::new(0),
        }
    }
}

impl Ceiling {
    /// The configuration says how many requests may run there, or nothing.
    pub fn set_most(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(u32::MAX), Relaxed);
    }

    /// How many requests may run there now; at least one.
    pub fn of(&self, now_ms: u64) -> u32 {
        let most = self.most.load(Relaxed);
        let learnt = f32::from_bits(self.learnt.load(Relaxed));
        // Casts of what is too large give the largest.
        if learnt.is_infinite() || self.is_forgotten(now_ms) { most } else { most.min(learnt as u32).max(1) }
    }

    /// It refused a request for want of room while so many ran there.
    pub fn refused(&self, running: u32, now_ms: u64) {
        let last = self.refused_ms.load(Relaxed);
        if last != 0 && now_ms.saturating_sub(last) < ONCE_IN.as_millis() as u64 {
            return;
        }
        let before = if self.is_forgotten(now_ms) { f32::INFINITY } else { f32::from_bits(self.learnt.load(Relaxed)) };
        let after = (before.min(running as f32) * LEFT).max(1.0);
        self.learnt.store(after.to_bits(), Relaxed);
        self.refused_ms.store(now_ms.max(1), Relaxed);
    }

    /// It answered one while so many ran there. Two at once may count as one.
    pub fn answered(&self, running: u32) {
        let learnt = f32::from_bits(self.learnt.load(Relaxed));
        if learnt.is_finite() && running as f32 >= learnt * NEAR {
            self.learnt.store((learnt + 1.0 / learnt).to_bits(), Relaxed);
        }
    }

    fn is_forgotten(&self, now_ms: u64) -> bool {
        let last = self.refused_ms.load(Relaxed);
        last == 0 || now_ms.saturating_sub(last) > FORGOTTEN_AFTER.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lowers_it_once_a_second_and_successes_near_it_raise_it_again() {
        let ceiling = Ceiling::default();
        assert_eq!(ceiling.of(0), u32::MAX);
        ceiling.refused(10, 1_000);
        ceiling.refused(10, 1_500);
        assert_eq!(ceiling.of(1_500), 7, "one moment of overload");
        ceiling.refused(7, 2_100);
        assert_eq!(ceiling.of(2_100), 4);
        (0..100).for_each(|_| ceiling.answered(1));
        assert_eq!(ceiling.of(2_100), 4, "one that ran alone says nothing");
        (0..5).for_each(|_| ceiling.answered(4));
        assert_eq!(ceiling.of(2_100), 5);
    }

    #[test]
    fn it_never_falls_below_one_and_is_forgotten_after_a_while() {
        let ceiling = Ceiling::default();
        (1..20).for_each(|second| ceiling.refused(1, second * 1_000));
        assert_eq!(ceiling.of(20_000), 1);
        assert_eq!(ceiling.of(20_000 + 300_000), u32::MAX);
    }

    #[test]
    fn the_configuration_bounds_it_from_above() {
        let ceiling = Ceiling::default();
        ceiling.set_most(Some(3));
        assert_eq!(ceiling.of(0), 3);
        ceiling.refused(100, 1_000);
        assert_eq!(ceiling.of(1_000), 3);
        ceiling.set_most(None);
        assert_eq!(ceiling.of(1_000), 70);
    }
}
