//! Conversations as programs hold them, to see what caches of prompts make of them.
//!
//! Several teams, each with a system prompt of its own; each conversation repeats all of its history in every request and
//! grows by an answer and a question. Many go on at the same time. All of it comes from one seed.

use std::time::Duration;

use rand::{Rng, SeedableRng as _, rngs::SmallRng};

use crate::PromptCache;

/// Teams.
const TEAMS: usize = 8;
/// Milliseconds that a request takes, for each word of its answer.
const MS_A_WORD: u64 = 20;
/// Milliseconds between the beginnings of two conversations, on average.
const MS_APART: f64 = 1_500.0;

/// One request of a conversation.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it comes, after the first.
    pub at: Duration,
    /// How long its answer takes.
    pub lasts: Duration,
    /// Who asks.
    pub team: usize,
    /// What it is a turn of.
    pub conversation: usize,
    /// Roles and texts, the oldest first.
    pub turns: Vec<(&'static str, String)>,
}

impl Asked {
    /// The words of its prompt, each of which is a token here.
    pub fn words(&self) -> Vec<&str> {
        self.turns.iter().flat_map(|(_, text)| text.split_whitespace()).collect()
    }
}

/// Of how many tokens how many are cached where one cache of so many blocks meets every request: no choice of a place does
/// better.
pub fn at_best(work: &[Asked], blocks: usize) -> (usize, usize) {
    let mut cache = PromptCache::default();
    work.iter().fold((0, 0), |(all, cached), asked| {
        let words = asked.words();
        (all + words.len(), cached + cache.take(&words, blocks))
    })
}

/// The requests of so many conversations, in the order in which they come.
pub fn conversations(count: usize, seed: u64) -> Vec<Asked> {
    let mut random = SmallRng::seed_from_u64(seed);
    let systems: Vec<String> = (0..TEAMS).map(|_| words(&mut random, 300..1_500)).collect();
    let mut all = Vec::new();
    let mut begins = 0;
    for conversation in 0..count {
        begins += (-random.random::<f64>().max(1e-9).ln() * MS_APART) as u64;
        let team = random.random_range(0..TEAMS);
        let mut turns = vec![("system", systems[team].clone())];
        let mut at = begins;
        for _ in 0..random.random_range(2..=14) {
            turns.push(("user", words(&mut random, 20..200)));
            let answer = random.random_range(40..300);
            let lasts = answer as u64 * MS_A_WORD;
            all.push(Asked {
                at: Duration::from_millis(at),
                lasts: Duration::from_millis(lasts),
                team,
                conversation,
                turns: turns.clone(),
            });
            turns.push(("assistant", words(&mut random, answer..answer + 1)));
            // A program asks again at once, a person after a while.
            at += lasts + random.random_range(100..20_000);
        }
    }
    all.sort_by_key(|asked| asked.at);
    all
}

/// So many words that come again nowhere.
fn words(random: &mut SmallRng, count: std::ops::Range<usize>) -> String {
    (0..random.random_range(count)).map(|_| format!("{:06x} ", random.random::<u32>() >> 8)).collect()
}
