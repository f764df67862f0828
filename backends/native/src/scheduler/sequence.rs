//! One choice under way: first its prompt is computed, then token after token is drawn.

use std::time::Instant;

use backends::{Alternative, Delta, Event, FinishReason, TokenLogprob};

use crate::{
    model::Token,
    output::{Output, Piece},
    prepare::Choice,
    sampler::{Sampler, logprobs},
    tokenizer::Tokenizer,
};

use super::request::Open;

/// See the module.
pub(super) struct Sequence {
    /// The request that it belongs to.
    pub(super) request: u64,
    /// Where the model keeps its state.
    pub(super) slot: usize,
    pub(super) started: Instant,
    choice: Choice,
    /// Tokens that the model has computed.
    position: usize,
    /// The token drawn last.
    next: u32,
    drawn: usize,
    sampler: Sampler,
    output: Output,
    /// Log-probabilities of the prompt so far, for an echo.
    prompt_logprobs: Vec<TokenLogprob>,
}

/// What comes after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another step.
    More,
    /// Nothing: the choice has finished.
    Over,
}

impl Sequence {
    pub(super) fn new(request: u64, slot: usize, choice: Choice, tokenizer: &Tokenizer) -> Self {
        Self {
            request,
            slot,
            started: Instant::now(),
            position: 0,
            next: 0,
            drawn: 0,
            sampler: Sampler::new(&choice.sampling, choice.seed, choice.stream, &choice.prompt),
            output: Output::new(choice.stop.to_vec(), tokenizer, choice.prompt.last().copied()),
            prompt_logprobs: Vec::new(),
            choice,
        }
    }

    /// Prompt tokens that are not computed yet.
    pub(super) fn prompt_left(&self) -> usize {
        self.choice.prompt.len().saturating_sub(self.position)
    }

    /// Appends the next `count` tokens to a step.
    pub(super) fn tokens(&self, count: usize, out: &mut Vec<Token>) {
        let prompt = &self.choice.prompt;
        for position in self.position..self.position + count {
            let id = prompt.get(position).copied().unwrap_or(self.next);
            let draws = position + 1 >= prompt.len() && self.choice.max_tokens > 0;
            // The last prompt token predicts nothing of the prompt itself.
            let scores = self.scores_prompt() && position + 1 < prompt.len();
            out.push(Token { slot: self.slot, position, id, logits: draws || scores });
        }
    }

    fn scores_prompt(&self) -> bool {
        self.choice.echo.is_some() && self.choice.logprobs.is_some()
    }

    /// Takes the logits of a step in which it had `count` tokens.
    ///
    /// # Errors
    /// What went wrong, for the caller to read.
    pub(super) fn advance(
        &mut self,
        count: usize,
        rows: &[&[f32]],
        tokenizer: &Tokenizer,
        request: &mut Open,
    ) -> Result<Next, &'static str> {
        let was_prompt = self.prompt_left() > 0;
        let mut rows = rows.iter();
        if was_prompt && self.scores_prompt() {
            self.score(count, &mut rows, tokenizer);
        }
        self.position += count;
        if self.prompt_left() > 0 {
            return Ok(Next::More);
        }
        if was_prompt {
            self.echo(request, tokenizer);
        }
        if self.choice.max_tokens == 0 {
            return Ok(self.end(FinishReason::Length, request));
        }
        let logits = rows.next().ok_or("the model gave too few logits")?;
        self.draw(logits, tokenizer, request)
    }

    /// Keeps the log-probabilities of the prompt tokens that a step's rows predict.
    fn score<'r>(&mut self, count: usize, rows: &mut impl Iterator<Item = &'r &'r [f32]>, tokenizer: &Tokenizer) {
        for position in self.position..(self.position + count).min(self.choice.prompt.len() - 1) {
            if let Some(row) = rows.next() {
                let id = self.choice.prompt[position + 1];
                self.prompt_logprobs.push(self.logprob(row, id, tokenizer));
            }
        }
    }

    fn echo(&mut self, request: &mut Open, tokenizer: &Tokenizer) {
        let Some(echo) = self.choice.echo.take() else { return };
        let mut logprobs = Vec::new();
        if self.choice.logprobs.is_some() {
            // Nothing predicts the first token; those that the caller did not write are left out.
            let first = self.choice.prompt[0];
            let chosen = Alternative { id: first, bytes: tokenizer.spelling(first).to_vec(), logprob: None };
            logprobs.push(TokenLogprob { chosen, top: Vec::new() });
            logprobs.append(&mut self.prompt_logprobs);
            logprobs.drain(..echo.added.min(logprobs.len()));
        }
        request.send(Event::Delta(Delta { index: self.choice.index, text: echo.text.to_string(), logprobs }));
    }

    fn draw(&mut self, logits: &[f32], tokenizer: &Tokenizer, request: &mut Open) -> Result<Next, &'static str> {
        let id = self.sampler.sample(logits).ok_or("the model gave no usable logits")?;
        self.next = id;
        self.drawn += 1;
        request.generated();
        if tokenizer.is_end(id) {
            return Ok(self.end(FinishReason::Stop, request));
        }
        let logprob = self.choice.logprobs.map(|_| self.logprob(logits, id, tokenizer));
        let piece = self.output.push(id, logprob, tokenizer);
        let stopped = piece.stopped;
        self.send(piece, request);
        if stopped {
            request.finish(self.choice.index, FinishReason::Stop);
            return Ok(Next::Over);
        }
        if self.drawn >= self.choice.max_tokens {
            return Ok(self.end(FinishReason::Length, request));
        }
        Ok(Next::More)
    }

    /// Ends the choice after all its text has left.
    fn end(&mut self, reason: FinishReason, request: &mut Open) -> Next {
        let piece = self.output.finish();
        self.send(piece, request);
        request.finish(self.choice.index, reason);
        Next::Over
    }

    fn send(&self, piece: Piece, request: &mut Open) {
        let Piece { text, logprobs, .. } = piece;
        if !text.is_empty() || !logprobs.is_empty() {
            request.send(Event::Delta(Delta { index: self.choice.index, text, logprobs }));
        }
    }

    fn logprob(&self, logits: &[f32], id: u32, tokenizer: &Tokenizer) -> TokenLogprob {
        let found = logprobs(logits, id, self.choice.logprobs.unwrap_or(0));
        let alternative =
            |id: u32, logprob: f32| Alternative { id, bytes: tokenizer.spelling(id).to_vec(), logprob: Some(logprob) };
        TokenLogprob {
            chosen: alternative(id, found.chosen),
            top: found.top.into_iter().map(|(id, logprob)| alternative(id, logprob)).collect(),
        }
    }
}
