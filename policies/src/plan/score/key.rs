//! The order of candidates as one number each, and the selection of the first of many.
//!
//! Knows nothing of what a score is made of.

/// Orders candidates; the least goes first. One number, so that a comparison is one instruction or two. From the top:
/// stage, lack of room, place in the list where that decides, score from the highest, place in the list, a number from
/// the request's draw, place among those that may serve, which have the order of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u128);

impl Key {
    /// The lowest bits say which it is; there are far fewer deployments than 24 of them count.
    const AT: u32 = 24;
    const TIE: u32 = 23;
    /// No score is negative, so one bit of it says nothing, and the upper half holds the score and 33 bits above it.
    const SCORE: u32 = 31;
    /// After every key: the rest of one has 63 bits.
    const NONE: Self = Self(u128::MAX);

    /// The key of the candidate at a place. `group` is its stage, its lack of room, and its place in the list where that
    /// decides, in 33 bits; `total` its score, which is not negative; `rank` its place in the list.
    #[inline]
    pub(super) fn new(group: u64, total: f32, rank: u16, draw: u64, at: usize) -> Self {
        let rest = u64::from(rank) << (Self::AT + Self::TIE) | tie(draw, at) << Self::AT | at as u64;
        Self(u128::from(group << Self::SCORE | falling(total)) << 64 | u128::from(rest))
    }

    /// The same with another score, which is not negative.
    #[inline]
    pub(super) fn scored(self, total: f32) -> Self {
        Self(self.first_of_its_stage().0 | u128::from(falling(total)) << 64)
    }

    /// Its score.
    pub(super) fn total(self) -> f32 {
        f32::from_bits(!((self.0 >> 64) as u32) & (u32::MAX >> 1))
    }

    /// Its stage with its lack of room, and its place in the list where that decides.
    #[inline]
    pub(super) fn group(self) -> u64 {
        (self.0 >> 64) as u64 >> Self::SCORE
    }

    /// Its place among those that may serve.
    #[inline]
    pub(super) fn at(self) -> usize {
        self.0 as usize & ((1 << Self::AT) - 1)
    }

    /// The same with a score that no other has.
    pub(super) fn first_of_its_stage(self) -> Self {
        Self(self.0 & !(u128::from(u32::MAX >> 1) << 64))
    }
}

/// A score as [`Key::SCORE`] bits, the highest score first: the bits of a number that is not negative are in the order of the
/// number.
#[inline]
fn falling(total: f32) -> u64 {
    u64::from(!total.to_bits() & (u32::MAX >> 1))
}

/// A number of [`Key::TIE`] bits: another order of the candidates for each draw, their own order for none.
#[inline]
fn tie(draw: u64, at: usize) -> u64 {
    if draw == 0 {
        return 0;
    }
    // Two rounds of a multiplicative hash; with one, a few candidates would not have the same chances.
    let mixed = (draw ^ at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> (64 - Key::TIE)
}

/// Leaves `keep` of more keys, in order; `sites` are the numbers of their places. First the best of the last stage, or of
/// the list's last entry where the list decides: the last resort has to be there however many come before it. Then the
/// best of each place, since a request that failed at one place is tried at another. Then the best of the rest.
// Inlined, it would find too few registers left.
#[inline(never)]
pub(super) fn shorten(keys: &[Key], keep: usize, sites: impl Iterator<Item = usize>) -> Vec<Key> {
    let mut best = least(keys, keep);
    best.sort_unstable();
    let group = keys.iter().map(|key| key.group()).fold(0, u64::max);
    let last = match best[0].group() == group {
        true => best[0],
        false => keys.iter().copied().filter(|key| key.group() == group).fold(Key::NONE, Key::min),
    };
    // By the number of the place, at first.
    let mut kept: Vec<Key> = Vec::with_capacity(keep);
    for (&key, site) in keys.iter().zip(sites) {
        if kept.len() <= site {
            kept.resize(site + 1, Key::NONE);
        }
        if key < kept[site] {
            kept[site] = key;
        }
    }
    kept.retain(|key| *key != last && *key != Key::NONE);
    cut(&mut kept, keep - 1);
    kept.push(last);
    for key in best {
        if kept.len() < keep && !kept.contains(&key) {
            kept.push(key);
        }
    }
    kept.sort_unstable();
    kept
}

/// The first `keep` of all keys, in no order.
fn least(keys: &[Key], keep: usize) -> Vec<Key> {
    // Where so many groups of four have a key up to some number, the first `keep` are up to it, and of the others few.
    let high = |key: &Key| (key.0 >> 64) as u64;
    let fours = keys.as_chunks::<4>().0.iter();
    let mut firsts: Vec<u64> = fours.map(|four| four.iter().map(high).fold(u64::MAX, u64::min)).collect();
    let most = if keep <= firsts.len() { *firsts.select_nth_unstable(keep - 1).1 } else { u64::MAX };
    let mut least = Vec::with_capacity(keys.len());
    least.extend(keys.iter().filter(|key| high(key) <= most));
    cut(&mut least, keep);
    least
}

/// Takes all but the first `keep` away; these are then in no order.
fn cut(keys: &mut Vec<Key>, keep: usize) {
    if keep < keys.len() {
        keys.select_nth_unstable(keep);
        keys.truncate(keep);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn those_kept_are_the_same_as_if_all_were_sorted(
            of in vec((0..3u64, 0..40u8, 0..60usize), 2..400),
            keep in 1..40usize,
        ) {
            prop_assume!(keep < of.len());
            let key = |(at, (group, score, _)): (usize, &(u64, u8, usize))| Key::new(*group << 16, f32::from(*score), 0, 7, at);
            let keys: Vec<Key> = of.iter().enumerate().map(key).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            let group = sorted[sorted.len() - 1].group();
            let mut kept: Vec<Key> = sorted.iter().copied().filter(|key| key.group() == group).take(1).collect();
            let mut sites = HashSet::new();
            let (best_of, rest): (Vec<Key>, Vec<Key>) = sorted.iter().partition(|key| sites.insert(of[key.at()].2));
            for key in best_of.into_iter().chain(rest) {
                if kept.len() < keep && !kept.contains(&key) {
                    kept.push(key);
                }
            }
            kept.sort_unstable();
            let shortened = shorten(&keys, keep, of.iter().map(|(_, _, site)| *site));
            prop_assert!(shortened == kept);
        }
    }
}
