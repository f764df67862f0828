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

use catalog::Decision;
use serde::Serialize;

use self::{
    factors::{Expected, Known, Means},
    key::{Key, shorten},
};
use super::Candidate;
use crate::{
    Capabilities, Capability, Facts, Live,
    route::Prefer,
    set::{DEGRADED_STAGE, DEMO_STAGE, Entry, HELD_STAGE, NO_GROUP, SPARE_STAGE},
    table::{Row, Table},
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
    /// What the request is expected to cost there, in USD: prompt tokens at their price, the share of them that is
    /// usually cached at the price of those, an answer of the route's usual length, and all of it for each attempt that is
    /// expected to fail.
    pub expected_usd: Option<f32>,
    /// How long the whole answer is expected to take, in milliseconds: time to the first token and time per further token
    /// of an answer of the route's usual length, longer by those that wait and run there, and by failing attempts.
    pub expected_ms: Option<f32>,
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

/// A deployment that may serve, not yet ranked.
struct Fit<'a> {
    entry: &'a Entry,
    row: &'a Row,
    live: &'a Live,
    known: Known,
}

/// Deployments that may serve.
#[derive(Default)]
pub(super) struct Fits<'a> {
    of: Vec<Fit<'a>>,
    means: Means,
    /// Requests that run at all of them together.
    running: f32,
}

impl<'a> Fits<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.of.reserve(more);
    }

    #[inline]
    pub(super) fn push(&mut self, asked: &Asked<'_>, entry: &'a Entry, row: &'a Row, live: &'a Live) {
        let known = asked.expected.known(row, live, asked.qualities[entry.row as usize], &asked.weights);
        self.means.add(&known);
        self.running += live.running as f32;
        self.of.push(Fit { entry, row, live, known });
    }
}

/// What the scores of one plan share.
pub(super) struct Asked<'a> {
    table: &'a Table,
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
}

impl<'a> Asked<'a> {
    pub(super) fn new(facts: &Facts, prefer: Option<Prefer>, spared: Capabilities, table: &'a Table) -> Self {
        let usual = facts.answer_tokens.filter(|tokens| tokens.is_finite() && *tokens >= 0.0).unwrap_or(USUAL_ANSWER);
        let weights = prefer.unwrap_or(Prefer::EVEN);
        let Prefer { quality, cost, latency, throughput, cached_prefix, locality, spread, quality_by } = weights;
        let sum = quality + cost + latency + throughput + cached_prefix + locality + spread;
        let answer_tokens = facts.max_tokens.map_or(usual, |most| usual.min(most as f32));
        Self {
            table,
            qualities: table.qualities(facts.language.as_deref(), quality_by),
            expected: Expected::new(facts.prompt_tokens as f32, answer_tokens),
            weights,
            scale: if sum > 0.0 { 1.0 / sum } else { 0.0 },
            by_list: prefer.is_none(),
            whole: facts.prompt_tokens.saturating_add(facts.max_tokens.unwrap_or(0)),
            spared,
            draw: facts.draw,
        }
    }

    /// Ranks those that may serve, and makes candidates of `keep` of them: see [`shorten`].
    pub(super) fn order(
        &self,
        fits: &Fits<'_>,
        keep: usize,
        decision: impl Fn(&Row) -> Arc<Decision>,
    ) -> Vec<Candidate> {
        let usual = fits.means.usual();
        let one_running = 1.0 / fits.running.max(1.0);
        let spread = |fit: &Fit<'_>| 1.0 - fit.live.running as f32 * one_running;
        let total = |known: &Known, fit: &Fit<'_>| known.total(&self.weights, self.scale, &usual, spread(fit));
        let key = |(at, fit): (usize, &Fit<'_>)| {
            Key::new(self.group(fit), total(&fit.known, fit), fit.entry.rank, self.draw, at)
        };
        let mut keys: Vec<Key> = fits.of.iter().enumerate().map(key).collect();
        let explored = self.explore(&mut keys, &fits.of, |fit, best| match best {
            false => total(&fit.known, fit),
            true => total(&Known { latency: 1.0, load: 1.0, ..fit.known }, fit),
        });
        if keep < keys.len() {
            keys = shorten(&keys, keep, |key| fits.of[key.at()].row.site as usize);
        } else {
            keys.sort_unstable();
        }
        let candidates = keys.into_iter().map(|key| {
            let fit = &fits.of[key.at()];
            Candidate {
                deployment: fit.row.deployment,
                model: self.table.served(fit.row).id.clone(),
                score: f64::from(total(&fit.known, fit)),
                decision: decision(fit.row),
                group: Some(fit.entry.group).filter(|group| *group != NO_GROUP),
                leaves_out: self.spared.common(fit.row.lacks),
                made_of: Score { explored: explored == Some(key.at()), ..self.score(fit, &usual, spread(fit)) },
            }
        });
        candidates.collect()
    }

    /// Its stage, its lack of room, and its place in the list where that decides.
    #[inline]
    fn group(&self, fit: &Fit<'_>) -> u64 {
        let listed = if self.by_list { fit.entry.rank } else { 0 };
        u64::from(fit.entry.stage) << 17 | u64::from(!self.roomy(fit.row)) << 16 | u64::from(listed)
    }

    /// A score, taken apart.
    fn score(&self, fit: &Fit<'_>, usual: &Known, spread: f32) -> Score {
        let known = &fit.known;
        let factor = |weight, value: f32, usual: f32| match value.is_nan() {
            true => Factor { weight, value: usual, known: false },
            false => Factor { weight, value, known: true },
        };
        Score {
            stage: fit.entry.stage,
            rank: fit.entry.rank,
            by_list: self.by_list,
            roomy: self.roomy(fit.row),
            quality: factor(self.weights.quality, known.quality, usual.quality),
            cost: factor(self.weights.cost, known.cost, usual.cost),
            latency: factor(self.weights.latency, known.latency, usual.latency),
            throughput: factor(self.weights.throughput, known.throughput, usual.throughput),
            cached_prefix: factor(self.weights.cached_prefix, known.cached_prefix, 0.0),
            locality: factor(self.weights.locality, known.locality, 0.0),
            spread: factor(self.weights.spread, spread, 0.0),
            load: known.load,
            expected_usd: self.expected.usd(fit.row, fit.live),
            expected_ms: self.expected.ms(fit.live),
            explored: false,
        }
    }

    fn roomy(&self, row: &Row) -> bool {
        row.context_tokens.is_none_or(|limit| self.whole <= limit)
    }

    /// Puts one that nothing was heard of lately before the others of its stage, in one request of [`EXPLORED_ONE_IN`]
    /// and only where the score decides; its place among those that may serve. It must be one that would be first if it
    /// answered at once and had no load: there is nothing to learn of the others. Each of them has the same chance.
    ///
    /// `total` gives the score of one, as it is or at its best.
    fn explore(&self, keys: &mut [Key], fits: &[Fit<'_>], total: impl Fn(&Fit<'_>, bool) -> f32) -> Option<usize> {
        if self.draw == 0 || self.by_list || !(self.draw >> 32).is_multiple_of(EXPLORED_ONE_IN) {
            return None;
        }
        let first = *keys.iter().min()?;
        let to_beat = total(&fits[first.at()], false);
        let worth_it = |key: &Key| {
            let fit = &fits[key.at()];
            let rival = *key != first && key.group() == first.group() && !fit.live.fresh;
            rival && total(fit, true) > to_beat
        };
        let worthy: Vec<usize> = (0..keys.len()).filter(|at| worth_it(&keys[*at])).collect();
        let chosen = *worthy.get((self.draw as u32 as usize).checked_rem(worthy.len())?)?;
        keys[chosen] = keys[chosen].first_of_its_stage();
        Some(keys[chosen].at())
    }
}
