//! What the scheduler needs of an engine: a number of slots that hold sequences, and steps that go on with some of them.

use crate::pictures::Placed;

/// A token of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The sequence it belongs to.
    pub slot: usize,
    /// Its place in the sequence. What was there and behind it before is forgotten.
    pub position: usize,
    /// Its number in the vocabulary; from [`PICTURE`](crate::PICTURE) on it is a picture's.
    pub id: u32,
    /// Whether to compute what may follow it.
    pub logits: bool,
}

/// A sequence that is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Its slot, which is empty.
    pub slot: usize,
    /// What it begins with; never empty.
    pub prompt: &'a [u32],
    /// Tokens that it will have at most.
    pub most: usize,
    /// What it was computed for before may be used again only where this is the same.
    pub salt: Option<&'a str>,
    /// Whether every token of the prompt must be computed, whatever was computed before.
    pub anew: bool,
}

/// An answer whose next tokens a draft model is to guess.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    /// Its slot.
    pub slot: usize,
    /// Its prompt and what was drawn, the last of which no step has had yet.
    pub text: &'a [u32],
    /// Guesses at most, and no fewer than one.
    pub most: usize,
}

/// What a draft model has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drafted {
    /// It computed so many tokens of a text that it has to compute whole before it guesses: there are no guesses yet.
    CaughtUp(usize),
    /// It guessed.
    Guessed {
        /// For each answer, in order; fewer than were asked for where it is not sure, or none.
        guesses: Vec<Vec<u32>>,
        /// Steps that it took.
        steps: usize,
    },
}

/// Why a step came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Most of it was for callers who are gone ([`Interest`](super::Interest)). Each slot holds what it held before.
    Unwanted,
    /// What failed, for the log: the sequences of the step are ended then, and the next step may go well.
    Failed(String),
}

/// What an engine holds of prompts that it has computed, for any thread to ask while it computes.
pub trait Holds: Send + Sync {
    /// How many of a prompt's first tokens a sequence would find that began now, as [`Steps::begin`] would tell.
    fn held(&self, prompt: &[u32], salt: Option<&str>) -> usize;
}

/// An engine's side of the scheduler, on the scheduler's thread.
pub trait Steps {
    /// The most prompt tokens of a step that it makes good use of.
    fn most_prompt_tokens(&self) -> usize;

    /// Gives a slot to a sequence: how many of its first tokens the slot holds from before, fewer than its prompt has. `None`
    /// while there is no room for it, or while a sequence under way computes a good part of its prompt, which it may wait for
    /// as long as that gets on: asked a second time without a step between, it begins. With nothing else under way it does.
    fn begin(&mut self, start: Start<'_>) -> Option<usize> {
        let _ = start;
        Some(0)
    }

    /// The pictures in the prompt of the sequence that is to begin next in a slot, in their order; there may be none. The tokens
    /// of each are all in one step, in which its sequence has no other.
    fn shows(&mut self, slot: usize, pictures: &[Placed]) {
        let _ = (slot, pictures);
    }

    /// Computes some tokens of some sequences, and answers with the logits of those that asked, in order: a number for each
    /// token of the vocabulary.
    ///
    /// Tokens of a slot stand in order of their positions without a gap, the first of them right behind what the slot holds.
    /// Several tokens of an answer that ask for logits may be guesses ([`Steps::spare`]).
    ///
    /// # Errors
    /// Why there are no logits.
    fn step(&mut self, tokens: &[Token]) -> Result<Vec<&[f32]>, Halt>;

    /// How many tokens of answers it computes in about the time of one: what there are fewer, guesses may fill. None, which
    /// is also for an engine that cannot forget, means one.
    fn spare(&self) -> Option<usize> {
        None
    }

    /// Forgets all but the first `len` tokens of a slot: those behind were guessed wrongly. For engines that compute guesses.
    fn forget(&mut self, slot: usize, len: usize) {
        let _ = (slot, len);
    }

    /// Whether it has a draft model, which guesses what comes next where a step has time to spare.
    fn has_draft(&self) -> bool {
        false
    }

    /// Has the draft model guess how some answers go on. What it guesses is checked as any guess is, so it may be anything. A
    /// call takes no longer than a step, or one for each token that is guessed.
    fn draft(&mut self, answers: &[Ahead<'_>]) -> Drafted {
        let _ = answers;
        Drafted::CaughtUp(0)
    }

    /// The sequence in a slot is over, or its caller is gone.
    fn end(&mut self, slot: usize) {
        let _ = slot;
    }
}
