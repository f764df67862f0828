//! Log-probabilities of raw logits, for a caller who asked how sure the model was.

use super::{
    filter::{Candidate, best_first},
    usable,
};

/// Natural logarithms of probabilities at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// Of the token that stands there.
    pub chosen: f32,
    /// Of the most probable tokens, best first.
    pub top: Vec<(u32, f32)>,
}

/// The smallest that is reported: JSON has no infinity, and OpenAI's own API says -9999 for "never".
const NEVER: f32 = -9999.0;

/// How probable the `chosen` token was, and the `top` best with theirs.
pub fn logprobs(logits: &[f32], chosen: u32, top: usize) -> Logprobs {
    let best = logits.iter().fold(f32::NEG_INFINITY, |best, &logit| best.max(usable(logit)));
    let sum: f64 = logits.iter().map(|&logit| f64::from(usable(logit) - best).exp()).sum();
    let of = |logit: f32| {
        let log = (f64::from(usable(logit)) - f64::from(best) - sum.ln()) as f32;
        if log.is_nan() { NEVER } else { log.max(NEVER) }
    };
    let mut rivals: Vec<Candidate> = Vec::new();
    if top > 0 {
        rivals.extend(logits.iter().zip(0..).map(|(&logit, id)| Candidate { id, weight: usable(logit) }));
        if top < rivals.len() {
            rivals.select_nth_unstable_by(top - 1, best_first);
            rivals.truncate(top);
        }
        rivals.sort_unstable_by(best_first);
    }
    Logprobs {
        chosen: logits.get(chosen as usize).map_or(NEVER, |&logit| of(logit)),
        top: rivals.into_iter().map(|rival| (rival.id, of(rival.weight))).collect(),
    }
}
