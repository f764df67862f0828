//! The steps of a runner for the scheduler, and those of its draft, which computes while the runner does not.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::{Ahead, Drafted, Halt, Interest, Start, Steps, Token};

use crate::{draft::Draft, model::Runner};

/// Prompt tokens of a step: more would use the machine little better and take more memory for scratch.
const PROMPT_TOKENS: usize = 128;

/// Tokens of answers that share the unpacking of weights: a tile of the kernels' columns.
const SPARE: usize = 8;

/// See the module.
pub(crate) struct Sequences {
    runner: Runner,
    draft: Option<Draft>,
    interest: Arc<Interest>,
}

impl Sequences {
    pub(crate) fn new(runner: Runner, draft: Option<Draft>, interest: Arc<Interest>) -> Self {
        Self { runner, draft, interest }
    }
}

impl Steps for Sequences {
    fn most_prompt_tokens(&self) -> usize {
        PROMPT_TOKENS
    }

    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        let held = self.runner.begin(start)?;
        if let Some(draft) = &mut self.draft {
            draft.begin(start);
        }
        Some(held)
    }

    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt> {
        let vocabulary = self.runner.model().shape().vocabulary;
        let logits = self.runner.step_while(tokens, &|| !self.interest.is_lost()).ok_or(Halt::Unwanted)?;
        Ok(logits.chunks_exact(vocabulary).collect())
    }

    fn spare(&self) -> Option<usize> {
        // What was guessed wrongly has to be forgotten.
        self.runner.model().shape().goes_back().then_some(SPARE)
    }

    fn forget(&mut self, slot: usize, len: usize) {
        self.runner.forget(slot, len);
    }

    fn has_draft(&self) -> bool {
        self.draft.is_some()
    }

    fn draft(&mut self, answers: &[Ahead<'_>]) -> Drafted {
        let Some(draft) = &mut self.draft else { return Drafted::CaughtUp(0) };
        self.runner.rest();
        draft.look_ahead(answers)
    }

    fn end(&mut self, slot: usize) {
        self.runner.end(slot);
        if let Some(draft) = &mut self.draft {
            draft.end(slot);
        }
    }
}
