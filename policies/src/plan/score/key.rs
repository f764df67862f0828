//! The order of candidates as one number each, and the selection of the first of many.
//!
//! Knows nothing of what a score is made of.

use std::cmp::Reverse;

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
        // The bits of a number that is not negative are in the order of the number.
        let falling = !total.to_bits() & (u32::MAX >> 1);
        let rest = u64::from(rank) << (Self::AT + Self::TIE) | tie(draw, at) << Self::AT | at as u64;
        Self(u128::from(group << Self::SCORE | u64::from(falling)) << 64 | u128::from(rest))
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
pub(super) fn shorten(keys: &[Key], keep: usize, sites: impl Iterator<Item = usize>) -> Vec<Key> {
    let mut best = keys[..keep].to_vec();
    best.sort_unstable();
    let mut last = *best.iter().max_by_key(|key| (key.group(), Reverse(**key))).unwrap_or(&Key::NONE);
    let mut best_of: Vec<Key> = Vec::new();
    for ((at, &key), site) in keys.iter().enumerate().zip(sites) {
        if best_of.len() <= site {
            best_of.resize(site + 1, Key::NONE);
        }
        // Few keys get in anywhere, and most of those far down.
        if key < best_of[site] {
            best_of[site] = key;
        }
        if key.group() > last.group() || key.group() == last.group() && key < last {
            last = key;
        }
        if key < best[keep - 1] && at >= keep {
            let mut at = keep - 1;
            while at > 0 && key < best[at - 1] {
                best[at] = best[at - 1];
                at -= 1;
            }
            best[at] = key;
        }
    }
    let mut kept = Vec::with_capacity(keep);
    kept.push(last);
    best_of.retain(|key| *key != last && *key != Key::NONE);
    best_of.sort_unstable();
    kept.extend(best_of.into_iter().take(keep - 1));
    for key in best {
        if kept.len() < keep && !kept.contains(&key) {
            kept.push(key);
        }
    }
    kept.sort_unstable();
    kept
}
