//! The steps of a runner for the scheduler: which of its slots holds which sequence, and what of an earlier one it goes on from.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::{Contents, Halt, Interest, Start, Steps, Token, Windows};

use crate::model::Runner;

/// Prompt tokens of a step: more would use the machine little better and take more memory for scratch.
const PROMPT_TOKENS: usize = 128;

/// Tokens of answers that share the unpacking of weights: a tile of the kernels' columns.
const SPARE: usize = 8;

/// See the module. Here the runner's slots are called windows: the scheduler's are others.
pub(crate) struct Sequences {
    runner: Runner,
    windows: Windows,
    interest: Arc<Interest>,
    /// The tokens of a step, each with its window.
    placed: Vec<Token>,
}

impl Sequences {
    pub(crate) fn new(runner: Runner, interest: Arc<Interest>) -> Self {
        let slots = runner.limits().slots;
        Self { runner, windows: Windows::new(slots, slots), interest, placed: Vec::new() }
    }
}

impl Steps for Sequences {
    fn most_prompt_tokens(&self) -> usize {
        PROMPT_TOKENS
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        Some(self.windows.begin(start, &mut Slots(&mut self.runner)))
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        self.placed.clear();
        self.placed.extend(tokens.iter().map(|token| Token { slot: self.windows.of(token.slot), ..*token }));
        let vocabulary = self.runner.model().shape().vocabulary;
        let logits = self.runner.step_while(&self.placed, &|| !self.interest.is_lost()).ok_or(Halt::Unwanted)?;
        for token in tokens {
            self.windows.computed(token.slot, token.id);
        }
        Ok(logits.chunks_exact(vocabulary).collect())
    }

    fn spare(&self) -> Option<usize> {
        Some(SPARE)
    }

    fn forget(&mut self, slot: usize, len: usize) {
        self.windows.forget(slot, len, &mut Slots(&mut self.runner));
    }

    fn end(&mut self, slot: usize) {
        self.windows.end(slot, &mut Slots(&mut self.runner));
    }
}

struct Slots<'r>(&'r mut Runner);

impl Contents for Slots<'_> {
    /// What is copied is only what is needed, far less work than one token.
    const LEAST_COPIED: usize = 1;

    fn copy(&mut self, of: usize, to: usize, len: usize) {
        self.0.copy(of, to, len);
    }

    /// What is computed at a position forgets what was there and behind it.
    fn cut(&mut self, _: usize, _: usize) {}
}
