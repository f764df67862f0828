//! Which arm of a split a request is on: a canary that a few see, an experiment's two sides.
//!
//! By weighted rendezvous hashing: each arm draws a number for the subject (a key, a team, ...), and the arm whose number
//! divided by its weight is least has it. So the same subject is always on the same arm, whichever gateway asks; a weight
//! that grows draws subjects to its arm and moves nobody between the others. The numbers come from SHA-256 of route, arm and
//! subject, so they stay the same over versions and machines. Source: Schindelhauer and Schomaker, "Weighted distributed
//! hash tables", 2005; the logarithmic method there.
//!
//! A request without the subject, or one that is split by `request`, is on an arm by its own draw; without a draw, as
//! offline tools ask, on the heaviest arm.

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use crate::{Facts, set::Listed};

/// What keeps a request on its arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Key,
    Team,
    Context,
    /// Nothing: each request by itself.
    Request,
    /// The value of a header that the configuration declares.
    Header(String),
    /// The value of an entry of `metadata` that it declares.
    Metadata(String),
}

impl By {
    /// The words of the language.
    pub(crate) const WORDS: [(&'static str, By); 4] =
        [("key", By::Key), ("team", By::Team), ("context", By::Context), ("request", By::Request)];

    /// What a request is known by.
    fn subject<'f>(&self, facts: &'f Facts) -> Option<&'f str> {
        let value = |values: &'f [(String, String)], name: &str| {
            values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        match self {
            Self::Key => facts.key.as_deref(),
            Self::Team => facts.team.as_deref(),
            Self::Context => facts.context.as_deref(),
            Self::Request => None,
            Self::Header(name) => value(&facts.headers, name),
            Self::Metadata(name) => value(&facts.metadata, name),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Team => f.write_str("team"),
            Self::Context => f.write_str("context"),
            Self::Request => f.write_str("request"),
            Self::Header(name) => write!(f, "header {}", name.escape_debug()),
            Self::Metadata(name) => write!(f, "metadata {}", name.escape_debug()),
        }
    }
}

/// A split bound to deployments.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) by: By,
    pub(crate) arms: Box<[Arm]>,
}

/// An arm bound to deployments.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) name: Arc<str>,
    pub(crate) weight: u32,
    /// Its own candidates, then those of the route.
    pub(crate) listed: Listed,
}

impl Split {
    /// The arm of a request on the route of this name: the one that it is known to be on, or else by the rule above.
    pub(crate) fn arm(&self, route: &str, facts: &Facts) -> &Arm {
        let known = facts.arm.as_deref().and_then(|name| self.arms.iter().find(|arm| &*arm.name == name));
        if let Some(arm) = known {
            return arm;
        }
        let draw;
        let subject = match self.by.subject(facts) {
            Some(subject) => subject.as_bytes(),
            None if facts.draw != 0 => {
                draw = facts.draw.to_le_bytes();
                &draw[..]
            }
            None => {
                let heavier =
                    |most: usize, at: usize| if self.arms[at].weight > self.arms[most].weight { at } else { most };
                return &self.arms[(0..self.arms.len()).fold(0, heavier)];
            }
        };
        let drawn = |arm: &Arm| -unit(route, &arm.name, subject).ln() / f64::from(arm.weight);
        let least = self.arms.iter().filter(|arm| arm.weight > 0).min_by(|a, b| drawn(a).total_cmp(&drawn(b)));
        least.unwrap_or(&self.arms[0])
    }

    /// The share of subjects that are on the arm of this name.
    pub(crate) fn share(&self, name: &str) -> f64 {
        let weight = |named: &dyn Fn(&Arm) -> bool| -> f64 {
            self.arms.iter().filter(|arm| named(arm)).map(|arm| f64::from(arm.weight)).sum()
        };
        weight(&|arm| &*arm.name == name) / weight(&|_| true)
    }
}

/// A number above 0 and up to 1 from three names; each is told apart from the next by its length.
fn unit(route: &str, arm: &str, subject: &[u8]) -> f64 {
    let mut hash = Sha256::new();
    for part in [route.as_bytes(), arm.as_bytes(), subject] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes: [u8; 32] = hash.finalize().into();
    let first = u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    // 53 bits, as many as the number holds.
    ((first >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Whether a draw is within a share from 0 to 1. Every share takes 0, which is no draw: offline tools look at what could
/// happen. Independent of what else is made of the draw.
pub(crate) fn within(share: f64, draw: u64) -> bool {
    draw == 0 || share > 0.0 && unit("", "shadow", &draw.to_le_bytes()) <= share
}

#[cfg(test)]
mod tests {
    use catalog::{Exposure, Purpose, Use};
    use proptest::prelude::*;

    use super::*;

    fn split(by: By, weights: &[u32]) -> Split {
        let arm = |(at, weight): (usize, &u32)| Arm {
            name: format!("arm-{at}").into(),
            weight: *weight,
            listed: Listed::default(),
        };
        Split { by, arms: weights.iter().enumerate().map(arm).collect() }
    }

    fn asks(key: Option<String>, draw: u64) -> Facts {
        let use_ = Use::new(Purpose::Research, Exposure::Internal);
        Facts { key, draw, ..Facts::new("auto", use_, "2026-11-26".parse().expect("a date")) }
    }

    fn counted(split: &Split, many: u64, facts: impl Fn(u64) -> Facts) -> Vec<f64> {
        let mut counts = vec![0.0; split.arms.len()];
        for n in 1..=many {
            let arm = split.arm("r", &facts(n)).name.clone();
            let at = split.arms.iter().position(|known| known.name == arm).expect("an arm of it");
            counts[at] += 1.0 / many as f64;
        }
        counts
    }

    #[test]
    fn arms_get_the_share_that_their_weights_say() {
        let split = split(By::Key, &[1, 4, 15, 0]);
        let by_key = counted(&split, 20_000, |n| asks(Some(format!("key-{n}")), 0));
        let by_draw = counted(&split, 20_000, |n| asks(None, n));
        for counts in [by_key, by_draw] {
            for (count, share) in counts.iter().zip([0.05, 0.2, 0.75, 0.0]) {
                // Three standard deviations and a little.
                assert!((count - share).abs() < 0.01, "{counts:?}");
            }
        }
    }

    #[test]
    fn without_a_subject_and_a_draw_the_heaviest_arm_is_asked_and_the_first_of_two() {
        assert_eq!(&*split(By::Request, &[1, 9, 9]).arm("r", &asks(Some("k".to_owned()), 0)).name, "arm-1");
    }

    #[test]
    fn an_arm_that_is_known_is_kept_and_one_that_is_gone_is_not() {
        let split = split(By::Key, &[100, 0]);
        let on = |arm: &str| Facts { arm: Some(arm.to_owned()), ..asks(Some("k".to_owned()), 0) };
        assert_eq!(&*split.arm("r", &on("arm-1")).name, "arm-1");
        assert_eq!(&*split.arm("r", &on("arm-9")).name, "arm-0");
    }

    #[test]
    fn the_arm_of_a_key_is_the_same_in_every_version() {
        let split = split(By::Key, &[50, 50]);
        let arms: String =
            (0..16).map(|n| split.arm("chat", &asks(Some(format!("key-{n}")), 0)).name[4..].to_owned()).collect();
        assert_eq!(arms, "0000111101110010");
    }

    #[test]
    fn a_share_of_the_draws_is_mirrored() {
        let mirrored = (1..=20_000).filter(|draw| within(0.1, *draw)).count();
        assert!((1_850..2_150).contains(&mirrored), "{mirrored}");
        assert!(within(0.0, 0) && !within(0.0, 7) && within(1.0, u64::MAX));
    }

    proptest! {
        #[test]
        fn a_weight_that_grows_moves_keys_to_its_arm_and_nobody_between_the_others(
            weights in proptest::collection::vec(1_u32..100, 2..6), at in 0_usize..6, by in 1_u32..100, key in ".{1,12}",
        ) {
            let at = at % weights.len();
            let mut grown = weights.clone();
            grown[at] += by;
            let facts = asks(Some(key), 0);
            let (before, after) = (split(By::Key, &weights), split(By::Key, &grown));
            let (before, after) = (&before.arm("r", &facts).name, &after.arm("r", &facts).name);
            prop_assert!(before == after || *after == before_name(at), "{before} {after}");
        }
    }

    fn before_name(at: usize) -> Arc<str> {
        format!("arm-{at}").into()
    }
}
