//! Picks the tokens of the next step.
//!
//! Every answer under way gets its next token. What is left of the budget goes to prompts, in equal shares:
//! a short one behind a long one starts at once, and none holds up the answers.

use super::{sequence::Sequence, steps::Token};

/// Prompt tokens of a step. More would use the machine a little better and make the answers stutter.
const PROMPT_TOKENS: usize = 128;

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

/// The next step for those that are `ready`.
pub(super) fn choose(running: &[Sequence], ready: impl Fn(&Sequence) -> bool) -> Batch {
    let mut batch = Batch::default();
    let mut prompts = Vec::new();
    for (index, sequence) in running.iter().enumerate().filter(|(_, sequence)| ready(sequence)) {
        if sequence.prompt_left() > 0 {
            prompts.push(index);
        } else {
            batch.add(index, sequence, 1);
        }
    }
    // The shortest first: what they leave of their shares goes to the longer ones.
    prompts.sort_by_key(|&index| running[index].prompt_left());
    let mut budget = PROMPT_TOKENS;
    for (before, &index) in prompts.iter().enumerate() {
        let share = budget.div_ceil(prompts.len() - before).min(running[index].prompt_left());
        if share > 0 {
            batch.add(index, &running[index], share);
            budget -= share;
        }
    }
    batch
}

impl Batch {
    fn add(&mut self, index: usize, sequence: &Sequence, count: usize) {
        let from = self.tokens.len();
        sequence.tokens(count, &mut self.tokens);
        let rows = self.tokens[from..].iter().filter(|token| token.logits).count();
        self.shares.push((index, Share { tokens: count, rows }));
    }
}
