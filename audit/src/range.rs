//! That a run of records is in a log, for somebody who has none of the others: the hashes of what is left and right of them lead,
//! with their own, to the root that a checkpoint says.
//!
//! Left of the run are the roots of the perfect subtrees that its first number is the sum of, the largest first; right of it those
//! of the subtrees that the tree splits the rest into (RFC 6962, 2.1), from left to right. Both are fewer than 64.

use std::slice;

use crate::tree::{self, Hash};

/// Subtrees of fewer leaves than two to this power are worked out from their leaves.
const LOWEST: u32 = 8;
/// No log is larger; below it no sum of sizes overflows.
const MOST_LEAVES: u64 = 1 << 62;

/// What leads from the leaves of a run to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Left of the run, from left to right.
    pub left: Vec<Hash>,
    /// Right of it, from left to right.
    pub right: Vec<Hash>,
}

/// The root of a tree of `size` leaves in which the leaf `first` and those after it are these; `None` where the hashes around them
/// are more or fewer than that takes, or there are no leaves.
pub fn root(leaves: &[Hash], first: u64, size: u64, around: &Around) -> Option<Hash> {
    let end = first.checked_add(leaves.len() as u64)?;
    if leaves.is_empty() || end > size || size > MOST_LEAVES {
        return None;
    }
    let mut run = Run { leaves, first, end, left: around.left.iter(), right: around.right.iter() };
    let root = run.over(0, size)?;
    (run.left.next().is_none() && run.right.next().is_none()).then_some(root)
}

/// A run of leaves, and what is left of the hashes around it.
struct Run<'a> {
    leaves: &'a [Hash],
    first: u64,
    end: u64,
    left: slice::Iter<'a, Hash>,
    right: slice::Iter<'a, Hash>,
}

impl Run<'_> {
    /// The hash over some leaves of the tree, as it splits.
    fn over(&mut self, start: u64, end: u64) -> Option<Hash> {
        if end <= self.first {
            return self.left.next().copied();
        }
        if start >= self.end {
            return self.right.next().copied();
        }
        if self.first <= start && end <= self.end {
            // Within the run, which is in memory.
            return self.leaves.get((start - self.first) as usize..(end - self.first) as usize).map(tree::root);
        }
        let middle = middle(start, end);
        let left = self.over(start, middle)?;
        let right = self.over(middle, end)?;
        Some(tree::node(&left, &right))
    }
}

/// Where the tree over at least two leaves splits.
fn middle(start: u64, end: u64) -> u64 {
    start + (end - start).next_power_of_two() / 2
}

/// All leaves of a log with the roots of larger subtrees, so that what is around many runs is had without hashing all of them for each.
#[derive(Debug)]
pub struct Subtrees {
    leaves: Vec<Hash>,
    /// The roots of the perfect subtrees of 256 leaves, of 512, and so on.
    levels: Vec<Vec<Hash>>,
}

impl Subtrees {
    /// Those over all leaves of a log.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let (whole, _) = leaves.as_chunks::<{ 1 << LOWEST }>();
        let mut levels = vec![whole.iter().map(|leaves| tree::root(leaves)).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, _) = level.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| tree::node(left, right)).collect();
            levels.push(above);
        }
        Self { leaves, levels }
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// What leads from the leaves `first` to before `end` to the root over the first `size`; `None` where there are not so many,
    /// or none between.
    pub fn around(&self, first: u64, end: u64, size: u64) -> Option<Around> {
        if first >= end || end > size || size > self.leaves.len() as u64 {
            return None;
        }
        let mut around = Around::default();
        self.collect(0, size, (first, end), &mut around);
        Some(around)
    }

    fn collect(&self, start: u64, end: u64, run: (u64, u64), around: &mut Around) {
        if end <= run.0 {
            around.left.push(self.over(start, end));
        } else if start >= run.1 {
            around.right.push(self.over(start, end));
        } else if start < run.0 || end > run.1 {
            let middle = middle(start, end);
            self.collect(start, middle, run, around);
            self.collect(middle, end, run, around);
        }
    }

    /// The hash over some leaves that there are, as the tree splits.
    fn over(&self, start: u64, end: u64) -> Hash {
        let count = end - start;
        let known = count.is_power_of_two().then(|| count.ilog2().checked_sub(LOWEST)).flatten();
        if let Some(known) = known.and_then(|level| self.levels.get(level as usize)?.get((start / count) as usize)) {
            return *known;
        }
        match count >> LOWEST {
            0 => tree::root(&self.leaves[start as usize..end as usize]),
            _ => {
                let middle = middle(start, end);
                tree::node(&self.over(start, middle), &self.over(middle, end))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|nth| tree::leaf(&nth.to_le_bytes())).collect()
    }

    /// Size, first and end of a run that has leaves.
    fn run() -> impl Strategy<Value = (usize, usize, usize)> {
        (1_usize..1_400)
            .prop_flat_map(|size| (0..size).prop_flat_map(move |first| (Just(size), Just(first), first + 1..=size)))
    }

    #[test]
    fn every_run_of_every_small_tree_leads_to_the_root_by_its_definition() {
        let all = leaves(40);
        for size in 1..=all.len() {
            let subtrees = Subtrees::new(all[..size].to_vec());
            for first in 0..size {
                for end in first + 1..=size {
                    let around = subtrees.around(first as u64, end as u64, size as u64).unwrap();
                    let found = root(&all[first..end], first as u64, size as u64, &around);
                    assert_eq!(found, Some(tree::root(&all[..size])), "{first} to {end} of {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_around_one_leaf_is_its_inclusion_proof() {
        let all = leaves(300);
        let subtrees = Subtrees::new(all.clone());
        for index in 0..all.len() {
            let Around { left, right } = subtrees.around(index as u64, index as u64 + 1, 300).unwrap();
            let (mut proof, mut around) = (tree::inclusion(&all, index), [left, right].concat());
            proof.sort_unstable();
            around.sort_unstable();
            assert_eq!(proof, around, "{index}");
        }
    }

    #[test]
    fn no_run_without_leaves_or_beyond_the_tree_leads_anywhere() {
        let all = leaves(9);
        let subtrees = Subtrees::new(all.clone());
        assert_eq!(subtrees.around(3, 3, 9), None);
        assert_eq!(subtrees.around(3, 10, 9), None);
        assert_eq!(subtrees.around(3, 9, 10), None);
        let nothing = Around::default();
        assert_eq!(root(&[], 0, 9, &nothing), None);
        assert_eq!(root(&all, 1, 9, &nothing), None);
        for size in [u64::MAX, MOST_LEAVES + 1] {
            assert_eq!(root(&all, 0, size, &nothing), None, "{size}");
            assert_eq!(root(&all, size - 1, size, &nothing), None, "{size}");
        }
        let far = Around { left: vec![all[0]; 61], right: vec![all[0]; 61] };
        assert_eq!(root(&all[..1], (1 << 61) + 1, MOST_LEAVES, &far), None, "and a huge tree takes no time");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_run_leads_to_the_root_also_of_an_earlier_tree((size, first, end) in run(), more in 0_usize..300) {
            let all = leaves(size + more);
            let around = Subtrees::new(all.clone()).around(first as u64, end as u64, size as u64).unwrap();
            prop_assert!(around.left.len() < 64 && around.right.len() < 64);
            prop_assert_eq!(root(&all[first..end], first as u64, size as u64, &around), Some(tree::root(&all[..size])));
        }

        /// Whatever is changed: a leaf, a hash beside, their number, their order, the place, the size.
        #[test]
        fn a_run_that_was_tampered_with_leads_elsewhere((size, first, end) in run(), kind in 0_usize..9, at in any::<prop::sample::Index>()) {
            let all = leaves(size);
            let whole = tree::root(&all);
            let mut around = Subtrees::new(all.clone()).around(first as u64, end as u64, size as u64).unwrap();
            let (mut run, mut first, mut size) = (all[first..end].to_vec(), first as u64, size as u64);
            let other = tree::leaf(b"other");
            let side = |around: &mut Around| {
                let left = around.right.is_empty() || (!around.left.is_empty() && at.index(2) == 0);
                std::mem::take(if left { &mut around.left } else { &mut around.right })
            };
            match kind {
                0 => { let at = at.index(run.len()); run[at] = other; }
                1 => { run.remove(at.index(run.len())); }
                2 => run.push(other),
                3 => { let at = at.index(run.len()); run.insert(at, other); }
                4 => {
                    prop_assume!(run.len() > 1);
                    let at = at.index(run.len() - 1);
                    run.swap(at, at + 1);
                }
                5 => first = first.wrapping_add(1),
                6 => size += 1 + at.index(5) as u64,
                7 => {
                    // A hash beside is another, or gone.
                    prop_assume!(!around.left.is_empty() || !around.right.is_empty());
                    if around.left.is_empty() { around.right[0] = other } else { around.left[0] = other }
                }
                _ => {
                    prop_assume!(!around.left.is_empty() || !around.right.is_empty());
                    side(&mut around);
                }
            }
            let found = root(&run, first, size, &around);
            // A tree of another size may have the same shape around the run, never the same checkpoint: that says the size.
            prop_assert!(found != Some(whole) || kind == 6, "{kind}");
        }
    }
}
