//! So many a minute: of this gateway alone, or its part of what a fleet may take together.
//!
//! The fleet's rate is a bucket elsewhere. This gateway takes from a stock that it fetched there beforehand, so no request
//! waits for it, and fetches more as the stock runs low. Where the stock does not reach, it owes: at most its part of half of
//! what the fleet had left when it was last heard, or one request. What is owed is taken from the fleet's bucket at
//! once, so in the long run the fleet takes what it may to the last one; within a minute it takes at most half as much more,
//! and that only if all gateways are asked for all of it within the time that hearing takes. What idles in stocks
//! goes back within about a second.
//!
//! While the others cannot be heard, each gateway takes its part of the rate and nothing of the minute's worth that is there at
//! once, as the others may have taken that. So the bound holds then as well, unless only some of them are cut off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    bucket::{Bucket, Nanos, Short},
    others::Others,
};

/// The part of a rate that all stocks together hold while little is asked for.
const STOCKED: u64 = 20;
/// When somebody may come back who was refused only because the stock is being fetched.
const FETCHED: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub enum Rate {
    /// Of this gateway.
    Own(Bucket),
    /// Of a fleet.
    Shared(Share),
}

/// A gateway's part of a fleet's rate.
#[derive(Debug)]
pub struct Share {
    others: Arc<Others>,
    /// The fleet's bucket as it was heard of last; it drains here as it drains there.
    heard: Bucket,
    /// What this gateway takes while it hears nothing.
    alone: Bucket,
    /// What was fetched and is not taken; below nothing is what is owed.
    stock: AtomicI64,
    /// What was taken since the others were asked last.
    taken: AtomicU64,
}

/// What is asked of the fleet's bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Taken already.
    pub owed: u64,
    /// To be had, as far as it is there.
    pub wanted: u64,
    /// Given back.
    pub returned: u64,
}

impl Rate {
    /// So many a minute, shared with the others if there are some.
    pub fn per_minute(most: u64, others: Option<&Arc<Others>>) -> Self {
        let Some(others) = others else { return Self::Own(Bucket::per_minute(most)) };
        Self::Shared(Share {
            others: Arc::clone(others),
            heard: Bucket::per_minute(most),
            alone: Bucket::per_minute(most),
            stock: AtomicI64::new(0),
            taken: AtomicU64::new(0),
        })
    }

    /// How many a minute.
    pub fn most(&self) -> u64 {
        match self {
            Self::Own(bucket) | Self::Shared(Share { heard: bucket, .. }) => bucket.most(),
        }
    }

    /// Takes `count`, all or nothing.
    ///
    /// # Errors
    /// When there may be room for them.
    pub fn take(&self, count: u64, now: Nanos) -> Result<(), Short> {
        match self {
            Self::Own(bucket) => bucket.take(count, now),
            Self::Shared(share) => share.take(count, now),
        }
    }

    /// What was taken turned out to be `used`.
    pub fn settle(&self, taken: u64, used: u64, now: Nanos) {
        match self {
            Self::Own(bucket) => bucket.settle(taken, used, now),
            Self::Shared(share) => {
                share.stock.fetch_add(signed(taken).saturating_sub(signed(used)), Relaxed);
            }
        }
    }

    /// How many could be taken.
    pub fn left(&self, now: Nanos) -> u64 {
        match self {
            Self::Own(bucket) => bucket.left(now),
            Self::Shared(share) => {
                share.heard.left(now).saturating_add_signed(share.stock.load(Relaxed)).min(self.most())
            }
        }
    }

    /// How long until it is empty.
    pub fn empty_in(&self, now: Nanos) -> Duration {
        match self {
            Self::Own(bucket) | Self::Shared(Share { heard: bucket, .. }) => bucket.empty_in(now),
        }
    }

    /// Whether nothing would be lost with it.
    pub fn is_idle(&self, now: Nanos) -> bool {
        self.empty_in(now) == Duration::ZERO && self.share().is_none_or(|share| share.stock.load(Relaxed) == 0)
    }

    /// The part of a fleet's.
    pub fn share(&self) -> Option<&Share> {
        match self {
            Self::Own(_) => None,
            Self::Shared(share) => Some(share),
        }
    }
}

impl Share {
    fn take(&self, count: u64, now: Nanos) -> Result<(), Short> {
        if count > self.heard.most() {
            return Err(Short::Always);
        }
        let wanted = signed(count);
        let Some(since) = self.others.unheard_since() else { return self.take_heard(wanted, now) };
        let stocked = self.stock.try_update(Relaxed, Relaxed, |stock| (stock >= wanted).then(|| stock - wanted));
        if stocked.is_err() {
            self.alone.take_part(count, self.others.gateways(), since, now)?;
            self.stock.fetch_sub(wanted, Relaxed);
        }
        self.taken.fetch_add(count, Relaxed);
        Ok(())
    }

    fn take_heard(&self, wanted: i64, now: Nanos) -> Result<(), Short> {
        let room = signed(self.heard.left(now));
        let may_owe = room / i64::from(self.others.gateways()).saturating_mul(2);
        let taken = self.stock.try_update(Relaxed, Relaxed, |stock| {
            let left = stock.saturating_sub(wanted);
            let owes = left >= -room && (left >= -may_owe || stock >= 0);
            (left >= 0 || owes).then_some(left)
        });
        let stock = match taken {
            Ok(_) => {
                self.taken.fetch_add(wanted.unsigned_abs(), Relaxed);
                return Ok(());
            }
            Err(stock) => stock,
        };
        let missing = wanted.saturating_sub(stock).unsigned_abs().min(self.heard.most());
        Err(Short::For(self.heard.room_in(missing, now).max(FETCHED)))
    }

    /// Whether the others should be asked soon.
    pub fn runs_low(&self) -> bool {
        self.stock.load(Relaxed) <= signed(self.lot() / 2)
    }

    /// What is to be in stock while little is asked for.
    fn lot(&self) -> u64 {
        (self.heard.most() / (STOCKED * u64::from(self.others.gateways()))).max(1)
    }

    /// What is to be asked of the fleet's bucket. What is given back is out of the stock already.
    pub fn ask(&self) -> Ask {
        let taken = self.taken.swap(0, Relaxed);
        let part = (self.heard.most() / u64::from(self.others.gateways())).max(1);
        // As much as was asked for lately will be again.
        let lot = if taken > 0 { taken.clamp(self.lot(), part) } else { 0 };
        let spare = |stock: i64| stock > signed(lot.saturating_mul(2));
        let stock = self.stock.try_update(Relaxed, Relaxed, |stock| spare(stock).then_some(signed(lot)));
        match stock {
            Ok(before) => Ask { returned: before.unsigned_abs() - lot, ..Ask::default() },
            Err(stock) if stock <= signed(lot / 2) => {
                let in_stock = u64::try_from(stock).unwrap_or(0);
                Ask { owed: stock.min(0).unsigned_abs(), wanted: lot - in_stock, returned: 0 }
            }
            Err(_) => Ask::default(),
        }
    }

    /// The fleet's bucket took what was owed, gave so many of what was wanted, and is so full now.
    pub fn heard(&self, asked: Ask, given: u64, level: f64, now: Nanos) {
        // No more than was asked for, whatever is said there.
        self.stock.fetch_add(signed(asked.owed).saturating_add(signed(given.min(asked.wanted))), Relaxed);
        self.heard.heard(level, now);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// The fleet's bucket, as `fleet/rate.lua` has it.
    #[derive(Default)]
    struct Theirs {
        level: f64,
        at: Nanos,
    }

    impl Theirs {
        fn asked(&mut self, share: &Share, most: u64, now: Nanos) {
            let ask = share.ask();
            let drained = (now - self.at) as f64 * most as f64 / (60 * SECOND) as f64;
            self.level = ((self.level - drained).max(0.0) + ask.owed as f64 - ask.returned as f64).max(0.0);
            let given = (ask.wanted as f64).min(most as f64 - self.level).floor().max(0.0);
            self.level += given;
            self.at = now;
            share.heard(ask, given as u64, self.level, now);
        }
    }

    fn fleet(gateways: u32, most: u64) -> Vec<Rate> {
        let share = |_| {
            let others = Others::new(gateways).0;
            others.hear(gateways);
            Rate::per_minute(most, Some(&others))
        };
        (0..gateways).map(share).collect()
    }

    #[test]
    fn one_gateway_has_all_that_the_others_leave_and_gives_back_what_it_does_not_use() {
        let (mut theirs, rates) = (Theirs::default(), fleet(4, 400));
        let share = |gateway: usize| rates[gateway].share().unwrap();
        let mut taken = 0;
        // Cold, it owes an eighth; then it has what it fetches.
        while rates[0].take(1, 0).is_ok() || {
            theirs.asked(share(0), 400, 0);
            rates[0].take(1, 0).is_ok()
        } {
            taken += 1;
        }
        assert_eq!((taken, rates[0].left(0)), (400, 0));
        assert!(matches!(rates[0].take(1, 0), Err(Short::For(wait)) if wait > FETCHED));
        assert!(rates[1].take(1, 0).is_ok(), "what it has not heard of");
        theirs.asked(share(1), 400, 0);
        assert!(rates[1].take(1, 0).is_err(), "it has now");
        // What was not used is there for others.
        rates[0].settle(400, 100, 0);
        theirs.asked(share(0), 400, 0);
        theirs.asked(share(0), 400, 0);
        theirs.asked(share(1), 400, 0);
        assert!(rates[1].take(100, 0).is_ok());
        assert_eq!(rates[1].take(401, 0), Err(Short::Always));
    }

    #[test]
    fn what_cannot_be_heard_is_kept_by_parts_and_owed() {
        let (mut theirs, rates) = (Theirs::default(), fleet(2, 120));
        let share = rates[0].share().unwrap();
        theirs.asked(share, 120, 0);
        share.others.lose(0);
        // No burst: the other one may have had it. Then half of two a second.
        let taken = |now: Nanos| (0..200).take_while(|_| rates[0].take(1, now).is_ok()).count();
        let first = taken(0);
        assert!(first <= 6, "what was in stock: {first}");
        assert_eq!(taken(10 * SECOND), 10);
        share.others.hear(2);
        theirs.asked(share, 120, 10 * SECOND);
        let stock = share.stock.load(Relaxed) as f64;
        assert_eq!(theirs.level - stock, (first + 10) as f64, "it told what it took, and has the rest in stock");
    }

    proptest! {
        /// However requests, words with the fleet and outages of all of them fall together.
        #[test]
        fn together_they_take_what_one_would_and_within_a_minute_at_most_half_as_much_or_one_request_each_more(
            gateways in 1_u32..5, most in 1_u64..2_000,
            steps in vec((0_usize..5, 0_u64..60, 0_i64..3 * SECOND, 0_u8..8), 1..300),
        ) {
            let (mut theirs, rates) = (Theirs::default(), fleet(gateways, most));
            let (mut now, mut used, mut largest) = (0, 0_u64, 1_u64);
            for (gateway, count, passes, what) in steps {
                let rate = &rates[gateway % rates.len()];
                let (share, count) = (rate.share().unwrap(), count.min(most));
                match what {
                    0 => now += passes,
                    1 => rates.iter().for_each(|rate| { rate.share().unwrap().others.lose(now); }),
                    2 => rates.iter().for_each(|rate| { rate.share().unwrap().others.hear(gateways); }),
                    3 if share.others.unheard_since().is_none() => theirs.asked(share, most, now),
                    // Half of what is taken is given back at once.
                    4 => if rate.take(count, now).is_ok() {
                        rate.settle(count, count / 2, now);
                        (used, largest) = (used + count / 2, largest.max(count));
                    },
                    _ => if rate.take(count, now).is_ok() {
                        (used, largest) = (used + count, largest.max(count));
                    },
                }
                let drained = now as f64 * most as f64 / (60 * SECOND) as f64;
                let more = most / 2 + u64::from(gateways) * largest;
                prop_assert!(used as f64 <= (most + more) as f64 + drained + 1.0, "{used} of {most}, {drained} drained");
            }
        }
    }
}
