//! The order of those that may serve.
//!
//! Stages come first; within a stage a candidate with room for the whole answer comes before one without; then, where
//! the route has no `prefer`, the order of the list; then the score, the list, the configuration.
//!
//! A score is the weighted mean of factors between 0 and 1, times what load and errors leave of it. A factor that is
//! not known counts as the mean of this plan's candidates whose factor is known, or 0.5 where none is: never as 0.

use std::sync::Arc;

use catalog::Decision;
use serde::Serialize;

use super::{Candidate, Fit};
use crate::{
    Facts, Live,
    route::Prefer,
    set::{DEMO_STAGE, SPARE_STAGE},
    table::{Row, Table},
};

/// The price per million tokens at which the cost factor is one half, in USD.
const HALF_COST_USD: f32 = 0.5;
/// The time for a short answer at which the latency factor is one half, in milliseconds.
const HALF_LATENCY_MS: f32 = 2_000.0;
/// The time per further token at which the throughput factor is one half, in milliseconds: 20 tokens a second.
const HALF_THROUGHPUT_MS: f32 = 50.0;
/// The tokens of that short answer, and of an answer whose length the caller does not limit.
const SHORT_ANSWER: f32 = 128.0;
const USUAL_ANSWER: u64 = 512;
/// A score is halved by this many waiting requests.
const HALF_QUEUE: f32 = 8.0;
/// What an unknown factor counts where no candidate's is known.
const UNKNOWN: f32 = 0.5;

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
    /// What waiting requests and recent errors leave of the score.
    pub load: f32,
}

/// One factor of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// Its weight.
    pub weight: f32,
    /// Between 0 and 1.
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
            stage => add("stage", format!("stage {}", stage + 1)),
        }
        if score.by_list {
            add("list-order", format!("entry {} of the list", u32::from(score.rank) + 1));
        }
        if !score.roomy {
            add("little-room", "prompt and whole answer may not fit".to_owned());
        }
        let mut factors = [
            ("quality", score.quality),
            ("cost", score.cost),
            ("latency", score.latency),
            ("throughput", score.throughput),
            ("cached-prefix", score.cached_prefix),
            ("locality", score.locality),
            ("spread", score.spread),
        ];
        factors.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight));
        for (code, factor) in factors {
            if factor.weight > 0.0 {
                let known = if factor.known { "" } else { " (not known)" };
                add(code, format!("{} {:.2}{known}", code.replace('-', " "), factor.value));
            }
        }
        if score.load < 1.0 {
            add("load", format!("load and errors leave {:.2}", score.load));
        }
        reasons
    }
}

/// Ranks those that may serve, and makes candidates of `keep` of them: see [`shorten`].
pub(super) fn order(
    fit: &[Fit<'_>],
    prefer: Option<Prefer>,
    facts: &Facts,
    table: &Table,
    keep: usize,
    decision: impl Fn(&Row) -> Arc<Decision>,
) -> Vec<Candidate> {
    let language = table.language(facts.language.as_deref());
    let answer_tokens = facts.max_tokens.unwrap_or(USUAL_ANSWER);
    let quality_by = prefer.and_then(|prefer| prefer.quality_by);
    let running: f32 = fit.iter().map(|fit| fit.live.running as f32).sum();
    let share = 1.0 / running.max(1.0);
    let mut means = Means::default();
    let mut raws: Vec<Raw> = Vec::with_capacity(fit.len());
    for fit in fit {
        let raw = Raw {
            quality: table.quality_by(fit.row, language, quality_by),
            cost: cost(fit.row, facts.prompt_tokens, answer_tokens),
            latency: latency(fit.live),
            throughput: throughput(fit.live),
            cached_prefix: cached(fit.live, facts.prompt_tokens),
            spread: 1.0 - fit.live.running as f32 * share,
        };
        means.add(&raw);
        raws.push(raw);
    }
    let score_of = |at: usize| score(&fit[at], &raws[at], &means, prefer, facts);
    let mut keys: Vec<Key> = (0..fit.len()).map(|at| Key::new(&score_of(at), at)).collect();
    if keep < keys.len() {
        shorten(&mut keys, keep, |key| fit[key.at()].row.site as usize);
    }
    keys.sort_unstable();
    let candidates = keys.into_iter().map(|key| {
        let (row, made_of) = (fit[key.at()].row, score_of(key.at()));
        Candidate {
            deployment: row.deployment,
            model: table.models[row.model].id.clone(),
            score: f64::from(made_of.total()),
            decision: decision(row),
            made_of,
        }
    });
    candidates.collect()
}

/// Leaves `keep` of more keys. First the best of the last stage, or of the list's last entry where the list decides:
/// the last resort has to be there however many come before it. Then the best of each place, since a request that
/// failed at one place is tried at another. Then the best of the rest.
fn shorten(keys: &mut Vec<Key>, keep: usize, site: impl Fn(Key) -> usize) {
    let mut last: Option<Key> = None;
    let mut best: Vec<Option<Key>> = Vec::new();
    for &key in keys.iter() {
        let better = last.is_none_or(|last| key.group() > last.group() || key.group() == last.group() && key < last);
        if better {
            last = Some(key);
        }
        let site = site(key);
        if best.len() <= site {
            best.resize(site + 1, None);
        }
        best[site] = Some(best[site].map_or(key, |other| other.min(key)));
    }
    let class = |key: Key| match key {
        _ if last == Some(key) => 0_u8,
        _ if best[site(key)] == Some(key) => 1,
        _ => 2,
    };
    keys.select_nth_unstable_by_key(keep, |key| (class(*key), *key));
    keys.truncate(keep);
}

/// Orders candidates; the least goes first. One number, so that a comparison is one instruction or two: stage, lack of
/// room, place in the list where that decides, score from the highest, place among those that may serve, which have the
/// order of the list and of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
    fn new(score: &Score, at: usize) -> Self {
        let listed = if score.by_list { score.rank } else { 0 };
        // The bits of a number that is not negative are in the order of the number.
        let falling = !score.total().max(0.0).to_bits();
        let parts = u128::from(score.stage) << 1 | u128::from(!score.roomy);
        Self((parts << 16 | u128::from(listed)) << 64 | u128::from(falling) << 32 | at as u128)
    }

    /// Its stage, and its place in the list where that decides.
    fn group(self) -> (u16, u16) {
        ((self.0 >> 81) as u16, (self.0 >> 64) as u16)
    }

    fn at(self) -> usize {
        // The lowest 32 bits; there are far fewer deployments than that counts.
        (self.0 as u32) as usize
    }
}

fn score(fit: &Fit<'_>, raw: &Raw, means: &Means, prefer: Option<Prefer>, facts: &Facts) -> Score {
    let weights = prefer.unwrap_or(Prefer::EVEN);
    let whole = facts.prompt_tokens.saturating_add(facts.max_tokens.unwrap_or(0));
    Score {
        stage: fit.entry.stage,
        rank: fit.entry.rank,
        by_list: prefer.is_none(),
        roomy: fit.row.context_tokens.is_none_or(|limit| whole <= limit),
        quality: factor(weights.quality, raw.quality, means.quality),
        cost: factor(weights.cost, raw.cost, means.cost),
        latency: factor(weights.latency, raw.latency, means.latency),
        throughput: factor(weights.throughput, raw.throughput, means.throughput),
        cached_prefix: factor(weights.cached_prefix, Some(raw.cached_prefix), Mean::default()),
        locality: factor(weights.locality, Some(f32::from(u8::from(fit.row.local))), Mean::default()),
        spread: factor(weights.spread, Some(raw.spread), Mean::default()),
        load: load(fit.live),
    }
}

impl Score {
    /// The weighted mean, times what load and errors leave.
    fn total(&self) -> f32 {
        let factors =
            [self.quality, self.cost, self.latency, self.throughput, self.cached_prefix, self.locality, self.spread];
        let weight: f32 = factors.iter().map(|f| f.weight).sum();
        let sum: f32 = factors.iter().map(|f| f.weight * f.value).sum();
        if weight > 0.0 { sum / weight * self.load } else { 0.0 }
    }
}

/// The factors of one candidate, as far as known.
struct Raw {
    quality: Option<f32>,
    cost: Option<f32>,
    latency: Option<f32>,
    throughput: Option<f32>,
    cached_prefix: f32,
    spread: f32,
}

#[derive(Default)]
struct Means {
    quality: Mean,
    cost: Mean,
    latency: Mean,
    throughput: Mean,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f32,
    count: f32,
}

impl Means {
    fn add(&mut self, raw: &Raw) {
        for (mean, value) in [
            (&mut self.quality, raw.quality),
            (&mut self.cost, raw.cost),
            (&mut self.latency, raw.latency),
            (&mut self.throughput, raw.throughput),
        ] {
            if let Some(value) = value {
                mean.sum += value;
                mean.count += 1.0;
            }
        }
    }
}

fn factor(weight: f32, value: Option<f32>, mean: Mean) -> Factor {
    let usual = if mean.count > 0.0 { mean.sum / mean.count } else { UNKNOWN };
    Factor { weight, value: value.unwrap_or(usual), known: value.is_some() }
}

/// From the price of this request, per million of its tokens.
fn cost(row: &Row, prompt_tokens: u64, answer_tokens: u64) -> Option<f32> {
    let (input, output) = (row.input_usd?, row.output_usd?);
    let (prompt, answer) = (prompt_tokens as f32, answer_tokens as f32);
    let per_million = (input * prompt + output * answer) / (prompt + answer).max(1.0);
    Some(HALF_COST_USD / (HALF_COST_USD + per_million))
}

/// From the expected time of a short answer.
fn latency(live: &Live) -> Option<f32> {
    let known = |ms: f32| ms.is_finite() && ms >= 0.0;
    let first = live.ttft_ms.filter(|ms| known(*ms))?;
    let further = live.tpot_ms.filter(|ms| known(*ms)).unwrap_or(0.0);
    Some(HALF_LATENCY_MS / (HALF_LATENCY_MS + first + SHORT_ANSWER * further))
}

/// From the time per further token.
fn throughput(live: &Live) -> Option<f32> {
    let further = live.tpot_ms.filter(|ms| ms.is_finite() && *ms >= 0.0)?;
    Some(HALF_THROUGHPUT_MS / (HALF_THROUGHPUT_MS + further))
}

fn cached(live: &Live, prompt_tokens: u64) -> f32 {
    (live.cached_prefix_tokens as f32 / prompt_tokens.max(1) as f32).min(1.0)
}

/// Errors count squared, so that a backend which fails fast attracts nothing.
fn load(live: &Live) -> f32 {
    let good = if live.error_rate.is_nan() { 0.0 } else { 1.0 - live.error_rate.clamp(0.0, 1.0) };
    good * good * HALF_QUEUE / (HALF_QUEUE + live.queued as f32)
}
