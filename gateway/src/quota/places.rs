//! So many at a time: of this gateway alone, or its part of what a fleet may have together.
//!
//! A place is taken here and never waited for. A gateway of a fleet has places of its own, claimed beforehand from all that
//! there are: as many as are taken and some more. Beyond those it has its part of half of what nobody had claimed when the
//! others were last heard, or one. A claim that is not renewed for five seconds is over, as that of a gateway that died. While
//! the others cannot be heard, each keeps to its part.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::others::Others;

/// The part of all places that is claimed and not taken, by all gateways together, while little is asked for.
const CLAIMED: u32 = 20;

/// See the module.
#[derive(Debug)]
pub struct Places {
    most: u32,
    seats: Arc<Semaphore>,
    share: Option<Share>,
}

/// A gateway's part of a fleet's places.
#[derive(Debug)]
struct Share {
    others: Arc<Others>,
    /// How many seats there are, taken or not.
    seats: AtomicU32,
    /// How many of them are claimed.
    claimed: AtomicU32,
    /// Whether somebody was turned away since the others were asked last.
    short: AtomicBool,
}

/// What is asked of the fleet's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Taken, and not to be had by anybody else.
    pub taken: u32,
    /// What is to be claimed, as far as it is there.
    pub wanted: u32,
    /// What is claimed.
    pub held: u32,
}

impl Places {
    /// So many, shared with the others if there are some.
    pub fn new(most: u32, others: Option<&Arc<Others>>) -> Self {
        let share = others.map(|others| Share {
            others: Arc::clone(others),
            seats: AtomicU32::new(0),
            claimed: AtomicU32::new(0),
            short: AtomicBool::new(false),
        });
        let seats = if share.is_some() { 0 } else { most };
        let places = Self { most, seats: Arc::new(Semaphore::new(seats as usize)), share };
        // Nobody has claimed any, as far as is known.
        match others.is_some_and(|others| others.unheard_since().is_some()) {
            true => places.lost(),
            false => places.heard(0, most),
        }
        places
    }

    /// How many there are.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// How many are taken here.
    pub fn taken(&self) -> u32 {
        let seats = self.share.as_ref().map_or(self.most, |share| share.seats.load(Relaxed));
        seats.saturating_sub(self.seats.available_permits() as u32)
    }

    /// One of them, if one is free.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.seats).try_acquire_owned().ok();
        if let (None, Some(share)) = (&place, &self.share) {
            share.short.store(true, Relaxed);
        }
        place
    }

    /// Whether the others should be asked soon.
    pub fn runs_low(&self) -> bool {
        self.share.is_some() && self.seats.available_permits() <= 1
    }

    /// What is to be asked of the fleet's places, where there is a fleet.
    pub fn ask(&self) -> Option<Claim> {
        let share = self.share.as_ref()?;
        let (taken, held) = (self.taken(), share.claimed.load(Relaxed));
        let more = match (taken > 0, share.short.swap(false, Relaxed)) {
            (_, true) => taken.max(share.lot(self.most)),
            (true, false) => share.lot(self.most),
            (false, false) => 0,
        };
        Some(Claim { taken, wanted: taken.saturating_add(more).min(self.most), held })
    }

    /// So many are claimed for this gateway, and so many by nobody.
    pub fn heard(&self, claimed: u32, free: u32) {
        let Some(share) = &self.share else { return };
        // No more than there are, whatever is said there.
        let (claimed, free) = (claimed.min(self.most), free.min(self.most));
        share.claimed.store(claimed, Relaxed);
        let more = free.div_ceil(share.others.gateways().saturating_mul(2));
        self.set_seats(share, claimed.saturating_add(more).min(self.most));
    }

    /// The others cannot be heard.
    pub fn lost(&self) {
        let Some(share) = &self.share else { return };
        self.set_seats(share, self.most.div_ceil(share.others.gateways()));
    }

    /// Has so many seats, or as many as are taken where those are more. Only who asks the others calls it.
    fn set_seats(&self, share: &Share, seats: u32) {
        let before = share.seats.load(Relaxed);
        if seats > before {
            self.seats.add_permits((seats - before) as usize);
            share.seats.store(seats, Relaxed);
        } else {
            let gone = self.seats.forget_permits((before - seats) as usize);
            share.seats.store(before - gone as u32, Relaxed);
        }
    }

    /// Whether nothing would be lost with it.
    pub fn is_idle(&self) -> bool {
        self.taken() == 0 && self.share.as_ref().is_none_or(|share| share.claimed.load(Relaxed) == 0)
    }
}

impl Share {
    /// What is to be claimed beyond what is taken, while little is asked for.
    fn lot(&self, most: u32) -> u32 {
        (most / CLAIMED.saturating_mul(self.others.gateways())).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_one_gateway_are_all_there_is_and_come_back() {
        let places = Places::new(2, None);
        let (one, two) = (places.take(), places.take());
        assert!(one.is_some() && two.is_some() && places.take().is_none() && places.ask().is_none());
        assert_eq!(places.taken(), 2);
        drop(one);
        assert!(places.take().is_some());
        assert!(Places::new(0, None).take().is_none());
    }

    #[test]
    fn a_part_grows_with_what_is_taken_and_shrinks_no_further_than_that() {
        let others = Others::new(2).0;
        others.hear(2);
        let places = Places::new(40, Some(&others));
        let rest = || std::iter::from_fn(|| places.take()).collect::<Vec<_>>();
        // A quarter, as nobody has claimed any.
        let mut taken = rest();
        assert_eq!((taken.len(), places.taken()), (10, 10));
        assert_eq!(places.ask(), Some(Claim { taken: 10, wanted: 20, held: 0 }), "somebody was turned away");
        places.heard(20, 0);
        taken.extend(rest());
        assert_eq!(taken.len(), 20, "what it has claimed, and nobody has any more");
        places.heard(5, 0);
        assert!(places.take().is_none());
        assert_eq!(places.taken(), 20, "those that run go on");
        taken.truncate(3);
        places.heard(5, 0);
        taken.extend(rest());
        assert_eq!(taken.len(), 5);
        others.lose(0);
        places.lost();
        assert_eq!(rest().len(), 15, "half of them while the other is not heard");
        assert!(!places.is_idle() && Places::new(0, Some(&others)).take().is_none());
    }
}
