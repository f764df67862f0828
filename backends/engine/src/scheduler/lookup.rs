//! Guesses how a sequence goes on, from itself: where its last few tokens stood before, it may go on as it did there.
//!
//! Answers that quote their prompt, code that repeats itself and forms are guessed well, and a step that checks a few tokens
//! takes less time than as many steps, as it reads the weights once. No guess changes an answer: each
//! token is drawn from the model's own logits as ever, and what was guessed otherwise is thrown away. A sequence whose
//! guesses are wrong makes shorter ones, then none for a while, and a while twice as long the next time.
//!
//! Knows tokens alone; whether there is time to spare in a step is for its caller to say.

use std::collections::HashMap;

use crate::pictures::PICTURE;

/// So many tokens must be the same for a guess that they are followed by the same.
const KEY: usize = 3;
/// The first guess, and the longest one: with the token before it, one tile of the kernels' columns.
const FIRST: usize = 3;
const LONGEST: usize = 7;
/// Guesses of which less is right on average cost more than they save: of the native engine, with two threads on one core and
/// a billion weights, steps of 2, 3, 4 and 8 tokens took 1.2 to 1.3, 1.5, 1.9 and 1.7 to 2.8 times as long as one.
const LEAST_RIGHT: f32 = 0.4;
/// Tokens without a guess after the first time that it was so, and the most.
const PAUSE: [u32; 2] = [16, 256];

/// See the module.
#[derive(Debug)]
pub(super) struct Lookup {
    text: Vec<u32>,
    /// The place behind where these stood last, but for the end of the text.
    behind: HashMap<[u32; KEY], usize>,
    /// How long the next guess may be.
    length: usize,
    /// A decayed mean of the share of a guess that was right.
    right: f32,
    /// Tokens to go without a guess.
    pausing: u32,
    /// How long the next pause is.
    pause: u32,
}

impl Lookup {
    /// Of a sequence with this prompt.
    pub(super) fn new(prompt: &[u32]) -> Self {
        let mut lookup = Self {
            text: Vec::with_capacity(prompt.len() + LONGEST),
            behind: HashMap::with_capacity(prompt.len()),
            length: FIRST,
            right: 1.0,
            pausing: 0,
            pause: PAUSE[0],
        };
        prompt.iter().for_each(|&token| lookup.push(token));
        lookup
    }

    /// The sequence has another token.
    pub(super) fn push(&mut self, token: u32) {
        if let Some(key) = self.text.last_chunk() {
            self.behind.insert(*key, self.text.len());
        }
        self.text.push(token);
        self.pausing = self.pausing.saturating_sub(1);
    }

    /// The sequence so far.
    pub(super) fn text(&self) -> &[u32] {
        &self.text
    }

    /// A decayed mean of the share of its guesses that was right.
    pub(super) fn share(&self) -> f32 {
        self.right
    }

    /// What may come next, `most` tokens at most; none where nothing is known.
    pub(super) fn guess(&self, most: usize) -> Vec<u32> {
        let known = self.text.last_chunk().and_then(|key| self.behind.get(key));
        let (Some(&from), 0) = (known, self.pausing) else { return Vec::new() };
        // Up to the end of the text, and from there on the same again: it may be going in a circle.
        let again = self.text[from..].iter().cycle().copied();
        again.take(most.min(self.length)).take_while(|token| *token < PICTURE).collect()
    }

    /// So many tokens of a guess, which had some, were right.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        self.right += (right as f32 / guessed as f32 - self.right) / 4.0;
        if right == guessed {
            self.length = (2 * self.length + 1).min(LONGEST);
            self.pause = PAUSE[0];
        } else {
            self.length = right + 1;
        }
        if self.right < LEAST_RIGHT {
            (self.pausing, self.pause) = (self.pause, (2 * self.pause).min(PAUSE[1]));
            self.right = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_as_where_its_end_stood_last_and_in_circles() {
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 9, 8, 7, 1, 2]);
        assert!(lookup.guess(8).is_empty(), "two are not enough, and nothing is known of 7, 1, 2");
        lookup.push(3);
        assert_eq!(lookup.guess(2), [9, 8], "as the last time, not the first");
        assert!(lookup.guess(0).is_empty());
        lookup.learn(2, 2);
        assert_eq!(lookup.guess(8), [9, 8, 7, 1, 2, 3, 9]);
        assert_eq!(Lookup::new(&[5; 5]).guess(8), [5; 3]);
        assert!(Lookup::new(&[5; 3]).guess(8).is_empty());
        assert_eq!(Lookup::new(&[1, 2, 3, 4, PICTURE, 1, 2, 3]).guess(8), [4], "a picture is no guess");
    }

    #[test]
    fn who_guesses_wrongly_pauses_each_time_for_longer() {
        let mut lookup = Lookup::new(&[5; 8]);
        let mut paused = Vec::new();
        for _ in 0..6 {
            while lookup.pausing == 0 {
                assert!(!lookup.guess(8).is_empty());
                lookup.learn(1, 0);
            }
            paused.push(lookup.pausing);
            while lookup.pausing > 0 {
                assert!(lookup.guess(8).is_empty());
                lookup.push(5);
            }
        }
        assert_eq!(paused, [16, 32, 64, 128, 256, 256]);
        lookup.learn(1, 1);
        assert_eq!(lookup.pause, PAUSE[0]);
    }
}
