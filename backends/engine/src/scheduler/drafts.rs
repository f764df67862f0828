//! When a draft model is asked how answers go on, and for how many tokens: as long as that pays, by times that are measured.
//!
//! A draft is a smaller model of the same vocabulary, which guesses a token of each answer in a step of its own; a step of the
//! model then checks all that was guessed ([`Steps::draft`](super::Steps::draft)). For `n` answers with `k` guesses each, of
//! which one is right with probability `p` if those before it are:
//!
//! ```text
//! tokens of each answer   E(k) = 1 + p + p^2 + ... + p^k
//! seconds                 T(k) = k * draft(n) + model(n * (k + 1))
//! ```
//!
//! Here `draft(n)` is what a step of the draft for `n` answers takes, and `model(m)` what a step of the model takes that has `m`
//! tokens of answers and no prompt: decayed means, never less than what fewer tokens take, so that a size that was never seen is
//! tried. The draft is asked for the `k` that makes `E(k) / T(k)` greatest; where that is none, or gains less than times vary by
//! chance, the answer goes on without it for a while, and for a while twice as long the next time. `p` is measured for each
//! answer, which begins with what all before it came to.
//!
//! Before it can guess, a draft has to compute the text so far, in pieces beside the steps of the answer: that is begun only if
//! it takes less than a quarter of the time that the rest of the answer takes at most.
//!
//! No guess changes an answer (`super::lookup`). Knows times and counts; nothing of tokens.

use std::{collections::BTreeMap, time::Duration};

/// Of guesses that cost nothing, what share must be right: as of those that are looked up.
const LEAST_RIGHT: f64 = 0.4;
/// What is taken to be right of the guesses of a draft of which nothing is known, and after a pause.
const HOPED: f64 = 0.8;
/// For how many guesses that counts.
const HOPE: f64 = 4.0;
/// How many times as fast as without it an answer with the draft must be.
const GAIN: f64 = 1.05;
/// What is left of what was seen of guesses after each time.
const KEPT: f64 = 0.9;
/// Tokens without the draft after the first time that it did not pay, and the most.
const PAUSE: [u32; 2] = [16, 256];
/// After so many steps with guesses one has none, so that what that takes stays known.
const GUESSING: u32 = 64;

/// What steps take, and how often drafts were right, over all answers.
#[derive(Debug)]
pub(super) struct Drafts {
    /// None where steps are taken without regard to time.
    times: Option<Times>,
    /// A decayed mean of the share of guesses that were right.
    usual: f64,
}

/// Seconds, as decayed means.
#[derive(Debug, Default)]
struct Times {
    /// Of a step of the model, by its tokens.
    model: BTreeMap<usize, f64>,
    /// Of a step of the draft, by the answers in it.
    draft: BTreeMap<usize, f64>,
    /// Of a token of a text that the draft has yet to compute.
    token: Option<f64>,
    /// Steps with guesses since one without.
    guessing: u32,
}

/// How far an answer trusts the draft.
#[derive(Debug)]
pub(super) struct Trust {
    right: f64,
    tried: f64,
    /// Tokens to go without.
    pausing: u32,
    /// How long the next pause is.
    pause: u32,
    /// Whether the draft has computed its text once.
    begun: bool,
}

/// An answer that may ask the draft.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// Answers in the step.
    pub(super) answers: usize,
    /// Guesses that the step has room for.
    pub(super) most: usize,
    /// Tokens of the text so far.
    pub(super) text: usize,
    /// Tokens that the answer may still have.
    pub(super) left: usize,
}

impl Drafts {
    pub(super) fn new(in_time: bool) -> Self {
        Self { times: in_time.then(Times::default), usual: HOPED }
    }

    /// What a new answer makes of the draft.
    pub(super) fn trust(&self) -> Trust {
        Trust { right: self.usual * HOPE, tried: HOPE, pausing: 0, pause: PAUSE[0], begun: false }
    }

    /// Whether the next step is to be one without guesses.
    pub(super) fn rests(&self) -> bool {
        self.times.as_ref().is_some_and(|times| times.guessing >= GUESSING || times.model.is_empty())
    }

    /// How many tokens to have guessed for an answer: none where that would not pay, which it then is not asked for a while.
    pub(super) fn length(&self, trust: &mut Trust, asks: Asks) -> usize {
        if trust.pausing > 0 || asks.most == 0 {
            return 0;
        }
        let length = match &self.times {
            None if trust.share() < LEAST_RIGHT => 0,
            None => asks.most,
            Some(times) if !trust.begun && !times.may_catch_up(asks) => 0,
            Some(times) => times.best(trust.share(), asks),
        };
        if length == 0 {
            trust.pauses();
        }
        length
    }

    /// The answer's draft guessed, and was right with so many of the tokens that it was asked for.
    pub(super) fn learn(&mut self, trust: &mut Trust, asked: usize, right: usize) {
        trust.learn(asked, right);
        self.usual += (right as f64 / tried(asked, right) - self.usual) / 32.0;
    }

    /// A step of the model with so many tokens of answers and none of prompts has taken so long.
    pub(super) fn note_model(&mut self, answers: usize, tokens: usize, took: Duration) {
        let Some(times) = &mut self.times else { return };
        note(times.model.entry(tokens), took.as_secs_f64());
        times.guessing = if tokens > answers { times.guessing + 1 } else { 0 };
    }

    /// So many steps of the draft for so many answers have taken so long.
    pub(super) fn note_draft(&mut self, answers: usize, steps: usize, took: Duration) {
        if let Some(times) = &mut self.times {
            note(times.draft.entry(answers), took.as_secs_f64() / steps.max(1) as f64);
        }
    }

    /// The draft has taken so long to compute so many tokens of a text.
    pub(super) fn note_catching_up(&mut self, tokens: usize, took: Duration) {
        if let Some(times) = self.times.as_mut().filter(|_| tokens > 0) {
            let token = took.as_secs_f64() / tokens as f64;
            times.token = Some(times.token.map_or(token, |mean| mean + (token - mean) / 4.0));
        }
    }
}

impl Times {
    /// See the module.
    fn best(&self, p: f64, Asks { answers, most, .. }: Asks) -> usize {
        let draft = seen(&self.draft, answers).unwrap_or(0.0);
        let mut model = seen(&self.model, answers).unwrap_or(0.0);
        let (mut best, mut length, mut tokens, mut power) = (GAIN / model, 0, 1.0, 1.0);
        for k in 1..=most {
            power *= p;
            tokens += power;
            model = model.max(seen(&self.model, answers * (k + 1)).unwrap_or(0.0));
            let rate = tokens / (k as f64 * draft + model);
            if rate > best {
                (best, length) = (rate, k);
            }
        }
        length
    }

    /// Whether the draft may compute the text of an answer.
    fn may_catch_up(&self, Asks { answers, text, left, .. }: Asks) -> bool {
        let Some(token) = self.token else { return true };
        4.0 * text as f64 * token < left as f64 * seen(&self.model, answers).unwrap_or(0.0)
    }
}

impl Trust {
    /// The answer has another token.
    pub(super) fn push(&mut self) {
        self.pausing = self.pausing.saturating_sub(1);
    }

    /// The share of guesses that were right.
    pub(super) fn share(&self) -> f64 {
        self.right / self.tried
    }

    /// The draft made no guess, of which nothing follows for other answers: it may be sure of those, or have room for them.
    pub(super) fn miss(&mut self, asked: usize) {
        self.learn(asked, 0);
    }

    fn learn(&mut self, asked: usize, right: usize) {
        self.begun = true;
        self.right = KEPT * self.right + right as f64;
        self.tried = KEPT * self.tried + tried(asked, right);
        if right == asked {
            self.pause = PAUSE[0];
        }
    }

    fn pauses(&mut self) {
        (self.pausing, self.pause) = (self.pause, (2 * self.pause).min(PAUSE[1]));
        (self.right, self.tried) = (HOPED * HOPE, HOPE);
    }
}

/// How many guesses were put to the test: what follows a wrong one, or the last one that it made, tells nothing.
fn tried(asked: usize, right: usize) -> f64 {
    asked.min(right + 1) as f64
}

fn note(entry: std::collections::btree_map::Entry<'_, usize, f64>, seconds: f64) {
    // No rate may be endless.
    let seconds = seconds.max(1e-9);
    entry.and_modify(|mean| *mean += (seconds - *mean) / 4.0).or_insert(seconds);
}

/// What was seen of a size, or of the next smaller one, or of the next larger one.
fn seen(times: &BTreeMap<usize, f64>, size: usize) -> Option<f64> {
    let next = times.range(..=size).next_back().or_else(|| times.range(size..).next());
    next.map(|(_, seconds)| *seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const ALONE: Asks = Asks { answers: 1, most: 7, text: 100, left: 1_000 };

    /// Steps of 100 ms, of which one with eight tokens takes twice as long; the draft takes `draft`.
    fn measured(draft: Duration) -> Drafts {
        let mut drafts = Drafts::new(true);
        for tokens in 1..=8 {
            drafts.note_model(1, tokens, ms(100) * (tokens as u32 + 6) / 7);
        }
        drafts.note_draft(1, 2, 2 * draft);
        drafts
    }

    fn trust(share: f64) -> Trust {
        Trust { right: share * HOPE, ..Drafts::new(true).trust() }
    }

    #[test]
    fn more_is_guessed_the_cheaper_the_draft_is_and_the_more_often_it_is_right() {
        let lengths = |share: f64| [1, 10, 40, 90].map(|draft| measured(ms(draft)).length(&mut trust(share), ALONE));
        assert_eq!(lengths(1.0), [7, 7, 7, 0]);
        assert_eq!(lengths(0.8), [5, 3, 2, 0]);
        assert_eq!(lengths(0.3), [1, 0, 0, 0]);
        assert_eq!(lengths(0.05), [0; 4]);
    }

    /// That a draft as slow as its model is right every time saves nothing.
    #[test]
    fn what_it_gains_is_what_the_formula_says() {
        let drafts = measured(ms(20));
        let times = drafts.times.as_ref().unwrap();
        let model = |tokens: f64| 0.1 * (tokens + 6.0) / 7.0;
        for p in [0.2, 0.5, 0.7, 0.9, 0.99] {
            let rate = |k: i32| {
                (0..=k).map(|n| f64::powi(p, n)).sum::<f64>() / (f64::from(k) * 0.02 + model(f64::from(k) + 1.0))
            };
            let best = (0..=7).max_by(|a, b| rate(*a).total_cmp(&rate(*b))).unwrap();
            assert_eq!(times.best(p, ALONE), best as usize, "{p}");
        }
        assert_eq!(measured(ms(100)).length(&mut trust(1.0), ALONE), 0);
    }

    #[test]
    fn a_step_of_more_tokens_that_was_faster_by_chance_is_no_gain() {
        let mut drafts = Drafts::new(true);
        drafts.note_model(1, 1, ms(100));
        drafts.note_model(1, 2, ms(50));
        drafts.note_draft(1, 1, ms(10));
        assert_eq!(drafts.length(&mut trust(0.1), ALONE), 0);
        assert_eq!(drafts.length(&mut trust(0.2), ALONE), 1);
    }

    #[test]
    fn a_draft_that_is_wrong_pauses_each_time_for_longer_and_one_that_is_right_again_is_forgiven() {
        let mut drafts = measured(ms(10));
        let mut trust = drafts.trust();
        let mut paused = Vec::new();
        for _ in 0..6 {
            let mut tries = 0;
            while drafts.length(&mut trust, ALONE) > 0 {
                drafts.learn(&mut trust, 4, 0);
                tries += 1;
            }
            assert!((2..12).contains(&tries), "{tries}");
            paused.push(trust.pausing);
            for _ in 0..trust.pausing {
                assert_eq!(drafts.length(&mut trust, ALONE), 0);
                trust.push();
            }
        }
        assert_eq!(paused, [16, 32, 64, 128, 256, 256]);
        assert!(drafts.length(&mut trust, ALONE) > 0);
        drafts.learn(&mut trust, 4, 4);
        assert_eq!(trust.pause, PAUSE[0]);
        // That none was made counts for this answer alone.
        let (usual, share) = (drafts.usual, trust.share());
        trust.miss(4);
        assert!(drafts.usual == usual && trust.share() < share);
        // The next answer begins with what is known.
        (0..100).for_each(|_| drafts.learn(&mut trust, 1, 0));
        assert_eq!(drafts.length(&mut drafts.trust(), ALONE), 0);
        (0..100).for_each(|_| drafts.learn(&mut trust, 1, 1));
        assert_eq!(drafts.length(&mut drafts.trust(), ALONE), 7);
    }

    #[test]
    fn a_size_that_was_never_seen_is_tried_and_what_a_step_without_guesses_takes_stays_known() {
        let mut drafts = Drafts::new(true);
        assert!(drafts.rests(), "nothing is known");
        drafts.note_model(1, 1, ms(100));
        assert!(!drafts.rests());
        assert_eq!(drafts.length(&mut drafts.trust(), ALONE), 7);
        drafts.note_draft(1, 7, ms(700));
        assert_eq!(drafts.length(&mut drafts.trust(), ALONE), 0);
        for _ in 0..GUESSING {
            assert!(!drafts.rests());
            drafts.note_model(1, 3, ms(100));
        }
        assert!(drafts.rests());
        drafts.note_model(1, 1, ms(100));
        assert!(!drafts.rests());
    }

    #[test]
    fn a_long_text_is_not_computed_for_a_short_answer() {
        let mut drafts = measured(ms(10));
        let asks = |text, left| Asks { text, left, ..ALONE };
        assert!(drafts.length(&mut drafts.trust(), asks(4_000, 1)) > 0, "it is not known what it takes");
        drafts.note_catching_up(0, ms(50));
        drafts.note_catching_up(100, ms(200));
        assert!(drafts.length(&mut drafts.trust(), asks(4_000, 400)) > 0);
        assert_eq!(drafts.length(&mut drafts.trust(), asks(4_000, 200)), 0);
        // Once it is computed, the answer goes on with it.
        let mut trust = drafts.trust();
        drafts.learn(&mut trust, 1, 1);
        assert!(drafts.length(&mut trust, asks(4_000, 100)) > 0);
    }

    #[test]
    fn without_regard_to_time_it_is_asked_as_long_as_it_is_right() {
        let mut drafts = Drafts::new(false);
        let mut trust = drafts.trust();
        assert!(!drafts.rests());
        assert_eq!(drafts.length(&mut trust, ALONE), 7);
        (0..5).for_each(|_| drafts.learn(&mut trust, 7, 0));
        assert_eq!(drafts.length(&mut trust, ALONE), 0);
    }
}
