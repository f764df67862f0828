//! How long a deployment takes, by prompt-size class: time to the first token, and per further token.
//!
//! Plans read it for every deployment of a route, so mean and quantiles are worked out when a sample comes and are then
//! published as atomics. What a class shows where it has nothing recent is the nearest class that has, rather the one of
//! longer prompts, so that a reader looks in one place. Readers may see numbers of two moments; they are a moment apart.

use std::sync::{Mutex, PoisonError};

use policies::Spread;

use super::{decayed::Published, histogram::Histogram, size::Size};

/// A class that weighs less than so many fresh samples has nothing recent.
const RECENT: f64 = 1.0;

/// See the module.
#[derive(Debug, Default)]
pub struct Latencies {
    shown: [Shown; Size::COUNT],
    measured: Mutex<[Option<Box<Measured>>; Size::COUNT]>,
}

#[derive(Debug, Default)]
struct Measured {
    ttft: Measure,
    tpot: Measure,
}

#[derive(Debug, Default)]
struct Measure {
    histogram: Histogram,
    /// Of the histogram, since it was last added to: quantiles of what only fades stay as they are.
    spread: Option<Spread>,
}

#[derive(Debug, Default)]
struct Shown {
    ttft: ShownSpread,
    tpot: ShownSpread,
}

#[derive(Debug, Default)]
struct ShownSpread {
    mean: Published,
    p50: Published,
    p95: Published,
}

impl Latencies {
    /// Time to the first token and time per further token, for prompts of a class.
    pub fn of(&self, size: Size) -> (Option<Spread>, Option<Spread>) {
        let shown = &self.shown[size.index()];
        (shown.ttft.get(), shown.tpot.get())
    }

    /// Takes what a whole answer took, in milliseconds; `tpot_ms` is there where it had more than one token.
    pub fn add(&self, size: Size, ttft_ms: f32, tpot_ms: Option<f32>, at_ms: u64) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let class = measured[size.index()].get_or_insert_default();
        class.ttft.add(ttft_ms, at_ms);
        if let Some(tpot_ms) = tpot_ms {
            class.tpot.add(tpot_ms, at_ms);
        }
        for (at, shown) in self.shown.iter().enumerate() {
            let near = nearest(at);
            shown.ttft.set(near.iter().find_map(|at| measured[*at].as_ref()?.ttft.recent(at_ms)));
            shown.tpot.set(near.iter().find_map(|at| measured[*at].as_ref()?.tpot.recent(at_ms)));
        }
    }
}

/// All classes, the nearest to `at` first, and of two as near the one of longer prompts.
fn nearest(at: usize) -> [usize; Size::COUNT] {
    let mut order = std::array::from_fn(|class| class);
    order.sort_unstable_by_key(|class| (class.abs_diff(at), *class < at));
    order
}

impl Measure {
    fn add(&mut self, ms: f32, at_ms: u64) {
        self.histogram.add(ms, at_ms);
        self.spread = self.histogram.spread();
    }

    fn recent(&self, at_ms: u64) -> Option<Spread> {
        self.spread.filter(|_| self.histogram.weight(at_ms) >= RECENT)
    }
}

impl ShownSpread {
    fn get(&self) -> Option<Spread> {
        Some(Spread { mean: self.mean.get()?, p50: self.p50.get()?, p95: self.p95.get()? })
    }

    /// Nothing recent anywhere leaves what was known.
    fn set(&self, spread: Option<Spread>) {
        if let Some(Spread { mean, p50, p95 }) = spread {
            self.mean.set(mean);
            self.p50.set(p50);
            self.p95.set(p95);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::histogram::HALF_LIFE, *};

    fn mean(latencies: &Latencies, tokens: u64) -> f32 {
        latencies.of(Size::of(tokens)).0.expect("measured").mean
    }

    #[test]
    fn a_class_that_was_not_measured_shows_its_nearest_neighbour() {
        let latencies = Latencies::default();
        assert_eq!(latencies.of(Size::of(1)), (None, None));
        latencies.add(Size::of(100), 50.0, None, 0);
        latencies.add(Size::of(100_000), 900.0, Some(20.0), 0);
        assert_eq!([1, 1_000, 5_000, 30_000, 200_000].map(|n| mean(&latencies, n)), [50.0, 50.0, 900.0, 900.0, 900.0]);
        assert_eq!(latencies.of(Size::of(1)).1.expect("of the only class that has it").mean, 20.0);
    }

    #[test]
    fn a_class_whose_samples_are_old_gives_way_to_a_neighbour_with_new_ones() {
        let latencies = Latencies::default();
        latencies.add(Size::of(100), 50.0, None, 0);
        assert_eq!(mean(&latencies, 1_000), 50.0);
        let later = 2 * HALF_LIFE.as_millis() as u64;
        latencies.add(Size::of(1_000), 80.0, None, later);
        assert_eq!((mean(&latencies, 100), mean(&latencies, 1_000)), (80.0, 80.0));
        latencies.add(Size::of(100), 60.0, None, later);
        assert!((mean(&latencies, 100) - 58.0).abs() < 0.1, "a fifth of it is still the old sample");
    }
}
