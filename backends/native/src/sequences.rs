//! The steps of a runner for the scheduler.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::{Halt, Interest, Start, Steps, Token};

use crate::model::Runner;

/// Prompt tokens of a step: more would use the machine little better and take more memory for scratch.
const PROMPT_TOKENS: usize = 128;

/// Tokens of answers that share the unpacking of weights: a tile of the kernels' columns.
const SPARE: usize = 8;

/// See the module.
pub(crate) struct Sequences {
    runner: Runner,
    interest: Arc<Interest>,
}

impl Sequences {
    pub(crate) fn new(runner: Runner, interest: Arc<Interest>) -> Self {
        Self { runner, interest }
    }
}

impl Steps for Sequences {
    fn most_prompt_tokens(&self) -> usize {
        PROMPT_TOKENS
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        self.runner.begin(start)
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        let vocabulary = self.runner.model().shape().vocabulary;
        let logits = self.runner.step_while(tokens, &|| !self.interest.is_lost()).ok_or(Halt::Unwanted)?;
        Ok(logits.chunks_exact(vocabulary).collect())
    }

    fn spare(&self) -> Option<usize> {
        Some(SPARE)
    }

    fn forget(&mut self, slot: usize, len: usize) {
        self.runner.forget(slot, len);
    }

    fn end(&mut self, slot: usize) {
        self.runner.end(slot);
    }
}
