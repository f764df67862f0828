//! A histogram of durations whose old samples fade.
//!
//! Buckets are fixed and their bounds grow by 10 %, from 0.1 ms to 10 minutes, so a quantile is at most 5 % off (half a
//! bucket) and a histogram takes less than 1 KB whatever it is fed. The mean is exact. A sample counts half as much
//! after [`HALF_LIFE`], and all of them together never more than [`MOST`] fresh ones: at a busy place a change shows
//! within so many requests, at a quiet one within minutes.
//!
//! Knows no clock: time comes in as milliseconds, and time that goes backwards counts as none.

use std::time::Duration;

use policies::Spread;

/// A sample's weight halves in this time.
pub const HALF_LIFE: Duration = Duration::from_secs(60);
/// What all samples weigh at most, in fresh ones.
pub const MOST: f64 = 128.0;

/// The upper bound of the first bucket, in milliseconds.
const LEAST_MS: f32 = 0.1;
/// From one bound to the next.
const RATIO: f32 = 1.1;
/// Enough to reach 10 minutes; whatever lasts longer counts as that.
const BUCKETS: usize = 165;
/// Weights grow instead of shrinking all others with each sample; beyond this they are scaled back.
const RESCALE: f64 = 1e9;

/// See the module.
#[derive(Clone, Debug)]
pub struct Histogram {
    weights: [f32; BUCKETS],
    /// The sum of all weights, and of each sample times its weight.
    total: f64,
    sum: f64,
    /// What a sample weighs that comes at `at_ms`.
    unit: f64,
    at_ms: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { weights: [0.0; BUCKETS], total: 0.0, sum: 0.0, unit: 1.0, at_ms: 0 }
    }
}

impl Histogram {
    /// Takes a sample, in milliseconds; one that is not a number of at least 0 is left out.
    pub fn add(&mut self, ms: f32, at_ms: u64) {
        if ms.is_nan() || ms < 0.0 {
            return;
        }
        let ms = ms.min(bound(BUCKETS - 1));
        self.unit = (self.unit * growth(at_ms.saturating_sub(self.at_ms))).max(self.total / MOST);
        self.at_ms = self.at_ms.max(at_ms);
        if self.unit > RESCALE {
            // After a long pause the unit may be infinite, and everything old is forgotten.
            let scale = 1.0 / self.unit;
            self.weights.iter_mut().for_each(|weight| *weight *= scale as f32);
            self.total *= scale;
            self.sum *= scale;
            self.unit = 1.0;
        }
        self.weights[bucket(ms)] += self.unit as f32;
        self.total += self.unit;
        self.sum += self.unit * f64::from(ms);
    }

    /// What its samples weigh by then, in fresh ones.
    pub fn weight(&self, at_ms: u64) -> f64 {
        self.total / (self.unit * growth(at_ms.saturating_sub(self.at_ms)))
    }

    /// Mean and quantiles; `None` without a sample.
    pub fn spread(&self) -> Option<Spread> {
        if self.total <= 0.0 {
            return None;
        }
        let [p50, p95] = self.quantiles([0.5, 0.95]);
        Some(Spread { mean: (self.sum / self.total) as f32, p50, p95 })
    }

    /// The times that these shares of the samples, by weight, did not exceed; the shares rise.
    fn quantiles<const N: usize>(&self, shares: [f32; N]) -> [f32; N] {
        let (mut at, mut below) = (0, 0.0);
        shares.map(|share| {
            let wanted = share * self.total as f32;
            // What rounding has left of the total may be in no bucket: then it is the last that holds something.
            let mut found = at;
            while at < BUCKETS && (self.weights[at] == 0.0 || below + self.weights[at] < wanted) {
                found = if self.weights[at] > 0.0 { at } else { found };
                below += self.weights[at];
                at += 1;
            }
            middle(if at < BUCKETS { at } else { found })
        })
    }
}

/// By how much the weight of a new sample exceeds that of one `ms` older.
fn growth(ms: u64) -> f64 {
    (ms as f64 / HALF_LIFE.as_millis() as f64).exp2()
}

fn bucket(ms: f32) -> usize {
    if ms <= LEAST_MS {
        return 0;
    }
    let at = ((ms / LEAST_MS).ln() / RATIO.ln()).ceil();
    (at as usize).min(BUCKETS - 1)
}

/// The middle of a bucket on the scale of its bounds; the first reaches down to 0.
fn middle(at: usize) -> f32 {
    if at == 0 { LEAST_MS } else { bound(at) / RATIO.sqrt() }
}

/// The upper bound of a bucket.
fn bound(at: usize) -> f32 {
    LEAST_MS * RATIO.powi(at as i32)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The weights as they are defined, without forward decay.
    fn weigh(samples: &[(f32, u64)]) -> Vec<(f64, f64)> {
        let mut kept: Vec<(f64, f64)> = Vec::new();
        let mut before = 0;
        for (ms, at) in samples {
            let fade = (-((at - before) as f64) / HALF_LIFE.as_millis() as f64).exp2();
            before = *at;
            kept.iter_mut().for_each(|(_, weight)| *weight *= fade);
            let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
            if total > MOST {
                kept.iter_mut().for_each(|(_, weight)| *weight *= MOST / total);
            }
            kept.push((f64::from(*ms), 1.0));
        }
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept
    }

    fn exact(kept: &[(f64, f64)], share: f64) -> f64 {
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut left = share.clamp(0.0, 1.0) * total;
        for (ms, weight) in kept {
            left -= weight;
            if left <= 0.0 {
                return *ms;
            }
        }
        kept.last().map_or(0.0, |(ms, _)| *ms)
    }

    fn samples() -> impl Strategy<Value = Vec<(f32, u64)>> {
        // Log-uniform from 0.1 ms to 10 minutes, after pauses of up to ten half-lives, most of them short. (Quarters,
        // because proptest 1.12 may panic where a range's smaller end is no multiple of the larger one's last bit.)
        let pause = prop_oneof![8 => 0u64..2_000, 1 => 0u64..600_000];
        vec(((-2.25f32..13.25).prop_map(f32::exp), pause), 1..400).prop_map(|mut samples| {
            let mut at = 0;
            for (_, pause) in &mut samples {
                at += *pause;
                *pause = at;
            }
            samples
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn quantiles_are_within_five_percent_and_the_mean_is_exact(samples in samples(), share in 0.0f32..=1.0) {
            let mut histogram = Histogram::default();
            samples.iter().for_each(|(ms, at)| histogram.add(*ms, *at));
            let kept = weigh(&samples);
            let told = f64::from(histogram.quantiles([share])[0]);
            // The share itself is met to a ten-thousandth: the buckets hold single precision.
            let (low, high) = (exact(&kept, f64::from(share) - 1e-4), exact(&kept, f64::from(share) + 1e-4));
            prop_assert!(told >= low * 0.95 && told <= high * 1.05, "{told} is not near {low} to {high}");
            let weight: f64 = kept.iter().map(|(_, weight)| weight).sum();
            let mean: f64 = kept.iter().map(|(ms, weight)| ms * weight).sum::<f64>() / weight;
            let spread = histogram.spread().unwrap();
            prop_assert!((f64::from(spread.mean) / mean - 1.0).abs() < 1e-4, "{} is not {mean}", spread.mean);
            prop_assert!((histogram.weight(samples[samples.len() - 1].1) / weight - 1.0).abs() < 1e-6);
            prop_assert!(spread.p50 <= spread.p95);
        }

        #[test]
        fn nothing_that_is_fed_makes_it_negative_or_no_number(
            samples in vec((any::<f32>(), any::<u64>()), 0..60),
            later in any::<u64>(),
        ) {
            let mut histogram = Histogram::default();
            samples.iter().for_each(|(ms, at)| histogram.add(*ms, *at));
            prop_assert!(histogram.weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite()));
            prop_assert!((0.0..=MOST + 1.0).contains(&histogram.weight(later)), "{}", histogram.weight(later));
            if let Some(Spread { mean, p50, p95 }) = histogram.spread() {
                for ms in [mean, p50, p95] {
                    prop_assert!((0.0..=700_000.0).contains(&ms), "{ms}");
                }
            }
        }
    }

    #[test]
    fn an_hour_later_only_what_is_new_counts() {
        let mut histogram = Histogram::default();
        (0..1_000).for_each(|at| histogram.add(50.0, at));
        assert!(histogram.weight(1_000) > 100.0 && histogram.weight(3_600_000) < 1e-9);
        histogram.add(900.0, 3_600_000);
        let spread = histogram.spread().unwrap();
        assert!((spread.mean - 900.0).abs() < 0.1 && (spread.p50 / 900.0 - 1.0).abs() < 0.05, "{spread:?}");
    }

    #[test]
    fn at_a_busy_place_a_change_shows_within_a_few_hundred_requests() {
        let mut histogram = Histogram::default();
        (0..10_000).for_each(|at| histogram.add(100.0, at));
        (0..300).for_each(|at| histogram.add(1_000.0, 10_000 + at));
        assert!(histogram.spread().unwrap().mean > 900.0);
        assert!(size_of::<Histogram>() < 1_024);
    }
}
