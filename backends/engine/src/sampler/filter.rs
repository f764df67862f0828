//! Narrows the candidates down. Of equals, the lower id is the better one, so every result is determined.

use std::cmp::Ordering;

/// A token with its logit, or its probability relative to the best one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    pub(super) weight: f32,
}

impl Candidate {
    pub(super) fn better(self, other: Self) -> Self {
        if best_first(&self, &other).is_le() { self } else { other }
    }
}

pub(super) fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Keeps the `k` best; all for 0.
pub(super) fn top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if (1..candidates.len()).contains(&k) {
        candidates.select_nth_unstable_by(k - 1, best_first);
        candidates.truncate(k);
        candidates.sort_unstable_by(best_first);
    }
}

/// Keeps the smallest set of the best that holds at least the share `p` of all weight; never nothing.
pub(super) fn top_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p >= 1.0 || p.is_nan() {
        return;
    }
    let total: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
    let p = f64::from(p.max(0.0));
    // All candidates below this weight hold less than `1 - p` together, so the set is full before they come.
    // It saves sorting a whole vocabulary.
    let floor = (1.0 - p) * total / candidates.len() as f64;
    candidates.retain(|candidate| f64::from(candidate.weight) >= floor);
    candidates.sort_unstable_by(best_first);
    let mut sum = 0.0;
    let full = candidates.iter().position(|candidate| {
        sum += f64::from(candidate.weight);
        sum >= p * total
    });
    candidates.truncate(full.map_or(candidates.len(), |last| last + 1));
}

/// Keeps those at least `share` as probable as the best; all for 0.
pub(super) fn min_p(candidates: &mut Vec<Candidate>, share: f32) {
    let best = candidates.iter().fold(0.0, |best: f32, candidate| best.max(candidate.weight));
    let floor = best * share.min(1.0);
    if floor > 0.0 {
        candidates.retain(|candidate| candidate.weight >= floor);
    }
}
