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

mod key;

use std::sync::Arc;

use catalog::Decision;
use serde::Serialize;

use self::key::{Key, shorten};
use super::{Candidate, Fit};
use crate::{
    Facts, Live,
    route::Prefer,
    set::{DEGRADED_STAGE, DEMO_STAGE, HELD_STAGE, NO_GROUP, SPARE_STAGE},
    table::{Language, Row, Table},
};

/// The price per million tokens at which the cost factor is one half, in USD.
const HALF_COST_USD: f32 = 0.5;
/// The time for a whole answer at which the latency factor is one half, in milliseconds.
const HALF_LATENCY_MS: f32 = 4_000.0;
/// The time per further token at which the throughput factor is one half, in milliseconds: 20 tokens a second.
const HALF_THROUGHPUT_MS: f32 = 50.0;
/// The tokens of an answer on a route whose answers were not measured yet.
const USUAL_ANSWER: f32 = 256.0;
/// A score is halved by this many waiting requests.
const HALF_QUEUE: f32 = 8.0;
/// A request is taken to last twice as long beside this many others. An assumption, on the low side: what is measured
/// has the usual load in it already, and this only keeps a herd from one place until its measures show it.
const DOUBLING_RUNNING: f32 = 64.0;
/// The most attempts that a request is expected to need at one place, so that one where everything fails has an
/// expected time at all.
const MOST_RETRIES: f32 = 100.0;
/// What an unknown factor counts where no candidate's is known.
const UNKNOWN: f32 = 0.5;
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
    /// What waiting requests and recent errors leave of the score.
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
            DEGRADED_STAGE.. => add("degraded", "asked because no candidate of the route may serve".to_owned()),
            HELD_STAGE.. => add("held-back", "held back for a failure of the others".to_owned()),
            stage => add("stage", format!("stage {}", stage + 1)),
        }
        if score.by_list {
            add("list-order", format!("entry {} of the list", u32::from(score.rank) + 1));
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
    let running = fit.iter().map(|fit| fit.live.running as f32).sum();
    let asked = Asked::new(facts, table, prefer, running);
    let mut means = Means::default();
    let mut known: Vec<Known> = Vec::with_capacity(fit.len());
    for fit in fit {
        let candidate = asked.known(fit);
        means.add(&candidate);
        known.push(candidate);
    }
    let usual = means.usual();
    let mut keys: Vec<Key> =
        known.iter().enumerate().map(|(at, known)| asked.key(&fit[at], at, asked.total(known, &usual))).collect();
    let explored = asked.explore(&mut keys, fit, |at, best| match best {
        false => asked.total(&known[at], &usual),
        true => asked.total(&Known { latency: 1.0, load: 1.0, ..known[at] }, &usual),
    });
    if keep < keys.len() {
        keys = shorten(keys, keep, |key| fit[key.at()].row.site as usize);
    } else {
        keys.sort_unstable();
    }
    let candidates = keys.into_iter().map(|key| {
        let (at, row) = (key.at(), fit[key.at()].row);
        Candidate {
            deployment: row.deployment,
            model: table.models[row.model].id.clone(),
            score: f64::from(asked.total(&known[at], &usual)),
            decision: decision(row),
            group: Some(fit[at].entry.group).filter(|group| *group != NO_GROUP),
            made_of: Score { explored: explored == Some(at), ..asked.score(&fit[at], &known[at], &usual) },
        }
    });
    candidates.collect()
}

/// What the scores of one plan share.
struct Asked<'a> {
    table: &'a Table,
    language: Language,
    weights: Prefer,
    /// One over the sum of the weights, or 0.
    scale: f32,
    by_list: bool,
    prompt_tokens: f32,
    /// The answer's length, as expected.
    answer_tokens: f32,
    /// One over the prompt's tokens, and over those of prompt and answer: a division takes longer than all the rest of a
    /// factor, and there are hundreds of candidates.
    one_prompt_token: f32,
    one_token: f32,
    /// Prompt and the longest answer that the caller takes.
    whole: u64,
    /// One over the requests that run at all candidates together.
    one_running: f32,
    draw: u64,
}

impl<'a> Asked<'a> {
    fn new(facts: &Facts, table: &'a Table, prefer: Option<Prefer>, running: f32) -> Self {
        let usual = facts.answer_tokens.filter(|tokens| tokens.is_finite() && *tokens >= 0.0).unwrap_or(USUAL_ANSWER);
        let weights = prefer.unwrap_or(Prefer::EVEN);
        let Prefer { quality, cost, latency, throughput, cached_prefix, locality, spread, quality_by: _ } = weights;
        let sum = quality + cost + latency + throughput + cached_prefix + locality + spread;
        let prompt_tokens = facts.prompt_tokens as f32;
        let answer_tokens = facts.max_tokens.map_or(usual, |most| usual.min(most as f32));
        Self {
            table,
            language: table.language(facts.language.as_deref()),
            weights,
            scale: if sum > 0.0 { 1.0 / sum } else { 0.0 },
            by_list: prefer.is_none(),
            prompt_tokens,
            answer_tokens,
            one_prompt_token: 1.0 / prompt_tokens.max(1.0),
            one_token: 1.0 / (prompt_tokens + answer_tokens).max(1.0),
            whole: facts.prompt_tokens.saturating_add(facts.max_tokens.unwrap_or(0)),
            one_running: 1.0 / running.max(1.0),
            draw: facts.draw,
        }
    }

    /// What is known of a candidate.
    fn known(&self, fit: &Fit<'_>) -> Known {
        let unknown = f32::NAN;
        let good = good(fit.live);
        let some = some(good);
        // A factor is HALF / (HALF + expected), and what is expected grows with 1 / good.
        let factor = |half: f32, once: f32| half * some / (half * some + once);
        Known {
            quality: self.table.quality_by(fit.row, self.language, self.weights.quality_by).unwrap_or(unknown),
            // By the price per million tokens, so that a long request is as dear as a short one at the same prices.
            cost: self.micro_usd(fit).map_or(unknown, |usd| factor(HALF_COST_USD, usd * self.one_token)),
            latency: self.ms(fit.live).map_or(unknown, |ms| factor(HALF_LATENCY_MS, ms)),
            throughput: throughput(fit.live).unwrap_or(unknown),
            cached_prefix: self.cached_prefix(fit.live),
            locality: if fit.row.local { 1.0 } else { 0.0 },
            spread: 1.0 - fit.live.running as f32 * self.one_running,
            load: good * good * queue(fit.live),
        }
    }

    /// The weighted mean of the factors, times what load and errors leave.
    fn total(&self, known: &Known, usual: &Known) -> f32 {
        let or = |value: f32, usual: f32| if value.is_nan() { usual } else { value };
        let Prefer { quality, cost, latency, throughput, cached_prefix, locality, spread, quality_by: _ } =
            self.weights;
        let sum = quality * or(known.quality, usual.quality)
            + cost * or(known.cost, usual.cost)
            + latency * or(known.latency, usual.latency)
            + throughput * or(known.throughput, usual.throughput)
            + cached_prefix * known.cached_prefix
            + locality * known.locality
            + spread * known.spread;
        // The weights may add up to a little more than 1 in single precision.
        share(sum * self.scale) * known.load
    }

    /// The same, taken apart.
    fn score(&self, fit: &Fit<'_>, known: &Known, usual: &Known) -> Score {
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
            spread: factor(self.weights.spread, known.spread, 0.0),
            load: known.load,
            expected_usd: self.micro_usd(fit).map(|usd| usd * 1e-6 / some(good(fit.live))),
            expected_ms: self.ms(fit.live).map(|ms| ms / some(good(fit.live))),
            explored: false,
        }
    }

    fn roomy(&self, row: &Row) -> bool {
        row.context_tokens.is_none_or(|limit| self.whole <= limit)
    }

    fn key(&self, fit: &Fit<'_>, at: usize, total: f32) -> Key {
        let rank = fit.entry.rank;
        let listed = if self.by_list { rank } else { 0 };
        let group = u64::from(fit.entry.stage) << 17 | u64::from(!self.roomy(fit.row)) << 16 | u64::from(listed);
        Key::new(group, total, rank, self.draw, at)
    }

    /// Puts one that nothing was heard of lately before the others of its stage, in one request of [`EXPLORED_ONE_IN`]
    /// and only where the score decides; its place among those that may serve. It must be one that would be first if it
    /// answered at once and had no load: there is nothing to learn of the others. Each of them has the same chance.
    ///
    /// `total` gives the score of a place, as it is or at its best.
    fn explore(&self, keys: &mut [Key], fit: &[Fit<'_>], total: impl Fn(usize, bool) -> f32) -> Option<usize> {
        if self.draw == 0 || self.by_list || !(self.draw >> 32).is_multiple_of(EXPLORED_ONE_IN) {
            return None;
        }
        let first = *keys.iter().min()?;
        let to_beat = total(first.at(), false);
        let worth_it = |key: &Key| {
            let rival = *key != first && key.group() == first.group() && !fit[key.at()].live.fresh;
            rival && total(key.at(), true) > to_beat
        };
        let worthy: Vec<usize> = (0..keys.len()).filter(|at| worth_it(&keys[*at])).collect();
        let chosen = *worthy.get((self.draw as u32 as usize).checked_rem(worthy.len())?)?;
        keys[chosen] = keys[chosen].first_of_its_stage();
        Some(keys[chosen].at())
    }

    /// What the request costs if nothing fails, in millionths of a USD.
    fn micro_usd(&self, fit: &Fit<'_>) -> Option<f32> {
        let (row, live) = (fit.row, fit.live);
        let (input, output) = (row.input_usd?, row.output_usd?);
        let (usual, prefix) = (share(live.cached_share), self.cached_prefix(live));
        let share = if prefix > usual { prefix } else { usual };
        let input = input + (row.cached_usd.unwrap_or(input) - input) * share;
        Some(input * self.prompt_tokens + output * self.answer_tokens)
    }

    /// How long the whole answer takes if nothing fails, in milliseconds.
    fn ms(&self, live: &Live) -> Option<f32> {
        let first = live.ttft?.mean;
        let further = (self.answer_tokens - 1.0).max(0.0);
        // An answer of one token has no further one to wait for, and a place where all are such has no time for it.
        let rest = if further > 0.0 { further * live.tpot?.mean } else { 0.0 };
        let waits = if live.queued == 0 { 0.0 } else { live.queued as f32 / live.running.max(1) as f32 };
        let ms = (first + rest) * (1.0 + waits + live.running as f32 * (1.0 / DOUBLING_RUNNING));
        // What is no time is not known.
        (0.0..f32::INFINITY).contains(&ms).then_some(ms)
    }

    fn cached_prefix(&self, live: &Live) -> f32 {
        share(live.cached_prefix_tokens as f32 * self.one_prompt_token)
    }
}

/// The factors of one candidate, NaN where one is not known, and what load and errors leave.
#[derive(Clone, Copy)]
struct Known {
    quality: f32,
    cost: f32,
    latency: f32,
    throughput: f32,
    cached_prefix: f32,
    locality: f32,
    spread: f32,
    load: f32,
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
    fn add(&mut self, known: &Known) {
        self.quality.add(known.quality);
        self.cost.add(known.cost);
        self.latency.add(known.latency);
        self.throughput.add(known.throughput);
    }

    /// What an unknown factor counts as.
    fn usual(&self) -> Known {
        let (quality, cost, latency) = (self.quality.usual(), self.cost.usual(), self.latency.usual());
        let throughput = self.throughput.usual();
        Known { quality, cost, latency, throughput, cached_prefix: 0.0, locality: 0.0, spread: 0.0, load: 1.0 }
    }
}

impl Mean {
    fn add(&mut self, value: f32) {
        let known = !value.is_nan();
        self.sum += if known { value } else { 0.0 };
        self.count += f32::from(u8::from(known));
    }

    fn usual(&self) -> f32 {
        if self.count > 0.0 { self.sum / self.count } else { UNKNOWN }
    }
}

/// What waiting requests leave of a score. Errors are counted beside it, and squared, so that a backend which fails
/// fast attracts nothing.
fn queue(live: &Live) -> f32 {
    if live.queued == 0 { 1.0 } else { HALF_QUEUE / (HALF_QUEUE + live.queued as f32) }
}

/// The share of attempts that succeed.
fn good(live: &Live) -> f32 {
    share(1.0 - live.error_rate)
}

/// The same, and never nothing: one over it is how many attempts one success takes.
fn some(good: f32) -> f32 {
    if good > 1.0 / MOST_RETRIES { good } else { 1.0 / MOST_RETRIES }
}

/// A number as a share; what is no number is none. Comparisons, as `clamp` would keep a NaN.
fn share(value: f32) -> f32 {
    if value > 0.0 { if value < 1.0 { value } else { 1.0 } } else { 0.0 }
}

/// From the time per further token.
fn throughput(live: &Live) -> Option<f32> {
    let further = live.tpot?.mean;
    (0.0..f32::INFINITY).contains(&further).then(|| HALF_THROUGHPUT_MS / (HALF_THROUGHPUT_MS + further))
}
