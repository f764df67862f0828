//! Picks the tokens of the next step.
//!
//! Every answer under way gets its next token, and what is guessed behind it. The budget goes to prompts, half of it to the one that has waited longest and
//! the rest to the shortest: a short one behind a long one starts at once, however many of those come the long one goes on,
//! and of several alike the first is not held up by the last. Prompts of low priority have what the others leave, and a part of
//! the budget always. None holds up the answers. The budget is what the model was seen to
//! compute within the time that a step may take ([`Pace`]), but never so few that prompts take much longer for it: for so
//! long a caller who is gone is not noticed, and an answer waits for its next token. Where answers wait, pieces are smaller than
//! they need be otherwise, as far as that makes prompts little dearer by the times that were measured.

use std::time::Duration;

use super::{sequence::Sequence, steps::Token};

/// Fewer would leave most of the machine idle: weights are read once a step, whatever it computes. With 32 the first token of
/// 2,000 took twice as long on two cores.
const LEAST: usize = 128;
/// Smaller pieces, beside answers on a machine where [`LEAST`] take longer than a step may.
const SMALLER: [usize; 2] = [32, 64];
/// What a token may cost more in them than in a piece of [`LEAST`].
const DEARER: f64 = 1.1;
/// Of so many pieces beside answers one is of the next smaller size, so that what that costs stays known.
const TRIED: u32 = 64;
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
    /// The same in pieces of these sizes alone.
    smaller: [Option<f64>; SMALLER.len()],
    least: Option<f64>,
    /// Pieces beside answers so far.
    beside: u32,
}

impl Pace {
    pub(super) fn new(step: Option<Duration>, most: usize) -> Self {
        Self { step, most, token: None, smaller: [None; SMALLER.len()], least: None, beside: 0 }
    }

    /// Prompt tokens of the next step, with answers in it or without.
    pub(super) fn budget(&self, answers: bool) -> usize {
        let Some(step) = self.step else { return self.most };
        let tokens = self.token.map_or(LEAST, |token| (step.as_secs_f64() / token) as usize);
        let least = LEAST.min(self.most);
        match self.least {
            Some(usual) if answers && tokens < least => self.piece(usual).min(least),
            _ => tokens.clamp(least, self.most),
        }
    }

    /// The smallest piece in which a token costs little more than what is `usual`, or now and then the next smaller one. One that
    /// was never measured is tried.
    fn piece(&self, usual: f64) -> usize {
        let is_cheap = |cost: &Option<f64>| cost.is_none_or(|cost| cost <= usual * DEARER);
        // From the largest down: one that is dear says that smaller ones are dearer.
        let dear = self.smaller.iter().rposition(|cost| !is_cheap(cost));
        let chosen = dear.map_or(0, |dear| dear + 1);
        let chosen = if self.beside % TRIED == TRIED - 1 { chosen.saturating_sub(1) } else { chosen };
        SMALLER.get(chosen).copied().unwrap_or(LEAST)
    }

    /// A step with so many tokens of prompts, and of some answers, has taken so long.
    pub(super) fn note(&mut self, prompts: usize, answers: usize, took: Duration) {
        let tokens = prompts + answers;
        let token = (took.as_secs_f64() / tokens.max(1) as f64).max(1e-9);
        let moves = |mean: &mut Option<f64>| *mean = Some(mean.map_or(token, |mean| mean + (token - mean) / 4.0));
        // With few tokens it is the weights that take the time.
        if tokens >= LEAST {
            moves(&mut self.token);
        }
        if prompts == LEAST {
            moves(&mut self.least);
        }
        if let Some(size) = SMALLER.iter().position(|size| *size == prompts) {
            moves(&mut self.smaller[size]);
        }
        self.beside = self.beside.wrapping_add(u32::from(prompts > 0 && answers > 0));
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
        assert_eq!(pace.budget(false), LEAST);
        pace.note(128, 0, Duration::from_millis(32));
        assert_eq!([false, true].map(|answers| pace.budget(answers)), [200; 2]);
        // Few tokens tell nothing.
        pace.note(1, 0, Duration::from_secs(1));
        assert_eq!(pace.budget(false), 200);
        for _ in 0..50 {
            pace.note(128, 0, Duration::from_secs(1));
        }
        assert_eq!(pace.budget(false), LEAST);
        for _ in 0..100 {
            pace.note(128, 0, Duration::ZERO);
        }
        assert_eq!([false, true].map(|answers| pace.budget(answers)), [512; 2]);
        assert_eq!(Pace::new(None, 128).budget(true), 128);
        assert_eq!(Pace::new(Some(Duration::ZERO), 8).budget(false), 8);
    }

    /// How many of 640 pieces beside an answer have each size, where a token costs so much in each.
    fn sizes(cost: [u64; 3]) -> [usize; 3] {
        let mut pace = Pace::new(Some(Duration::from_millis(50)), 512);
        pace.note(128, 0, Duration::from_micros(128 * cost[2]));
        let mut sizes = [0; 3];
        for _ in 0..640 {
            let size = pace.budget(true);
            let at = [32, 64, 128].iter().position(|one| *one == size).expect("one of the sizes");
            sizes[at] += 1;
            pace.note(size, 1, Duration::from_micros((size as u64 + 1) * cost[at]));
        }
        assert_eq!(pace.budget(false), 128, "nobody waits for it");
        sizes
    }

    #[test]
    fn beside_answers_pieces_are_as_small_as_makes_prompts_little_dearer_and_smaller_ones_are_tried_now_and_then() {
        assert_eq!(sizes([10_000, 10_000, 10_000]), [640, 0, 0]);
        assert_eq!(sizes([10_000, 9_000, 10_000]), [640, 0, 0]);
        let [few, most, none] = sizes([12_000, 10_500, 10_000]);
        assert!((10..=12).contains(&few) && most == 640 - few && none == 0, "{few} {most} {none}");
        let [dearest, dear, most] = sizes([14_000, 12_000, 10_000]);
        assert!(dearest <= 1 && (10..=12).contains(&dear) && most >= 627, "{dearest} {dear} {most}");
    }

    #[test]
    fn a_piece_that_was_dear_once_is_chosen_again_when_it_is_not() {
        let mut pace = Pace::new(Some(Duration::from_millis(50)), 512);
        pace.note(128, 0, Duration::from_millis(1_280));
        pace.note(64, 1, Duration::from_millis(2_000));
        pace.note(32, 1, Duration::from_millis(2_000));
        let mut last = 0;
        for _ in 0..TRIED * 40 {
            last = pace.budget(true);
            pace.note(last, 1, Duration::from_millis((last as u64 + 1) * 10));
        }
        assert_eq!(last, 32);
    }
}
