//! How many tokens were guessed, by what, and how many of them were right.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What was guessed since the engine began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Tokens that were looked up in the sequence itself.
    pub looked_up: u64,
    /// Those of them that were right.
    pub looked_up_right: u64,
    /// Tokens that a draft model guessed.
    pub drafted: u64,
    /// Those of them that were right.
    pub drafted_right: u64,
}

/// A guess that was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    /// Tokens that the draft model was asked for; none where the guess was looked up.
    pub(super) asked: usize,
    pub(super) guessed: usize,
    pub(super) right: usize,
}

/// The counts that others see.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; 4]);

impl Counts {
    pub(super) fn add(&self, Checked { asked, guessed, right }: Checked) {
        let [looked_up, looked_up_right, drafted, drafted_right] = &self.0;
        let (all, good) = if asked > 0 { (drafted, drafted_right) } else { (looked_up, looked_up_right) };
        all.fetch_add(guessed as u64, SeqCst);
        good.fetch_add(right as u64, SeqCst);
    }

    pub(super) fn read(&self) -> Guesses {
        let [looked_up, looked_up_right, drafted, drafted_right] = self.0.each_ref().map(|count| count.load(SeqCst));
        Guesses { looked_up, looked_up_right, drafted, drafted_right }
    }
}
