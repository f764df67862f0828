//! Chooses the next token from a model's logits.
//!
//! Order: what a grammar allows, logit bias, penalties, temperature, then top-k, top-p and min-p on what temperature left, then one
//! draw. Temperature 0 takes the best token. Log-probabilities are of the raw logits, before all of that.
//! A choice has a generator of its own, so the same seed and logits give the same tokens whatever else the
//! engine works on. Logits that are no numbers are never chosen.

mod filter;
mod logprobs;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use backends::Sampling;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use filter::Candidate;
pub use logprobs::{Logprobs, logprobs};

/// A bias from here down forbids a token, as the API promises of -100.
const FORBID: f32 = -100.0;

/// The state of one choice's sampling.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// How often each token was generated.
    generated: HashMap<u32, u32>,
    /// Tokens of prompt and answer; filled only for the penalty that needs it.
    seen: HashSet<u32>,
    /// Kept for its memory.
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for one of a request's choices: the same seed gives each `stream` its own draws.
    pub fn new(sampling: &Sampling, seed: u64, stream: u32, prompt: &[u32]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream.into());
        let seen = if sampling.repetition_penalty == 1.0 { HashSet::new() } else { prompt.iter().copied().collect() };
        Self { sampling: sampling.clone(), rng, generated: HashMap::new(), seen, candidates: Vec::new() }
    }

    /// The next token, or `None` if no token has a usable logit: the model is broken, or all is forbidden.
    pub fn sample(&mut self, logits: &[f32]) -> Option<u32> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend(logits.iter().zip(0..).map(|(&logit, id)| Candidate { id, weight: usable(logit) }));
        self.adjust(&mut candidates);
        self.draw(candidates)
    }

    /// The same of the tokens that are `allowed`.
    pub fn sample_among(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let weight = |id, logit| if allowed(id) { usable(logit) } else { f32::NEG_INFINITY };
        candidates.extend(logits.iter().zip(0..).map(|(&logit, id)| Candidate { id, weight: weight(id, logit) }));
        self.adjust(&mut candidates);
        // Mostly few are left, and what follows takes time for each.
        candidates.retain(|candidate| candidate.weight > f32::NEG_INFINITY);
        self.draw(candidates)
    }

    fn draw(&mut self, mut candidates: Vec<Candidate>) -> Option<u32> {
        let chosen = self.choose(&mut candidates);
        self.candidates = candidates;
        if let Some(id) = chosen {
            *self.generated.entry(id).or_default() += 1;
            if self.sampling.repetition_penalty != 1.0 {
                self.seen.insert(id);
            }
        }
        chosen
    }

    /// Bias and penalties. What is no candidate stays none.
    fn adjust(&self, candidates: &mut [Candidate]) {
        let Sampling { frequency_penalty, presence_penalty, repetition_penalty, ref logit_bias, .. } = self.sampling;
        let mut change = |id: u32, new: &dyn Fn(f32) -> f32| {
            if let Some(Candidate { weight, .. }) = candidates.get_mut(id as usize)
                && *weight > f32::NEG_INFINITY
            {
                *weight = usable(new(*weight));
            }
        };
        for &(id, bias) in logit_bias {
            change(id, &|logit| if bias <= FORBID { f32::NEG_INFINITY } else { logit + bias });
        }
        for &id in &self.seen {
            change(id, &|logit| if logit > 0.0 { logit / repetition_penalty } else { logit * repetition_penalty });
        }
        for (&id, &count) in &self.generated {
            change(id, &|logit| logit - count as f32 * frequency_penalty - presence_penalty);
        }
    }

    fn choose(&mut self, candidates: &mut Vec<Candidate>) -> Option<u32> {
        let best =
            candidates.iter().copied().reduce(Candidate::better).filter(|best| best.weight > f32::NEG_INFINITY)?;
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        if temperature <= 0.0 || temperature.is_nan() {
            return Some(best.id);
        }
        // From logits to probabilities relative to the best token: none above 1, so nothing overflows.
        for candidate in candidates.iter_mut() {
            candidate.weight = ((candidate.weight - best.weight) / temperature).exp();
        }
        filter::top_k(candidates, top_k as usize);
        filter::top_p(candidates, top_p);
        filter::min_p(candidates, min_p);
        let total: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
        // 53 random bits: uniform in [0, 1).
        let mut left = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total;
        for candidate in candidates.iter() {
            left -= f64::from(candidate.weight);
            if left < 0.0 {
                return Some(candidate.id);
            }
        }
        Some(best.id) // rounding left a crumb
    }
}

/// A logit to compute with: no NaN, no positive infinity.
fn usable(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) }
}
