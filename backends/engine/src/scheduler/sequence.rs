//! One choice under way: first its prompt is computed, then token after token is drawn, by a grammar where there is one,
//! and what may leave of the text leaves as reasoning, as text or as parts of tool calls.

use std::time::Instant;

use backends::{Alternative, CallPart, Delta, Event, FinishReason, Priority, TokenLogprob};

use crate::{
    calls::Part,
    grammar::Constraint,
    output::{Output, Piece},
    pictures::{PICTURE, Placed},
    prepare::Choice,
    reasoning::{Parts, Reasoning},
    sampler::{Sampler, logprobs},
    tokenizer::Tokenizer,
};

use super::{
    drafts::{Asks, Drafts, Trust},
    guesses::Checked,
    lookup::Lookup,
    request::Open,
    steps::{Ahead, Token},
};

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
    /// Guesses what comes next, where the model has time to check that.
    lookup: Option<Lookup>,
    /// How far it trusts the draft model, where there is one.
    trust: Option<Trust>,
    /// What was guessed to come behind the token drawn last.
    guess: Vec<u32>,
    /// How many tokens the draft model was asked for; none where the guess was looked up.
    asked: usize,
    /// What was guessed for the last step, and how much of it was right.
    checked: Option<Checked>,
    sampler: Sampler,
    output: Output,
    /// Log-probabilities of the prompt so far, for an echo.
    prompt_logprobs: Vec<TokenLogprob>,
    /// Log-probabilities of what may still turn out to begin reasoning.
    undecided: Vec<TokenLogprob>,
}

/// Where a grammar of a caller's would take more work for a token than is given to it.
const TOO_MUCH: &str = "the form that was asked for takes too much work to keep to";

/// What comes after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another step.
    More,
    /// Nothing: the choice has finished.
    Over,
}

impl Sequence {
    /// A choice whose slot holds the first `held` tokens of its prompt already: fewer than there are.
    pub(super) fn new(
        request: u64,
        slot: usize,
        held: usize,
        choice: Choice,
        tokenizer: &Tokenizer,
        started: Instant,
    ) -> Self {
        Self {
            request,
            slot,
            started,
            position: held,
            next: 0,
            drawn: 0,
            lookup: None,
            trust: None,
            guess: Vec::new(),
            asked: 0,
            checked: None,
            sampler: Sampler::new(&choice.sampling, choice.seed, choice.stream, &choice.prompt),
            output: Output::new(
                choice.stop.to_vec(),
                tokenizer,
                choice.prompt.last().copied(),
                choice.kept.marks.clone(),
            ),
            prompt_logprobs: Vec::new(),
            undecided: Vec::new(),
            choice,
        }
    }

    /// The same, and it guesses what comes next, with a draft model where there is one that reads what it has.
    pub(super) fn guessing(self, drafts: Option<&Drafts>) -> Self {
        let trust = drafts.filter(|_| self.choice.pictures.is_empty()).map(Drafts::trust);
        Self { lookup: Some(Lookup::new(&self.choice.prompt)), trust, ..self }
    }

    /// Guesses the next tokens of its answer, at most `most`, for its next step.
    pub(super) fn look_ahead(&mut self, most: usize) {
        self.asked = 0;
        self.guess = match &self.lookup {
            Some(lookup) if most > 0 && self.prompt_left() == 0 => lookup.guess(most.min(self.left())),
            _ => Vec::new(),
        };
    }

    /// Guesses that may be of use: what follows the last one is drawn too.
    fn left(&self) -> usize {
        self.choice.max_tokens.saturating_sub(self.drawn + 1)
    }

    /// What it asks of a draft model for its next step, one of so many answers with room for `most` guesses each. What it found
    /// in its own text costs nothing, and is kept where that was right as often.
    pub(super) fn ahead_of(&mut self, drafts: &Drafts, answers: usize, most: usize) -> Option<Ahead<'_>> {
        let (left, reads) = (self.left(), self.prompt_left() > 0);
        let (Some(trust), Some(lookup)) = (&mut self.trust, &self.lookup) else { return None };
        if reads || !self.guess.is_empty() && f64::from(lookup.share()) >= trust.share() {
            return None;
        }
        let text = lookup.text();
        self.asked = drafts.length(trust, Asks { answers, most: most.min(left), text: text.len(), left });
        (self.asked > 0).then_some(Ahead { slot: self.slot, text, most: self.asked })
    }

    /// Takes over what a draft model guessed, up to where the answer would end.
    pub(super) fn guessed(&mut self, guess: &[u32], tokenizer: &Tokenizer) {
        let goes_on = |id: &&u32| (**id as usize) < tokenizer.len() && !tokenizer.is_end(**id);
        let guess: Vec<u32> = guess.iter().take(self.asked).take_while(goes_on).copied().collect();
        match &mut self.trust {
            Some(trust) if guess.is_empty() => trust.miss(std::mem::take(&mut self.asked)),
            _ => self.guess = guess,
        }
    }

    /// Whether its draft model was asked for its next step.
    pub(super) fn has_asked(&self) -> bool {
        self.asked > 0
    }

    /// The draft model has not guessed.
    pub(super) fn not_guessed(&mut self) {
        self.asked = 0;
    }

    /// How much of what was guessed for its last step was right, which `drafts` is told where it was the draft model's.
    pub(super) fn checked(&mut self, drafts: Option<&mut Drafts>) -> Option<Checked> {
        let checked = self.checked.take()?;
        if let (Some(trust), Some(drafts), 1..) = (&mut self.trust, drafts, checked.asked) {
            drafts.learn(trust, checked.asked, checked.right);
        }
        Some(checked)
    }

    /// Tokens of its answer in its next step.
    pub(super) fn ahead(&self) -> usize {
        1 + self.guess.len()
    }

    /// How many tokens it has that are computed.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Whether it gives way to others.
    pub(super) fn is_low(&self) -> bool {
        self.choice.priority == Priority::Low
    }

    /// Tokens of its answer so far.
    pub(super) fn drawn(&self) -> usize {
        self.drawn
    }

    /// What it goes on from.
    pub(super) fn prompt(&self) -> &[u32] {
        &self.choice.prompt
    }

    /// The pictures in that.
    pub(super) fn pictures(&self) -> &[Placed] {
        &self.choice.pictures
    }

    /// Tokens that it may have at most.
    pub(super) fn max_tokens(&self) -> usize {
        self.choice.max_tokens
    }

    /// The token that was drawn last.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Prompt tokens that are not computed yet.
    pub(super) fn prompt_left(&self) -> usize {
        self.choice.prompt.len().saturating_sub(self.position)
    }

    /// How many of its next `count` prompt tokens go into one step: up to a picture, or that picture, however much it is.
    pub(super) fn portion(&self, count: usize) -> usize {
        let end = self.position + count;
        let next = self.choice.pictures.iter().find(|picture| (self.position..end).contains(&picture.at));
        match next {
            Some(picture) if picture.at == self.position => picture.seen.tokens,
            Some(picture) => picture.at - self.position,
            None => count,
        }
    }

    /// Whether its next token is a picture's.
    pub(super) fn is_at_picture(&self) -> bool {
        self.choice.prompt.get(self.position).is_some_and(|token| *token >= PICTURE)
    }

    /// Appends the next `count` tokens to a step.
    pub(super) fn tokens(&self, count: usize, out: &mut Vec<Token>) {
        let prompt = &self.choice.prompt;
        let rest = prompt.get(self.position..).unwrap_or_default();
        let ids = rest.iter().chain([&self.next]).chain(&self.guess).take(count);
        for (position, &id) in (self.position..).zip(ids) {
            let draws = position + 1 >= prompt.len() && self.choice.max_tokens > 0;
            // The last prompt token predicts nothing of the prompt itself.
            let scores = self.choice.scores_prompt() && position + 1 < prompt.len();
            out.push(Token { slot: self.slot, position, id, logits: draws || scores });
        }
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
        const TOO_FEW: &str = "the model gave too few logits";
        if self.prompt_left() == 0 {
            if rows.len() != count {
                return Err(TOO_FEW);
            }
            return self.answer(rows, tokenizer, request);
        }
        let mut rows = rows.iter();
        if self.choice.scores_prompt() {
            self.score(count, &mut rows, tokenizer);
        }
        self.position += count;
        if self.prompt_left() > 0 {
            return Ok(Next::More);
        }
        self.echo(request, tokenizer);
        if self.choice.max_tokens == 0 {
            return Ok(self.end(FinishReason::Length, request));
        }
        self.draw(rows.next().ok_or(TOO_FEW)?, tokenizer, request)
    }

    /// Takes the logits behind the token drawn last, and behind each that was guessed to follow it, up to the first wrong one.
    fn answer(&mut self, rows: &[&[f32]], tokenizer: &Tokenizer, request: &mut Open) -> Result<Next, &'static str> {
        let guess = std::mem::take(&mut self.guess);
        let mut right = 0;
        for logits in rows {
            self.position += 1;
            if self.draw(logits, tokenizer, request)? == Next::Over {
                return Ok(Next::Over);
            }
            if guess.get(right) != Some(&self.next) {
                break;
            }
            right += 1;
        }
        if guess.is_empty() {
            return Ok(Next::More);
        }
        let checked = Checked { asked: std::mem::take(&mut self.asked), guessed: guess.len(), right };
        if let (0, Some(lookup)) = (checked.asked, &mut self.lookup) {
            lookup.learn(guess.len(), right);
        }
        self.checked = Some(checked);
        Ok(Next::More)
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
        request.send(Event::Delta(Delta {
            index: self.choice.index,
            text: echo.text.to_string(),
            logprobs,
            ..Delta::default()
        }));
    }

    fn draw(&mut self, logits: &[f32], tokenizer: &Tokenizer, request: &mut Open) -> Result<Next, &'static str> {
        let reasons = self.reasons();
        let id = self.choose(logits, tokenizer)?;
        self.next = id;
        self.drawn += 1;
        if let Some(lookup) = &mut self.lookup {
            lookup.push(id);
        }
        if let Some(trust) = &mut self.trust {
            trust.push();
        }
        request.generated();
        if tokenizer.is_end(id) {
            return Ok(self.end(FinishReason::Stop, request));
        }
        let whole = match &mut self.choice.kept.constraint {
            Some(constraint) if !reasons => constraint.accept(id).map_err(|_| TOO_MUCH)?,
            _ => false,
        };
        let logprob = self.choice.logprobs.map(|_| self.logprob(logits, id, tokenizer));
        let piece = self.output.push(id, logprob, tokenizer);
        let stopped = piece.stopped;
        self.send(piece, request);
        if reasons || self.reasons() {
            request.reasoned();
        }
        if stopped {
            return Ok(self.close(FinishReason::Stop, request));
        }
        let called =
            self.choice.kept.calls.as_ref().is_some_and(|calls| !calls.parallel && calls.parser.is_behind_a_call());
        if whole || called {
            return Ok(self.end(FinishReason::Stop, request));
        }
        if self.drawn >= self.choice.max_tokens {
            return Ok(self.end(FinishReason::Length, request));
        }
        Ok(Next::More)
    }

    /// Whether reasoning has begun and not ended.
    fn reasons(&self) -> bool {
        self.choice.kept.reasoning.as_deref().is_some_and(Reasoning::is_inside)
    }

    /// The next token.
    fn choose(&mut self, logits: &[f32], tokenizer: &Tokenizer) -> Result<u32, &'static str> {
        let reasons = self.reasons();
        let chosen = match &mut self.choice.kept.constraint {
            None => self.sampler.sample(logits),
            // Reasoning is free, but for that the answer has to follow.
            Some(_) if reasons => self.sampler.sample_among(logits, |id| !tokenizer.is_end(id)),
            Some(constraint) => return Self::choose_of(constraint, &mut self.sampler, logits),
        };
        chosen.ok_or("the model gave no usable logits")
    }

    /// The next token of a grammar.
    fn choose_of(constraint: &mut Constraint, sampler: &mut Sampler, logits: &[f32]) -> Result<u32, &'static str> {
        let allowed = constraint.allowed().map_err(|_| TOO_MUCH)?.ok_or("the answer went on behind its end")?;
        let chosen = sampler.sample_among(logits, |id| allowed.has(id));
        chosen.ok_or("of the tokens that the form of the answer allows none can be drawn")
    }

    /// Ends the choice after all its text has left.
    fn end(&mut self, reason: FinishReason, request: &mut Open) -> Next {
        let piece = self.output.finish();
        self.send(piece, request);
        self.close(reason, request)
    }

    /// Ends the choice: what was held back as the beginning of reasoning or of a call is text now.
    fn close(&mut self, reason: FinishReason, request: &mut Open) -> Next {
        let mut reason = reason;
        if let Some(reasoning) = &mut self.choice.kept.reasoning {
            let parts = reasoning.finish();
            let logprobs = std::mem::take(&mut self.undecided);
            self.send_answer(parts, logprobs, request);
        }
        if let Some(calls) = &mut self.choice.kept.calls {
            let mut parts = Vec::new();
            calls.parser.finish(&mut parts);
            if reason == FinishReason::Stop && calls.parser.calls() > 0 {
                reason = FinishReason::ToolCalls;
            }
            self.send_parts(String::new(), parts, Vec::new(), request);
        }
        request.finish(self.choice.index, reason);
        Next::Over
    }

    fn send(&mut self, piece: Piece, request: &mut Open) {
        let Piece { text, mut logprobs, .. } = piece;
        let Some(reasoning) = &mut self.choice.kept.reasoning else {
            return self.send_answer(Parts { answer: text, ..Parts::default() }, logprobs, request);
        };
        let was_inside = reasoning.is_inside();
        let mut parts = reasoning.push(&text);
        // They are told of the answer alone.
        self.undecided.append(&mut logprobs);
        if reasoning.is_in_answer() && !was_inside {
            logprobs = std::mem::take(&mut self.undecided);
        } else if !reasoning.is_undecided() {
            self.undecided.clear();
        }
        if was_inside && self.choice.kept.constraint.is_some() {
            // The form begins with a token of its own. What stands behind the mark within the mark's last token is lost.
            parts.answer.clear();
        }
        self.send_answer(parts, logprobs, request);
    }

    fn send_answer(&mut self, parts: Parts, mut logprobs: Vec<TokenLogprob>, request: &mut Open) {
        let Parts { reasoning, answer } = parts;
        let Some(calls) = &mut self.choice.kept.calls else {
            return self.send_parts(reasoning, vec![Part::Text(answer)], logprobs, request);
        };
        let mut parts = Vec::new();
        calls.parser.push(&answer, &mut parts);
        // They are told of the text alone.
        if !calls.parser.is_in_text() || parts.iter().any(|part| !matches!(part, Part::Text(_))) {
            logprobs.clear();
        }
        self.send_parts(reasoning, parts, logprobs, request);
    }

    fn send_parts(&self, reasoning: String, parts: Vec<Part>, logprobs: Vec<TokenLogprob>, request: &mut Open) {
        let new = || Delta { index: self.choice.index, ..Delta::default() };
        let mut delta = Delta { reasoning, logprobs, ..new() };
        for part in parts {
            match part {
                // In a delta the text comes before the calls.
                Part::Text(text) if delta.calls.is_empty() => delta.text += &text,
                Part::Text(text) => {
                    request.send(Event::Delta(std::mem::replace(&mut delta, Delta { text, ..new() })));
                }
                Part::Begins(index, name) => {
                    // Nine letters and digits: Mistral's templates refuse a conversation with any other id in it.
                    let id = format!("{:09x}", rand::random::<u64>() >> 28);
                    delta.calls.push(CallPart { index, begins: Some((id, name)), arguments: String::new() });
                }
                Part::Arguments(index, arguments) => match delta.calls.last_mut().filter(|last| last.index == index) {
                    Some(last) => last.arguments += &arguments,
                    None => delta.calls.push(CallPart { index, begins: None, arguments }),
                },
            }
        }
        if !delta.is_empty() {
            request.send(Event::Delta(delta));
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
