//! A bucket that empties evenly: so many a minute, a minute's worth at once after a silent one (GCRA, the generic cell rate
//! algorithm, ITU-T I.371).
//!
//! What is taken before a request is known to cost it can be put right after: less is given back, more is owed, and nothing
//! more is let in until that has drained. That is why it is our own: crates for rate limits take and do not give back. One
//! atomic number, the moment at which the bucket is empty again; no lock, and exact between threads.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

/// Nanoseconds since the process began to count.
pub type Nanos = i64;

const MINUTE: Nanos = 60_000_000_000;

/// So many a minute.
#[derive(Debug)]
pub struct Bucket {
    most: u64,
    /// How long one takes to drain.
    one: f64,
    /// When it is empty.
    empty_at: AtomicI64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// There will be room after this time.
    For(Duration),
    /// More is asked for than there is in a minute.
    Always,
}

impl Bucket {
    /// An empty one.
    pub fn per_minute(most: u64) -> Self {
        Self { most, one: MINUTE as f64 / most as f64, empty_at: AtomicI64::new(0) }
    }

    /// How many a minute.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Takes `count`, all or nothing.
    ///
    /// # Errors
    /// When there is room for them.
    pub fn take(&self, count: u64, now: Nanos) -> Result<(), Short> {
        if count > self.most {
            return Err(Short::Always);
        }
        let drains = self.drains(count as f64);
        let taken = self.empty_at.try_update(Relaxed, Relaxed, |at| {
            let at = at.max(now).saturating_add(drains);
            (at - now <= MINUTE).then_some(at)
        });
        taken.map(|_| ()).map_err(|at| Short::For(nanos(at.max(now) + drains - now - MINUTE)))
    }

    /// What was taken turned out to be `used`.
    pub fn settle(&self, taken: u64, used: u64, now: Nanos) {
        if used > taken {
            let drains = self.drains((used - taken) as f64);
            self.empty_at.update(Relaxed, Relaxed, |at| at.max(now).saturating_add(drains));
        } else {
            self.empty_at.fetch_sub(self.drains((taken - used) as f64), Relaxed);
        }
    }

    /// Takes `count` where this is only one of so many `parts` of it, each of which drains by itself and had nothing left at
    /// `full_at`. One that is empty takes more than a part holds, so that no request is too large for ever.
    ///
    /// # Errors
    /// When there is room for them.
    pub fn take_part(&self, count: u64, parts: u32, full_at: Nanos, now: Nanos) -> Result<(), Short> {
        let drains = self.drains(count as f64 * f64::from(parts));
        let since = |at: Nanos| at.max(now).max(full_at.saturating_add(MINUTE));
        let taken = self.empty_at.try_update(Relaxed, Relaxed, |at| {
            let (before, at) = (since(at), since(at).saturating_add(drains));
            (at - now <= MINUTE || before == now).then_some(at)
        });
        taken.map(|_| ()).map_err(|at| Short::For(nanos((since(at) + drains - now - MINUTE).min(since(at) - now))))
    }

    /// It was heard that `level` of it are taken.
    pub fn heard(&self, level: f64, now: Nanos) {
        self.empty_at.store(now.saturating_add(self.drains(level.max(0.0))), Relaxed);
    }

    /// How long until there is room for `count`.
    pub fn room_in(&self, count: u64, now: Nanos) -> Duration {
        let at = self.empty_at.load(Relaxed).max(now).saturating_add(self.drains(count as f64));
        nanos(at - now - MINUTE)
    }

    /// How many could be taken.
    pub fn left(&self, now: Nanos) -> u64 {
        let full = (self.empty_at.load(Relaxed) - now).clamp(0, MINUTE);
        // What is missing by a rounding error is there.
        (((MINUTE - full) as f64 / self.one + 1e-6) as u64).min(self.most)
    }

    /// How long until it is empty.
    pub fn empty_in(&self, now: Nanos) -> Duration {
        nanos(self.empty_at.load(Relaxed) - now)
    }

    fn drains(&self, count: f64) -> Nanos {
        (count * self.one) as Nanos
    }
}

fn nanos(nanos: Nanos) -> Duration {
    Duration::from_nanos(nanos.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_minutes_worth_is_there_at_once_and_then_one_each_time_that_one_has_drained() {
        let bucket = Bucket::per_minute(60);
        assert!((0..60).all(|_| bucket.take(1, 5).is_ok()));
        assert_eq!(bucket.take(1, 5), Err(Short::For(Duration::from_secs(1))));
        assert_eq!(bucket.left(5), 0);
        assert_eq!(bucket.take(1, 5 + SECOND), Ok(()));
        assert_eq!(bucket.take(1, 5 + SECOND), Err(Short::For(Duration::from_secs(1))));
        assert_eq!(bucket.left(5 + 31 * SECOND), 30);
        assert_eq!(bucket.take(61, 5 + 100 * SECOND), Err(Short::Always));
    }

    #[test]
    fn what_was_not_used_is_given_back_and_what_was_used_above_it_is_owed() {
        let bucket = Bucket::per_minute(1000);
        bucket.take(1000, 0).unwrap();
        bucket.settle(1000, 400, 0);
        assert_eq!(bucket.left(0), 600);
        bucket.take(100, 0).unwrap();
        bucket.settle(100, 1600, 0);
        assert_eq!(bucket.take(1, 0), Err(Short::For(Duration::from_secs_f64(60.06))));
        // Given back long after it has drained, it does not make the bucket hold more.
        let bucket = Bucket::per_minute(1000);
        bucket.take(1000, 0).unwrap();
        bucket.settle(1000, 0, 90 * SECOND);
        assert_eq!(bucket.left(90 * SECOND), 1000);
    }

    proptest! {
        /// Whatever is taken, used and given back at whatever times, no minute lets in more than twice what it may (a full
        /// bucket and what drains), and all that was used drains.
        #[test]
        fn over_any_time_no_more_is_used_than_the_bucket_and_what_has_drained(
            most in 1_u64..10_000,
            steps in vec((0_i64..20 * SECOND, 0_u64..200, 0_u64..200), 1..200),
        ) {
            let bucket = Bucket::per_minute(most);
            let (mut now, mut used_in_all) = (0, 0);
            for (pause, taken, used) in steps {
                now += pause;
                // Nothing above what was taken, so nothing is owed.
                let used = used.min(taken);
                if bucket.take(taken, now).is_ok() {
                    bucket.settle(taken, used, now);
                    used_in_all += used;
                }
                let drained = now as f64 / MINUTE as f64 * most as f64;
                prop_assert!(used_in_all as f64 <= most as f64 + drained + 1e-3, "{used_in_all} of {most} and {drained}");
                prop_assert!(bucket.left(now) <= most);
            }
        }
    }
}
