//! The factors of a score, and what a request is expected to cost and to take at a place.
//!
//! Hundreds of candidates are looked at for one request, so what is known of them is put into columns and looked at by
//! eight: few instructions work out a factor of all of them. A number that is not known is NaN here and nowhere else.

use std::array;

use wide::f32x8;

use crate::{Live, eligible::Able, route::Prefer};

/// The price per million tokens at which the cost factor is one half, in USD.
const HALF_COST_USD: f32 = 0.5;
/// The time for a whole answer at which the latency factor is one half, in milliseconds.
const HALF_LATENCY_MS: f32 = 4_000.0;
/// The time per further token at which the throughput factor is one half, in milliseconds: 20 tokens a second.
const HALF_THROUGHPUT_MS: f32 = 50.0;
/// A score is halved by this many waiting requests, where it is not known how long they take.
const HALF_QUEUE: f32 = 8.0;
/// It is halved where a request would wait for so long, in milliseconds, where that is known.
const HALF_WAIT_MS: f32 = 4_000.0;
/// A request is taken to last twice as long beside this many others. An assumption, on the low side: what is measured
/// has the usual load in it already, and this only keeps a herd from one place until its measures show it.
const DOUBLING_RUNNING: f32 = 64.0;
/// The tokens of a prompt that take half of the time to its first token to read, where none is cached. An assumption, on
/// the low side of what hosts say a cached prompt saves.
const HALF_PREFILL_TOKENS: f32 = 4_000.0;
/// The most attempts that a request is expected to need at one place, so that one where everything fails has an
/// expected time at all.
const MOST_RETRIES: f32 = 100.0;
/// A limit, or the room of a cache, of which this part is left leaves a score alone: a tenth.
const PLENTY: f32 = 10.0;
/// What an unknown factor counts where no candidate's is known.
const UNKNOWN: f32 = 0.5;

/// How many candidates are looked at together.
pub(super) const TOGETHER: usize = 8;
/// How many are written into columns before they are looked at: a processor that has just written the numbers of one
/// column waits until it can read eight of them at once.
pub(super) const AT_ONCE: usize = 4 * TOGETHER;

/// Numbers of candidates, one below the other.
type Column = [f32; AT_ONCE];

/// What is known of some candidates, in columns.
#[derive(Default)]
pub(super) struct Columns {
    len: usize,
    quality: Column,
    local: Column,
    /// Prices in USD per million tokens.
    input: Column,
    cached: Column,
    output: Column,
    running: Column,
    /// How many wait there, where it is not known how long a request would.
    queued: Column,
    /// How long a request would wait there, in milliseconds, where that is known.
    wait: Column,
    /// How long each takes until it can begin, as far as it tells, in milliseconds.
    starts: Column,
    error_rate: Column,
    cached_share: Column,
    cached_tokens: Column,
    quota_left: Column,
    cache_used: Column,
    first_ms: Column,
    further_ms: Column,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds one; there must be room.
    #[inline(always)]
    pub(super) fn push(&mut self, able: &Able, live: &Live, qualities: &[f32]) {
        let at = self.len;
        let put = |column: &mut Column, number| column[at] = number;
        put(&mut self.quality, qualities[able.row as usize]);
        put(&mut self.local, f32::from(u8::from(able.local)));
        put(&mut self.input, able.input_usd);
        put(&mut self.cached, able.cached_usd);
        put(&mut self.output, able.output_usd);
        put(&mut self.running, live.running as f32);
        let (queued, wait) = match live.wait_ms {
            Some(wait) => (0.0, wait as f32),
            None => (live.queued as f32, 0.0),
        };
        put(&mut self.queued, queued);
        put(&mut self.wait, wait);
        put(&mut self.starts, live.starts_ms as f32 + wait);
        put(&mut self.error_rate, live.error_rate);
        put(&mut self.cached_share, live.cached_share);
        put(&mut self.cached_tokens, live.cached_prefix_tokens.map_or(f32::NAN, |tokens| tokens as f32));
        put(&mut self.quota_left, live.quota_left);
        put(&mut self.cache_used, live.cache_used);
        put(&mut self.first_ms, live.ttft.map_or(f32::NAN, |first| first.mean));
        put(&mut self.further_ms, live.tpot.map_or(f32::NAN, |further| further.mean));
        self.len += 1;
    }

    /// Eight of them, from the one at `from` on; those beyond the last mean nothing.
    #[inline(always)]
    pub(super) fn eight(&self, from: usize) -> Eight<'_> {
        Eight { of: self, from }
    }
}

/// Eight candidates.
#[derive(Clone, Copy)]
pub(super) struct Eight<'a> {
    of: &'a Columns,
    from: usize,
}

impl Eight<'_> {
    #[inline(always)]
    fn of(&self, column: &Column) -> f32x8 {
        let (eights, _) = column.as_chunks::<TOGETHER>();
        f32x8::new(eights[self.from / TOGETHER])
    }

    #[inline(always)]
    pub(super) fn running(&self) -> f32x8 {
        self.of(&self.of.running)
    }

    /// What those that wait leave of a score.
    #[inline(always)]
    fn queue(&self) -> f32x8 {
        // Two factors, with one division.
        let half = f32x8::splat(HALF_QUEUE * HALF_WAIT_MS);
        half / ((self.of(&self.of.queued) + HALF_QUEUE) * (self.of(&self.of.wait) + HALF_WAIT_MS))
    }

    /// The share of attempts that succeed.
    #[inline(always)]
    fn good(&self) -> f32x8 {
        share(f32x8::ONE - self.of(&self.of.error_rate))
    }

    /// The same, and never nothing: one over it is how many attempts one success takes.
    #[inline(always)]
    fn some(&self) -> f32x8 {
        larger(self.good(), f32x8::splat(1.0 / MOST_RETRIES))
    }

    /// What a limit that is nearly used up, or a cache that is nearly full, leaves of a score: nothing where nothing is
    /// left.
    #[inline(always)]
    fn room(&self) -> f32x8 {
        let quota = share(self.of(&self.of.quota_left) * PLENTY);
        let cache = share((f32x8::ONE - self.of(&self.of.cache_used)) * PLENTY);
        smaller(quota, cache)
    }

    /// From the time per further token: 1 is at once.
    #[inline(always)]
    fn throughput(&self) -> f32x8 {
        factor(f32x8::splat(HALF_THROUGHPUT_MS), time(self.of(&self.of.further_ms)))
    }
}

/// What a request is about, as far as its cost and time at a place depend on it.
pub(super) struct Expected {
    prompt_tokens: f32,
    /// The answer's length.
    answer_tokens: f32,
    /// The tokens of an answer after its first.
    further_tokens: f32,
    /// One over the prompt's tokens, and over those of prompt and answer.
    one_prompt_token: f32,
    one_token: f32,
    /// The part of the time to the first token that reading the prompt takes where none is cached.
    prefill: f32,
}

/// The factors of candidates, NaN where one is not known and 0 where it has no weight, and what load and errors leave.
#[derive(Clone, Copy)]
pub(super) struct Known<T = f32x8> {
    pub(super) quality: T,
    pub(super) cost: T,
    pub(super) latency: T,
    pub(super) throughput: T,
    pub(super) cached_prefix: T,
    pub(super) locality: T,
    /// What the latency would be if the answer took no time once it can begin.
    pub(super) start: T,
    pub(super) load: T,
}

impl Expected {
    pub(super) fn new(prompt_tokens: f32, answer_tokens: f32) -> Self {
        Self {
            prompt_tokens,
            answer_tokens,
            further_tokens: (answer_tokens - 1.0).max(0.0),
            one_prompt_token: 1.0 / prompt_tokens.max(1.0),
            one_token: 1.0 / (prompt_tokens + answer_tokens).max(1.0),
            prefill: prompt_tokens / (prompt_tokens + HALF_PREFILL_TOKENS),
        }
    }

    /// The factors that have a weight.
    #[inline(always)]
    pub(super) fn known(&self, eight: &Eight<'_>, weights: &Prefer) -> Known {
        let good = eight.good();
        let none = f32x8::ZERO;
        let latency = if weights.latency > 0.0 { self.latency(eight) } else { none };
        // No closures: they would not be inlined.
        Known {
            quality: eight.of(&eight.of.quality),
            cost: if weights.cost > 0.0 { self.cost(eight) } else { none },
            latency,
            throughput: if weights.throughput > 0.0 { eight.throughput() } else { none },
            cached_prefix: if weights.cached_prefix > 0.0 { self.cached_prefix(eight) } else { none },
            locality: eight.of(&eight.of.local),
            // Asked of those whose latency is not known.
            start: if latency.is_nan().any() { self.start(eight) } else { f32x8::ONE },
            // Errors are squared, so that a backend which fails fast attracts nothing.
            load: good * good * eight.queue() * eight.room(),
        }
    }

    /// The price: 1 is free. By the price per million tokens, so that a long request is as dear as a short one at the same
    /// prices.
    #[inline(always)]
    fn cost(&self, eight: &Eight<'_>) -> f32x8 {
        factor(eight.some() * HALF_COST_USD, self.micro_usd(eight) * self.one_token)
    }

    /// The time: 1 is at once.
    #[inline(always)]
    fn latency(&self, eight: &Eight<'_>) -> f32x8 {
        factor(eight.some() * HALF_LATENCY_MS, self.once_ms(eight))
    }

    /// The time until it can begin, as a factor: 1 is at once.
    #[inline(always)]
    fn start(&self, eight: &Eight<'_>) -> f32x8 {
        factor(eight.some() * HALF_LATENCY_MS, eight.of(&eight.of.starts))
    }

    /// The share of the prompt that is known to be cached.
    #[inline(always)]
    fn cached_prefix(&self, eight: &Eight<'_>) -> f32x8 {
        share(eight.of(&eight.of.cached_tokens) * self.one_prompt_token)
    }

    /// The share of the prompt that is expected to be cached: what is known of it, else what is usual there.
    #[inline(always)]
    fn cached(&self, eight: &Eight<'_>) -> f32x8 {
        share(or(eight.of(&eight.of.cached_tokens) * self.one_prompt_token, eight.of(&eight.of.cached_share)))
    }

    /// What the request is expected to cost there, in USD; NaN where a price is not known.
    pub(super) fn usd(&self, eight: &Eight<'_>) -> f32x8 {
        self.micro_usd(eight) * 1e-6 / eight.some()
    }

    /// How long the whole answer is expected to take there, in milliseconds; NaN where that was not measured.
    pub(super) fn ms(&self, eight: &Eight<'_>) -> f32x8 {
        self.once_ms(eight) / eight.some()
    }

    /// What the request costs if nothing fails, in millionths of a USD.
    #[inline(always)]
    fn micro_usd(&self, eight: &Eight<'_>) -> f32x8 {
        let cached = self.cached(eight);
        let input = eight.of(&eight.of.input);
        let input = input + (eight.of(&eight.of.cached) - input) * cached;
        input * self.prompt_tokens + eight.of(&eight.of.output) * self.answer_tokens
    }

    /// How long the whole answer takes if nothing fails, in milliseconds.
    #[inline(always)]
    fn once_ms(&self, eight: &Eight<'_>) -> f32x8 {
        // What was measured is the time with as much cached as usual.
        let usual = share(eight.of(&eight.of.cached_share));
        let first = eight.of(&eight.of.first_ms) * (f32x8::ONE - self.cached(eight) * self.prefill)
            / (f32x8::ONE - usual * self.prefill);
        // An answer of one token has no further one to wait for, and a place where all are such has no time for it.
        let rest = match self.further_tokens <= 0.0 {
            true => f32x8::ZERO,
            false => eight.of(&eight.of.further_ms) * self.further_tokens,
        };
        let running = eight.running();
        let waits = eight.of(&eight.of.queued) / larger(running, f32x8::ONE);
        time((first + rest) * (f32x8::ONE + waits + running * (1.0 / DOUBLING_RUNNING))) + eight.of(&eight.of.starts)
    }
}

impl Known {
    /// The factors of one of them.
    pub(super) fn lane(&self, lane: usize) -> Known<f32> {
        let of = |eight: f32x8| eight.to_array()[lane];
        Known {
            quality: of(self.quality),
            cost: of(self.cost),
            latency: of(self.latency),
            throughput: of(self.throughput),
            cached_prefix: of(self.cached_prefix),
            locality: of(self.locality),
            start: of(self.start),
            load: of(self.load),
        }
    }

    /// What an unknown latency counts as, for one of them.
    pub(super) fn usual_latency(known: &Known<f32>, usual: &Known<f32>) -> f32 {
        after(f32x8::splat(known.start), f32x8::splat(f32::NAN), usual.latency).to_array()[0]
    }

    /// The same with what is usual for those that are not known.
    #[inline(always)]
    pub(super) fn or(&self, usual: &Known<f32>) -> Self {
        let or = |value, usual| or(value, f32x8::splat(usual));
        Self {
            quality: or(self.quality, usual.quality),
            cost: or(self.cost, usual.cost),
            latency: after(self.start, self.latency, usual.latency),
            throughput: or(self.throughput, usual.throughput),
            ..*self
        }
    }

    /// The factors by their weights, NaN where one that has a weight is not known. `spread` is the share of the running
    /// requests that are not there.
    #[inline(always)]
    pub(super) fn sum(&self, weights: &Prefer, spread: f32x8) -> f32x8 {
        weighed(weights.quality, self.quality)
            + weighed(weights.cost, self.cost)
            + weighed(weights.latency, self.latency)
            + weighed(weights.throughput, self.throughput)
            + weighed(weights.cached_prefix, self.cached_prefix)
            + weighed(weights.locality, self.locality)
            + weighed(weights.spread, spread)
    }

    /// The scores: the weighted mean of the factors, times what load and errors leave. `scale` is one over the sum of the
    /// weights.
    #[inline(always)]
    pub(super) fn total(&self, sum: f32x8, scale: f32) -> f32x8 {
        // The weights may add up to a little more than 1 in single precision.
        share(sum * scale) * self.load
    }
}

/// The mean of the known factors of a plan's candidates.
#[derive(Clone, Copy, Default)]
pub(super) struct Means {
    quality: Mean,
    cost: Mean,
    latency: Mean,
    throughput: Mean,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f32x8,
    count: f32x8,
}

impl Means {
    /// Adds those of the lanes that `counts` has all bits of.
    #[inline(always)]
    pub(super) fn add(&mut self, known: &Known, counts: f32x8) {
        self.quality.add(known.quality, counts);
        self.cost.add(known.cost, counts);
        self.latency.add(known.latency, counts);
        self.throughput.add(known.throughput, counts);
    }

    /// What an unknown factor counts as.
    pub(super) fn usual(&self) -> Known<f32> {
        let (quality, cost, latency) = (self.quality.usual(), self.cost.usual(), self.latency.usual());
        let throughput = self.throughput.usual();
        Known { quality, cost, latency, throughput, cached_prefix: 0.0, locality: 0.0, start: 1.0, load: 1.0 }
    }
}

impl Mean {
    #[inline(always)]
    fn add(&mut self, value: f32x8, counts: f32x8) {
        let counts = counts & !value.is_nan();
        self.sum += value & counts;
        self.count += f32x8::ONE & counts;
    }

    fn usual(&self) -> f32 {
        let count = self.count.reduce_add();
        if count > 0.0 { self.sum.reduce_add() / count } else { UNKNOWN }
    }
}

/// A factor by its weight; nothing where it has none, also where it is not known.
#[inline(always)]
fn weighed(weight: f32, factor: f32x8) -> f32x8 {
    if weight > 0.0 { factor * weight } else { f32x8::ZERO }
}

/// A number; `usual` where it is not known.
#[inline(always)]
fn or(value: f32x8, usual: f32x8) -> f32x8 {
    value.is_nan().select(usual, value)
}

/// A latency; where it is not known, the usual one after the time until it can begin. A factor is `half / (half + time)`, so
/// that of two times together is one over the sum of one over each, less one.
#[inline(always)]
fn after(start: f32x8, latency: f32x8, usual: f32) -> f32x8 {
    or(latency, f32x8::ONE / (f32x8::ONE / start + f32x8::splat(1.0 / usual - 1.0)))
}

/// A factor: one half where what is expected is `half`, and 1 where it is nothing.
#[inline(always)]
fn factor(half: f32x8, expected: f32x8) -> f32x8 {
    half / (half + expected)
}

/// A time in milliseconds; what is none is not known.
#[inline(always)]
fn time(ms: f32x8) -> f32x8 {
    let is_time = ms.simd_ge(f32x8::ZERO) & ms.simd_lt(f32x8::splat(f32::INFINITY));
    is_time.select(ms, f32x8::splat(f32::NAN))
}

/// A number as a share; what is no number is none.
#[inline(always)]
fn share(value: f32x8) -> f32x8 {
    smaller(larger(value, f32x8::ZERO), f32x8::ONE)
}

/// The larger number; `least` where the other is no number. Written lane by lane, as the compiler has one instruction for
/// that, and four for a comparison and a choice.
#[inline(always)]
fn larger(value: f32x8, least: f32x8) -> f32x8 {
    let (value, least) = (value.to_array(), least.to_array());
    f32x8::new(array::from_fn(|lane| if value[lane] > least[lane] { value[lane] } else { least[lane] }))
}

/// The smaller number; `most` where the other is no number.
#[inline(always)]
fn smaller(value: f32x8, most: f32x8) -> f32x8 {
    let (value, most) = (value.to_array(), most.to_array());
    f32x8::new(array::from_fn(|lane| if value[lane] < most[lane] { value[lane] } else { most[lane] }))
}
