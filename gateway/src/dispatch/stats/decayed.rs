//! Means whose old samples fade, published so that reading one takes no lock.
//!
//! Two writers at once may lose one sample, which a mean can bear. Knows no clock: time comes in as milliseconds.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// A number that may not be known yet, and that one writes and many read.
#[derive(Debug)]
pub struct Published(AtomicU32);

impl Default for Published {
    fn default() -> Self {
        Self(AtomicU32::new(f32::NAN.to_bits()))
    }
}

impl Published {
    /// The number; `None` before the first.
    pub fn get(&self) -> Option<f32> {
        Some(f32::from_bits(self.0.load(Relaxed))).filter(|value| !value.is_nan())
    }

    /// Replaces it.
    pub fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// A running mean: of the first samples as it is, then each new one is 1 % of it, and half of it comes from the last 69.
#[derive(Debug, Default)]
pub struct Mean {
    mean: Published,
    samples: AtomicU32,
}

/// The samples after which older ones fade.
const OVER: u32 = 100;

impl Mean {
    /// Takes a sample.
    pub fn add(&self, sample: f32) {
        let samples = self.samples.load(Relaxed).min(OVER - 1) + 1;
        self.samples.store(samples, Relaxed);
        self.mean.set(self.mean.get().map_or(sample, |mean| mean + (sample - mean) / samples as f32));
    }

    /// The mean; `None` before the first sample.
    pub fn get(&self) -> Option<f32> {
        self.mean.get()
    }
}

/// What is left of a number that halves in `half_life`, after `ms`.
pub fn left(ms: u64, half_life: Duration) -> f32 {
    (-(ms as f32) / half_life.as_millis() as f32).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_exact_at_first_and_then_follows_what_is_new() {
        let mean = Mean::default();
        assert_eq!(mean.get(), None);
        [10.0, 20.0, 60.0].iter().for_each(|sample| mean.add(*sample));
        assert!((mean.get().unwrap() - 30.0).abs() < 1e-4);
        (0..500).for_each(|_| mean.add(200.0));
        assert!(mean.get().unwrap() > 195.0);
    }
}
