//! The factors of a score, and what a request is expected to cost and to take at a place.
//!
//! Hundreds of candidates are looked at for one request, so a factor that has no weight is not worked out for the order.
//! A number that is not known is NaN here and nowhere else.

use crate::{Live, route::Prefer, table::Row};

/// The price per million tokens at which the cost factor is one half, in USD.
const HALF_COST_USD: f32 = 0.5;
/// The time for a whole answer at which the latency factor is one half, in milliseconds.
const HALF_LATENCY_MS: f32 = 4_000.0;
/// The time per further token at which the throughput factor is one half, in milliseconds: 20 tokens a second.
const HALF_THROUGHPUT_MS: f32 = 50.0;
/// A score is halved by this many waiting requests.
const HALF_QUEUE: f32 = 8.0;
/// A request is taken to last twice as long beside this many others. An assumption, on the low side: what is measured
/// has the usual load in it already, and this only keeps a herd from one place until its measures show it.
const DOUBLING_RUNNING: f32 = 64.0;
/// The most attempts that a request is expected to need at one place, so that one where everything fails has an
/// expected time at all.
const MOST_RETRIES: f32 = 100.0;
/// The share of a limit, or of a cache, that has to be left for it to leave a score alone.
const SCARCE: f32 = 0.1;
/// What an unknown factor counts where no candidate's is known.
const UNKNOWN: f32 = 0.5;

/// What a request is about, as far as its cost and time at a place depend on it.
pub(super) struct Expected {
    prompt_tokens: f32,
    /// The answer's length.
    answer_tokens: f32,
    /// The tokens of an answer after its first.
    further_tokens: f32,
    /// One over the prompt's tokens, and over those of prompt and answer: a division takes longer than the rest of a
    /// factor.
    one_prompt_token: f32,
    one_token: f32,
}

/// The factors of one candidate, NaN where one is not known and 0 where it has no weight, and what load and errors
/// leave.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) quality: f32,
    pub(super) cost: f32,
    pub(super) latency: f32,
    pub(super) throughput: f32,
    pub(super) cached_prefix: f32,
    pub(super) locality: f32,
    pub(super) load: f32,
}

impl Expected {
    pub(super) fn new(prompt_tokens: f32, answer_tokens: f32) -> Self {
        Self {
            prompt_tokens,
            answer_tokens,
            further_tokens: (answer_tokens - 1.0).max(0.0),
            one_prompt_token: 1.0 / prompt_tokens.max(1.0),
            one_token: 1.0 / (prompt_tokens + answer_tokens).max(1.0),
        }
    }

    /// The factors that have a weight.
    #[inline]
    pub(super) fn known(&self, row: &Row, live: &Live, quality: f32, weights: &Prefer) -> Known {
        let good = good(live);
        // Where nothing fails, as almost always, one division less.
        let waiting = if live.queued == 0 { 1.0 } else { HALF_QUEUE / (HALF_QUEUE + live.queued as f32) };
        Known {
            quality,
            cost: if weights.cost > 0.0 { self.cost(row, live) } else { 0.0 },
            latency: if weights.latency > 0.0 { self.latency(live) } else { 0.0 },
            throughput: if weights.throughput > 0.0 { throughput(live) } else { 0.0 },
            cached_prefix: if weights.cached_prefix > 0.0 { self.cached_prefix(live) } else { 0.0 },
            locality: if row.local { 1.0 } else { 0.0 },
            // Errors are squared, so that a backend which fails fast attracts nothing.
            load: good * good * waiting * room(live),
        }
    }

    /// The price: 1 is free. By the price per million tokens, so that a long request is as dear as a short one at the same
    /// prices.
    #[inline]
    fn cost(&self, row: &Row, live: &Live) -> f32 {
        factor(HALF_COST_USD * some(live), self.micro_usd(row, live) * self.one_token)
    }

    /// The time: 1 is at once.
    #[inline]
    fn latency(&self, live: &Live) -> f32 {
        factor(HALF_LATENCY_MS * some(live), self.once_ms(live))
    }

    #[inline]
    fn cached_prefix(&self, live: &Live) -> f32 {
        share(live.cached_prefix_tokens as f32 * self.one_prompt_token)
    }

    /// What the request is expected to cost there, in USD.
    pub(super) fn usd(&self, row: &Row, live: &Live) -> Option<f32> {
        let usd = self.micro_usd(row, live);
        (!usd.is_nan()).then(|| usd * 1e-6 / some(live))
    }

    /// How long the whole answer is expected to take there, in milliseconds.
    pub(super) fn ms(&self, live: &Live) -> Option<f32> {
        let ms = self.once_ms(live);
        (!ms.is_nan()).then(|| ms / some(live))
    }

    /// What the request costs if nothing fails, in millionths of a USD.
    #[inline]
    fn micro_usd(&self, row: &Row, live: &Live) -> f32 {
        let (Some(input), Some(output)) = (row.input_usd, row.output_usd) else { return f32::NAN };
        let (usual, prefix) = (share(live.cached_share), self.cached_prefix(live));
        let share = if prefix > usual { prefix } else { usual };
        let input = input + (row.cached_usd.unwrap_or(input) - input) * share;
        input * self.prompt_tokens + output * self.answer_tokens
    }

    /// How long the whole answer takes if nothing fails, in milliseconds.
    #[inline]
    fn once_ms(&self, live: &Live) -> f32 {
        let Some(first) = live.ttft else { return f32::NAN };
        let rest = match live.tpot {
            // An answer of one token has no further one to wait for, and a place where all are such has no time for it.
            _ if self.further_tokens <= 0.0 => 0.0,
            Some(further) => further.mean * self.further_tokens,
            None => f32::NAN,
        };
        let waits = if live.queued == 0 { 0.0 } else { live.queued as f32 / live.running.max(1) as f32 };
        time((first.mean + rest) * (1.0 + waits + live.running as f32 * (1.0 / DOUBLING_RUNNING)))
    }
}

impl Known {
    /// The weighted mean of the factors, times what load and errors leave. `scale` is one over the sum of the weights;
    /// `spread` the share of the running requests that are not there.
    #[inline]
    pub(super) fn total(&self, weights: &Prefer, scale: f32, usual: &Known, spread: f32) -> f32 {
        let or = |value: f32, usual: f32| if value.is_nan() { usual } else { value };
        let sum = weights.quality * or(self.quality, usual.quality)
            + weights.cost * or(self.cost, usual.cost)
            + weights.latency * or(self.latency, usual.latency)
            + weights.throughput * or(self.throughput, usual.throughput)
            + weights.cached_prefix * self.cached_prefix
            + weights.locality * self.locality
            + weights.spread * spread;
        // The weights may add up to a little more than 1 in single precision.
        share(sum * scale) * self.load
    }
}

/// The mean of the known factors of a plan's candidates.
#[derive(Default)]
pub(super) struct Means {
    quality: Mean,
    cost: Mean,
    latency: Mean,
    throughput: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f32,
    count: f32,
}

impl Means {
    #[inline]
    pub(super) fn add(&mut self, known: &Known) {
        self.quality.add(known.quality);
        self.cost.add(known.cost);
        self.latency.add(known.latency);
        self.throughput.add(known.throughput);
    }

    /// What an unknown factor counts as.
    pub(super) fn usual(&self) -> Known {
        let (quality, cost, latency) = (self.quality.usual(), self.cost.usual(), self.latency.usual());
        let throughput = self.throughput.usual();
        Known { quality, cost, latency, throughput, cached_prefix: 0.0, locality: 0.0, load: 1.0 }
    }
}

impl Mean {
    #[inline]
    fn add(&mut self, value: f32) {
        let known = !value.is_nan();
        self.sum += if known { value } else { 0.0 };
        self.count += if known { 1.0 } else { 0.0 };
    }

    fn usual(&self) -> f32 {
        if self.count > 0.0 { self.sum / self.count } else { UNKNOWN }
    }
}

/// A factor: one half where what is expected is `half`, and 1 where it is nothing.
#[inline]
fn factor(half: f32, expected: f32) -> f32 {
    half / (half + expected)
}

/// From the time per further token: 1 is at once.
#[inline]
fn throughput(live: &Live) -> f32 {
    live.tpot.map_or(f32::NAN, |further| factor(HALF_THROUGHPUT_MS, time(further.mean)))
}

/// The share of attempts that succeed.
#[inline]
fn good(live: &Live) -> f32 {
    share(1.0 - live.error_rate)
}

/// The same, and never nothing: one over it is how many attempts one success takes.
#[inline]
fn some(live: &Live) -> f32 {
    let good = good(live);
    if good > 1.0 / MOST_RETRIES { good } else { 1.0 / MOST_RETRIES }
}

/// What a limit that is nearly used up, or a cache that is nearly full, leaves of a score: nothing where nothing is left.
#[inline]
fn room(live: &Live) -> f32 {
    if live.quota_left >= SCARCE && live.cache_used <= 1.0 - SCARCE {
        return 1.0;
    }
    let (quota, cache) = (share(live.quota_left / SCARCE), share((1.0 - live.cache_used) / SCARCE));
    if quota < cache { quota } else { cache }
}

/// A time in milliseconds; what is none is not known.
#[inline]
fn time(ms: f32) -> f32 {
    if (0.0..f32::INFINITY).contains(&ms) { ms } else { f32::NAN }
}

/// A number as a share; what is no number is none. Comparisons, as `clamp` would keep a NaN.
#[inline]
fn share(value: f32) -> f32 {
    let value = if value > 0.0 { value } else { 0.0 };
    if value < 1.0 { value } else { 1.0 }
}
