//! Picks the tokens of the next step.
//!
//! Every answer under way gets its next token, and what is guessed behind it. The budget goes to prompts, half of it to the one that has waited longest and
//! the rest to the shortest: a short one behind a long one starts at once, however many of those come the long one goes on,
//! and of several alike the first is not held up by the last. Prompts of low priority have what the others leave, and a part of
//! the budget always. None holds up the answers. The budget is what the model was seen to
//! compute within the time that a step may take ([`Pace`]), but never so few that prompts take much longer for it: for so
//! long a caller who is gone is not noticed.

use std::time::Duration;

use super::{sequence::Sequence, steps::Token};

/// Fewer would leave most of the machine idle: weights are read once a step, whatever it computes. With 32 the first token of
/// 2,000 took twice as long on two cores.
const LEAST: usize = 128;
/// The part of the budget that prompts of low priority have, whatever the others could do with it.
const FOR_LOW: usize = 8;

/// How many prompt tokens go into a step.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long a step may take; the most tokens whatever it takes, without.
    step: Option<Duration>,
    /// The most that the model takes.
    most: usize,
    /// A decayed mean of the seconds that a token took.
    token: Option<f64>,
}

impl Pace {
    pub(super) fn new(step: Option<Duration>, most: usize) -> Self {
        Self { step, most, token: None }
    }

    /// Prompt tokens of the next step.
    pub(super) fn budget(&self) -> usize {
        let Some(step) = self.step else { return self.most };
        let tokens = self.token.map_or(LEAST, |token| (step.as_secs_f64() / token) as usize);
        tokens.clamp(LEAST.min(self.most), self.most)
    }

    /// A step of so many tokens has taken so long.
    pub(super) fn note(&mut self, tokens: usize, took: Duration) {
        // With few tokens it is the weights that take the time.
        if tokens >= LEAST {
            let token = (took.as_secs_f64() / tokens as f64).max(1e-9);
            self.token = Some(self.token.map_or(token, |mean| mean + (token - mean) / 4.0));
        }
    }
}

/// The tokens of a step, and whose they are, in the same order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) tokens: Vec<Token>,
    /// Index of the sequence, and what it has of the step.
    pub(super) shares: Vec<(usize, Share)>,
}

/// A sequence's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) tokens: usize,
    /// Rows of logits.
    pub(super) rows: usize,
}

/// The next step for those that are `ready`, with at most `budget` prompt tokens; with none beside answers, if those are `due`.
pub(super) fn choose(running: &[Sequence], budget: usize, due: bool, ready: impl Fn(&Sequence) -> bool) -> Batch {
    let mut batch = Batch::default();
    let (mut usual, mut low) = (Vec::new(), Vec::new());
    for (index, sequence) in running.iter().enumerate().filter(|(_, sequence)| ready(sequence)) {
        match sequence.prompt_left() {
            0 => batch.add(index, sequence, sequence.ahead()),
            _ if sequence.is_low() => low.push(index),
            _ => usual.push(index),
        }
    }
    if due && !batch.tokens.is_empty() {
        return batch;
    }
    let of_low: usize = low.iter().map(|&index| running[index].prompt_left()).sum();
    let kept = of_low.min(budget.div_ceil(FOR_LOW));
    let left = share_out(&mut batch, running, usual, budget - kept);
    share_out(&mut batch, running, low, kept + left);
    batch
}

/// Shares a budget among some prompts; what they leave of it.
fn share_out(batch: &mut Batch, running: &[Sequence], mut prompts: Vec<usize>, mut budget: usize) -> usize {
    let oldest = prompts.first().copied();
    let mut kept = oldest.map_or(0, |index| running[index].prompt_left().min(budget / 2));
    prompts.sort_by_key(|&index| running[index].prompt_left());
    for index in prompts {
        if Some(index) == oldest {
            kept = 0;
        }
        let share = running[index].prompt_left().min(budget.saturating_sub(kept));
        if share > 0 {
            let share = running[index].portion(share);
            batch.add(index, &running[index], share);
            // A picture is computed whole, and may be more than there is left.
            budget = budget.saturating_sub(share);
        }
    }
    budget
}

impl Batch {
    fn add(&mut self, index: usize, sequence: &Sequence, count: usize) {
        let from = self.tokens.len();
        sequence.tokens(count, &mut self.tokens);
        let rows = self.tokens[from..].iter().filter(|token| token.logits).count();
        self.shares.push((index, Share { tokens: count, rows }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_tokens_that_were_seen_to_fit_its_time_within_bounds() {
        let mut pace = Pace::new(Some(Duration::from_millis(50)), 512);
        assert_eq!(pace.budget(), LEAST);
        pace.note(128, Duration::from_millis(32));
        assert_eq!(pace.budget(), 200);
        // Few tokens tell nothing.
        pace.note(1, Duration::from_secs(1));
        assert_eq!(pace.budget(), 200);
        for _ in 0..50 {
            pace.note(128, Duration::from_secs(1));
        }
        assert_eq!(pace.budget(), LEAST);
        for _ in 0..100 {
            pace.note(128, Duration::ZERO);
        }
        assert_eq!(pace.budget(), 512);
        assert_eq!(Pace::new(None, 128).budget(), 128);
        assert_eq!(Pace::new(Some(Duration::ZERO), 8).budget(), 8);
    }
}
