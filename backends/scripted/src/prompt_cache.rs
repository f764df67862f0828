//! A cache of prompt prefixes, as engines have one: blocks of 16 tokens, each known by all that comes before it, the one
//! that was asked for longest ago dropped first. A token is a word here.
//!
//! It is told nothing of how a gateway tells prompts apart, so what it counts proves what a gateway guessed.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// Tokens of a block.
const BLOCK: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct PromptCache {
    /// When each block was asked for.
    used: HashMap<u64, u64>,
    /// The same, the oldest first.
    oldest: BTreeMap<u64, u64>,
    now: u64,
}

impl PromptCache {
    /// Takes a prompt and says how many of its leading tokens were there before; keeps no more than `most` blocks.
    pub fn take(&mut self, words: &[&str], most: usize) -> usize {
        let mut before = DefaultHasher::new();
        let (mut cached, mut unbroken) = (0, true);
        for block in words.chunks_exact(BLOCK) {
            block.hash(&mut before);
            let hash = before.clone().finish();
            self.now += 1;
            let last = self.used.insert(hash, self.now);
            unbroken &= last.is_some();
            if let Some(last) = last {
                self.oldest.remove(&last);
            }
            self.oldest.insert(self.now, hash);
            cached += if unbroken { BLOCK } else { 0 };
        }
        while self.used.len() > most
            && let Some((_, hash)) = self.oldest.pop_first()
        {
            self.used.remove(&hash);
        }
        cached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[(&'static str, usize)]) -> Vec<&'static str> {
        of.iter().flat_map(|(word, count)| vec![*word; *count]).collect()
    }

    #[test]
    fn whole_blocks_of_a_prefix_are_found_again_and_nothing_after_a_difference() {
        let mut cache = PromptCache::default();
        assert_eq!(cache.take(&words(&[("a", 40)]), 100), 0);
        assert_eq!(cache.take(&words(&[("a", 40), ("b", 40)]), 100), 32);
        assert_eq!(cache.take(&words(&[("a", 40), ("b", 40)]), 100), 80);
        assert_eq!(cache.take(&words(&[("x", 1), ("a", 39), ("b", 40)]), 100), 0);
    }

    #[test]
    fn what_was_asked_for_longest_ago_is_dropped_first() {
        let mut cache = PromptCache::default();
        for word in ["a", "b", "a", "c"] {
            cache.take(&words(&[(word, 32)]), 4);
        }
        let mut cached = |word| cache.take(&words(&[(word, 32)]), 4);
        assert_eq!((cached("a"), cached("c"), cached("b")), (32, 32, 0));
    }
}
