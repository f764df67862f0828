//! The share of recent attempts that failed, and when something was last heard of the backend.
//!
//! A new outcome is a tenth of the rate, and the rate halves in half a minute without one, so that a repaired backend is
//! tried again. Knows no clock: time comes in as milliseconds.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::decayed::left;

/// The rate halves in this time without an outcome.
pub const HALF_LIFE: Duration = Duration::from_secs(30);
/// What the newest outcome is of the rate.
const WEIGHT: f32 = 0.1;

/// See the module.
#[derive(Debug, Default)]
pub struct Errors {
    /// As `f32` bits, at the time of the last outcome.
    rate: AtomicU32,
    /// 0 before the first.
    heard_ms: AtomicU64,
}

impl Errors {
    /// Takes an outcome. Two writers at once may lose one, which a rate can bear.
    pub fn add(&self, failed: bool, now_ms: u64) {
        let rate = self.rate(now_ms);
        let rate = rate + WEIGHT * (f32::from(u8::from(failed)) - rate);
        self.rate.store(rate.to_bits(), Relaxed);
        self.heard_ms.store(now_ms.max(1), Relaxed);
    }

    /// The rate by now.
    pub fn rate(&self, now_ms: u64) -> f32 {
        match f32::from_bits(self.rate.load(Relaxed)) {
            0.0 => 0.0,
            rate => rate * left(now_ms.saturating_sub(self.heard_ms.load(Relaxed)), HALF_LIFE),
        }
    }

    /// Whether there was an outcome in the last `within`.
    pub fn heard(&self, now_ms: u64, within: Duration) -> bool {
        let heard = self.heard_ms.load(Relaxed);
        heard != 0 && now_ms.saturating_sub(heard) <= within.as_millis() as u64
    }
}
