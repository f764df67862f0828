//! The order of those that may serve.
//!
//! Stages come first; within a stage a candidate with room for the whole answer comes before one without; then, where
//! the route has no `prefer`, the order of the list; then the score, the list, the request's draw.
//!
//! A score is the weighted mean of factors between 0 and 1, times what load and errors leave of it. A factor that is
//! not known counts as the mean of this plan's candidates whose factor is known, or 0.5 where none is: never as 0.
//! The catalog has no latencies, so a deployment that was not measured yet is such a case.
//!
//! Cost and latency come from what the request is expected to cost there and how long it is expected to take: see
//! [`Score::expected_usd`] and [`Score::expected_ms`]. A deployment that got faster would not be noticed while nothing is
//! sent to it; so now and then one that nothing was heard of lately is put first: see [`Asked::explore`].

mod factors;
mod key;

use std::sync::Arc;

use serde::Serialize;
use wide::f32x8;

use self::{
    factors::{AT_ONCE, Columns, Eight, Expected, Known, Means, TOGETHER},
    key::{Key, shorten},
};
use super::{Candidate, Licensed};
use crate::{
    Capabilities, Capability, Facts, Live, Snapshot,
    eligible::{Able, Eligible},
    route::Prefer,
    set::{DEGRADED_STAGE, DEMO_STAGE, HELD_STAGE, NO_GROUP, SPARE_STAGE},
};

/// The tokens of an answer on a route whose answers were not measured yet.
const USUAL_ANSWER: f32 = 256.0;
/// One request in so many goes first to a deployment that nothing was heard of lately, where there is one worth it.
const EXPLORED_ONE_IN: u64 = 50;

/// What a score was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The stage: a later one is tried only after the earlier ones.
    pub stage: u16,
    /// The place of the candidate's entry in the list, from 0.
    pub rank: u16,
    /// Whether the list's order goes before the score: the route has no `prefer`.
    pub by_list: bool,
    /// Whether prompt and whole answer fit its context window, as far as known.
    pub roomy: bool,
    /// Estimated quality in the request's language.
    pub quality: Factor,
    /// The expected price: 1 is free.
    pub cost: Factor,
    /// The expected time: 1 is at once.
    pub latency: Factor,
    /// The expected rate of further tokens: 1 is at once.
    pub throughput: Factor,
    /// The share of the prompt that is cached there.
    pub cached_prefix: Factor,
    /// 1 in this process, 0 elsewhere.
    pub locality: Factor,
    /// The share of this plan's running requests that are not there.
    pub spread: Factor,
    /// What waiting requests, recent errors and limits that are nearly used up leave of the score.
    pub load: f32,
    /// What the request is expected to cost there, in USD: prompt tokens at their price, those that are cached, or else the
    /// share of them that usually is, at the price of those, an answer of the route's usual length, and all of it for each attempt that is
    /// expected to fail.
    pub expected_usd: Option<f32>,
    /// How long the whole answer is expected to take, in milliseconds: time to the first token, less where more of the
    /// prompt is cached than usual, and time per further token
    /// of an answer of the route's usual length, longer by those that run there, by failing attempts, by `wait_ms` or, where that
    /// is not known, by those that wait, and by `starts_ms`.
    pub expected_ms: Option<f32>,
    /// How long a request waits there until it is begun with, in milliseconds, where the place tells.
    pub wait_ms: Option<u32>,
    /// How long it takes until it can begin, in milliseconds, as its model has to be loaded first; else 0.
    pub starts_ms: u32,
    /// It was put first to hear of it again: its score alone did not put it there.
    pub explored: bool,
}

/// One factor of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// Its weight.
    pub weight: f32,
    /// Between 0 and 1; 0 where it has no weight and is not worked out.
    pub value: f32,
    /// Whether it was known; else the value is the mean of the known ones.
    pub known: bool,
}

/// One ground of a candidate's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// A stable kebab-case name.
    pub code: &'static str,
    /// In plain words.
    pub text: String,
}

impl Candidate {
    /// The grounds of its place, the weightiest first.
    pub fn reasons(&self) -> Vec<Reason> {
        let score = &self.made_of;
        let mut reasons = Vec::new();
        let mut add = |code, text| reasons.push(Reason { code, text });
        match score.stage {
            0 => {}
            DEMO_STAGE => add("demo", "the demo model, after everything else".to_owned()),
            SPARE_STAGE => add("instead", "asked instead of a model that a rule of the company turns away".to_owned()),
            DEGRADED_STAGE.. => add("degraded", "asked because no candidate of the route may serve".to_owned()),
            HELD_STAGE.. => add("held-back", "held back for a failure of the others".to_owned()),
            stage => add("stage", format!("stage {}", stage + 1)),
        }
        if score.by_list {
            add("list-order", format!("entry {} of the list", u32::from(score.rank) + 1));
        }
        if !self.leaves_out.is_empty() {
            let names: Vec<&str> = self.leaves_out.iter().map(Capability::as_str).collect();
            add("leaves-out", format!("it lacks {}, which the request is sent without", names.join(", ")));
        }
        if !score.roomy {
            add("little-room", "prompt and whole answer may not fit".to_owned());
        }
        if let Some(wait @ 1..) = score.wait_ms {
            add("waits", format!("it begins in about {:.1} s, behind others", wait as f32 / 1e3));
        }
        if score.starts_ms > 0 {
            add("loads-first", format!("its model is loaded first, in about {:.1} s", score.starts_ms as f32 / 1e3));
        }
        if score.explored {
            add("explored", "tried anew, as nothing was heard of it lately".to_owned());
        }
        let mut factors = [
            ("quality", score.quality, None),
            ("cost", score.cost, score.expected_usd.map(|usd| format!("${usd:.6}"))),
            ("latency", score.latency, score.expected_ms.map(|ms| format!("{ms:.0} ms"))),
            ("throughput", score.throughput, None),
            ("cached-prefix", score.cached_prefix, None),
            ("locality", score.locality, None),
            ("spread", score.spread, None),
        ];
        factors.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight));
        for (code, factor, amount) in factors {
            if factor.weight > 0.0 {
                let told = match amount {
                    _ if !factor.known => " (not known)".to_owned(),
                    Some(amount) => format!(" ({amount})"),
                    None => String::new(),
                };
                add(code, format!("{} {:.2}{told}", code.replace('-', " "), factor.value));
            }
        }
        if score.load < 1.0 {
            add("load", format!("load, limits and errors leave {:.2}", score.load));
        }
        reasons
    }
}

/// A deployment that may serve: its place in one of the lists.
#[derive(Clone, Copy)]
struct Fit {
    list: u16,
    /// As in [`Able`].
    site: u16,
    at: u32,
}

/// Deployments that may serve.
#[derive(Default)]
pub(super) struct Fits {
    lists: Vec<Arc<Eligible>>,
    of: Vec<Fit>,
    /// By place in `of`; with no score yet of those that a block says are not known.
    keys: Vec<Key>,
    /// Likewise, where one may be tried anew: the score that it would have if it answered at once and had no load.
    at_best: Vec<f32>,
    /// Those that are looked at once more when all are known.
    blocks: Vec<Block>,
    sums: Sums,
}

/// What was worked out of some that follow each other among those that may serve.
struct Block {
    known: Known,
    running: f32x8,
    /// The place of the first of them.
    first: usize,
    /// A bit for each whose score depends on the others.
    unknown: u8,
}

/// Sums over those that may serve, in one variable of the loop that asks them, so that they stay in registers.
#[derive(Clone, Copy, Default)]
struct Sums {
    means: Means,
    /// Requests that run at all of them together.
    running: f32x8,
}

impl Fits {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// Adds those of a list that `serves` finds to serve the request, as they are now.
    #[inline]
    pub(super) fn add<'l>(
        &mut self,
        asked: &Asked<'_>,
        list: &'l Arc<Eligible>,
        mut serves: impl FnMut(&Able) -> Option<&'l Live>,
    ) {
        self.of.reserve(list.able.len());
        self.keys.reserve(list.able.len());
        if asked.explores {
            self.at_best.reserve(list.able.len());
        }
        if !self.lists.last().is_some_and(|last| Arc::ptr_eq(last, list)) {
            self.lists.push(Arc::clone(list));
        }
        // The list of the route, what a rule of the company names instead, what it degrades to.
        let number = (self.lists.len() - 1) as u16;
        let mut sums = self.sums;
        let mut columns = Columns::default();
        for (at, able) in (0..).zip(&list.able) {
            let Some(live) = serves(able) else { continue };
            self.of.push(Fit { list: number, site: able.site, at });
            columns.push(able, live, asked.qualities);
            if columns.len() == AT_ONCE {
                self.score(asked, &columns, list, &mut sums);
                columns.clear();
            }
        }
        self.score(asked, &columns, list, &mut sums);
        self.sums = sums;
    }

    /// Scores those that were added last.
    #[inline(always)]
    fn score(&mut self, asked: &Asked<'_>, columns: &Columns, list: &Eligible, sums: &mut Sums) {
        for from in (0..columns.len()).step_by(TOGETHER) {
            let eight = columns.eight(from);
            let filled = (columns.len() - from).min(TOGETHER);
            let counts = FILLED[filled];
            let known = asked.expected.known(&eight, &asked.weights);
            sums.means.add(&known, counts);
            let running = eight.running();
            sums.running += running & counts;
            // The spread of each is not known yet.
            let sum = known.sum(&asked.weights, f32x8::splat(f32::NAN));
            let totals = known.total(sum, asked.scale).to_array();
            let unknown = (sum.is_nan() & counts).to_bitmask();
            let first = self.keys.len();
            for (at, (fit, total)) in (first..).zip(self.of[first..].iter().zip(totals).take(TOGETHER)) {
                self.keys.push(asked.key(&list.able[fit.at as usize], total, at));
            }
            if asked.explores {
                self.at_best.extend_from_slice(&asked.at_best(&known, f32x8::splat(f32::NAN))[..filled]);
            }
            if unknown != 0 {
                if self.blocks.is_empty() {
                    // As many as those of the list, for which keys have room.
                    self.blocks.reserve_exact(self.keys.capacity().div_ceil(TOGETHER));
                }
                self.blocks.push(Block { known, running, first, unknown: unknown as u8 });
            }
        }
    }

    fn able(&self, key: Key) -> &Able {
        let fit = self.of[key.at()];
        &self.lists[usize::from(fit.list)].able[fit.at as usize]
    }

    fn licensed(&self, key: Key) -> &Arc<Licensed> {
        let fit = self.of[key.at()];
        &self.lists[usize::from(fit.list)].licensed[fit.at as usize]
    }
}

/// By how many lanes are filled: all bits of those.
const FILLED: [f32x8; TOGETHER + 1] = {
    let mut filled = [f32x8::ZERO; TOGETHER + 1];
    let mut lanes = [0.0; TOGETHER];
    let mut at = 0;
    while at < TOGETHER {
        lanes[at] = f32::from_bits(u32::MAX);
        at += 1;
        filled[at] = f32x8::new(lanes);
    }
    filled
};

/// What the scores of one plan share.
pub(super) struct Asked<'a> {
    snapshot: &'a Snapshot<'a>,
    /// The quality of each row.
    qualities: &'a [f32],
    expected: Expected,
    weights: Prefer,
    /// One over the sum of the weights, or 0.
    scale: f32,
    by_list: bool,
    /// Prompt and the longest answer that the caller takes.
    whole: u64,
    /// What the request may be sent without.
    spared: Capabilities,
    draw: u64,
    /// Whether one may be put first to hear of it again.
    explores: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn new(facts: &Facts, prefer: Option<Prefer>, spared: Capabilities, snapshot: &'a Snapshot<'a>) -> Self {
        let usual = facts.answer_tokens.filter(|tokens| tokens.is_finite() && *tokens >= 0.0).unwrap_or(USUAL_ANSWER);
        let weights = prefer.unwrap_or(Prefer::EVEN);
        let Prefer { quality, cost, latency, throughput, cached_prefix, locality, spread, quality_by } = weights;
        let sum = quality + cost + latency + throughput + cached_prefix + locality + spread;
        let answer_tokens = facts.max_tokens.map_or(usual, |most| usual.min(most as f32));
        Self {
            snapshot,
            qualities: snapshot.policies.table.qualities(facts.language.as_deref(), quality_by),
            expected: Expected::new(facts.prompt_tokens as f32, answer_tokens),
            weights,
            scale: if sum > 0.0 { 1.0 / sum } else { 0.0 },
            by_list: prefer.is_none(),
            whole: facts.prompt_tokens.saturating_add(facts.max_tokens.unwrap_or(0)),
            spared,
            draw: facts.draw,
            explores: facts.draw != 0 && prefer.is_some() && (facts.draw >> 32).is_multiple_of(EXPLORED_ONE_IN),
        }
    }

    /// Ranks those that may serve, and makes candidates of `keep` of them: see [`shorten`].
    pub(super) fn order(&self, fits: &mut Fits, keep: usize) -> Vec<Candidate> {
        let usual = fits.sums.means.usual();
        let one_running = 1.0 / fits.sums.running.reduce_add().max(1.0);
        let spread = |running: f32x8| f32x8::ONE - running * one_running;
        let known = |eight: &Eight<'_>| self.expected.known(eight, &self.weights);
        let total = |known: &Known, running: f32x8| {
            known.total(known.or(&usual).sum(&self.weights, spread(running)), self.scale).to_array()
        };
        let mut keys = std::mem::take(&mut fits.keys);
        for block in &fits.blocks {
            let totals = total(&block.known, block.running);
            let unknown = (0..TOGETHER).filter(|lane| block.unknown >> lane & 1 != 0);
            for lane in unknown.clone() {
                let key = &mut keys[block.first + lane];
                *key = key.scored(totals[lane]);
            }
            if self.explores {
                let at_best = self.at_best(&block.known.or(&usual), spread(block.running));
                unknown.for_each(|lane| fits.at_best[block.first + lane] = at_best[lane]);
            }
        }
        let fits = &*fits;
        let explored = self.explore(&mut keys, fits);
        if keep < keys.len() {
            keys = shorten(&keys, keep, fits.of.iter().map(|fit| usize::from(fit.site)));
        } else {
            keys.sort_unstable();
        }
        let table = &self.snapshot.policies.table;
        let mut candidates = Vec::with_capacity(keys.len());
        let mut columns = Columns::default();
        for keys in keys.chunks(TOGETHER) {
            columns.clear();
            for key in keys {
                let able = fits.able(*key);
                columns.push(able, self.live(able), self.qualities);
            }
            let eight = columns.eight(0);
            let known = known(&eight);
            let running = eight.running();
            let (totals, spread) = (total(&known, running), spread(running).to_array());
            let (usd, ms) = (self.expected.usd(&eight).to_array(), self.expected.ms(&eight).to_array());
            for (lane, key) in keys.iter().enumerate() {
                let able = fits.able(*key);
                candidates.push(Candidate {
                    deployment: able.deployment as usize,
                    licensed: Arc::clone(fits.licensed(*key)),
                    score: f64::from(totals[lane]),
                    group: Some(able.group).filter(|group| *group != NO_GROUP),
                    // Where nothing may be left out, as mostly, the row need not be looked at.
                    leaves_out: match self.spared.is_empty() {
                        true => self.spared,
                        false => self.spared.common(table.rows[able.row as usize].lacks),
                    },
                    made_of: Score {
                        expected_usd: Some(usd[lane]).filter(|usd| !usd.is_nan()),
                        expected_ms: Some(ms[lane]).filter(|ms| !ms.is_nan()),
                        explored: explored == Some(key.at()),
                        wait_ms: self.live(able).wait_ms,
                        starts_ms: self.live(able).starts_ms,
                        ..self.score(able, &known.lane(lane), &usual, spread[lane])
                    },
                });
            }
        }
        candidates
    }

    fn live(&self, able: &Able) -> &'a Live {
        self.snapshot.live.get(able.deployment as usize).unwrap_or(&Live::UNMEASURED)
    }

    #[inline]
    fn key(&self, able: &Able, total: f32, at: usize) -> Key {
        Key::new(self.group(able), total, able.rank, self.draw, at)
    }

    /// Its stage, its lack of room, and its place in the list where that decides.
    #[inline]
    fn group(&self, able: &Able) -> u64 {
        let listed = if self.by_list { able.rank } else { 0 };
        u64::from(able.stage) << 17 | u64::from(!self.roomy(able)) << 16 | u64::from(listed)
    }

    /// A score, taken apart.
    fn score(&self, able: &Able, known: &Known<f32>, usual: &Known<f32>, spread: f32) -> Score {
        let factor = |weight, value: f32, usual: f32| match value.is_nan() {
            true => Factor { weight, value: usual, known: false },
            false => Factor { weight, value, known: true },
        };
        Score {
            stage: able.stage,
            rank: able.rank,
            by_list: self.by_list,
            roomy: self.roomy(able),
            quality: factor(self.weights.quality, known.quality, usual.quality),
            cost: factor(self.weights.cost, known.cost, usual.cost),
            latency: factor(self.weights.latency, known.latency, Known::usual_latency(known, usual)),
            throughput: factor(self.weights.throughput, known.throughput, usual.throughput),
            cached_prefix: factor(self.weights.cached_prefix, known.cached_prefix, 0.0),
            locality: factor(self.weights.locality, known.locality, 0.0),
            spread: factor(self.weights.spread, spread, 0.0),
            load: known.load,
            expected_usd: None,
            expected_ms: None,
            wait_ms: None,
            starts_ms: 0,
            explored: false,
        }
    }

    fn roomy(&self, able: &Able) -> bool {
        self.whole <= able.context_tokens
    }

    /// The scores of some if they answered at once and had no load.
    #[inline(always)]
    fn at_best(&self, known: &Known, spread: f32x8) -> [f32; TOGETHER] {
        let known = Known { latency: f32x8::ONE, load: f32x8::ONE, ..*known };
        known.total(known.sum(&self.weights, spread), self.scale).to_array()
    }

    /// Puts one that nothing was heard of lately before the others of its stage, in one request of [`EXPLORED_ONE_IN`]
    /// and only where the score decides; its place among those that may serve. It must be one that would be first if it
    /// answered at once and had no load: there is nothing to learn of the others. Each of them has the same chance.
    fn explore(&self, keys: &mut [Key], fits: &Fits) -> Option<usize> {
        if !self.explores {
            return None;
        }
        let first = *keys.iter().min()?;
        let worthy = |at: &usize| {
            let key = keys[*at];
            let live = self.live(fits.able(key));
            // Nobody waits for a model to be loaded so that others may learn from it.
            key.group() == first.group() && key != first && !live.fresh && live.starts_ms == 0
        };
        let better = (0..).zip(&fits.at_best).filter(|(_, total)| **total > first.total()).map(|(at, _)| at);
        let mut worthies: Vec<usize> = Vec::with_capacity(keys.len());
        worthies.extend(better.filter(worthy));
        let chosen = *worthies.get((self.draw as u32 as usize).checked_rem(worthies.len())?)?;
        keys[chosen] = keys[chosen].first_of_its_stage();
        Some(chosen)
    }
}
