//! Asks an engine, and says how fast it answered.
//!
//! A prompt is of tokens at random, as is what follows: nothing in a text may help an engine that guesses how it goes on, and
//! the tokens that would end it are ruled out, so that answers are as long as was asked for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use backends::{Api, Backend, Event, Input, Payload, Prompt, Request, Sampling};
use bytes::Bytes;
use engine::{gguf::File, tokenizer::Tokenizer};
use futures_util::{StreamExt as _, future::try_join_all};
use tokio::runtime::{Builder, Runtime};

/// Tokens of a prompt are some of these many, which every vocabulary has, from the first on that is no steering token in one.
const FIRST_TOKEN: u64 = 5;
const TOKENS: u64 = 200;
/// What no token is drawn with.
const NEVER: f32 = -1e9;

/// See the module.
pub(super) struct Asker {
    runtime: Runtime,
    /// Tokens of an answer.
    answer: u32,
    /// Tokens that would end one.
    ends: Vec<u32>,
}

/// How an answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// Until its first token was there.
    pub(super) first: Duration,
    /// Tokens in a second from then on.
    pub(super) tokens_per_second: f64,
}

/// When an answer's pieces came.
#[derive(Debug)]
struct Came {
    at: Vec<Instant>,
    /// Tokens in all of them.
    tokens: u64,
}

impl Asker {
    /// For answers of so many tokens by the model of a file, if it has one.
    pub(super) fn new(file: Option<&File>, answer: u32) -> std::io::Result<Self> {
        let tokenizer = file.and_then(|file| Tokenizer::from_file(file).ok());
        let ends = tokenizer.map_or_else(Vec::new, |it| (0..it.len() as u32).filter(|&id| it.is_end(id)).collect());
        Ok(Self { runtime: Builder::new_current_thread().enable_all().build()?, answer, ends })
    }

    /// One answer to a prompt of so many tokens, which is another one for another key.
    pub(super) fn one(&self, backend: &dyn Backend, key: u64, tokens: u32) -> anyhow::Result<Answered> {
        let began = Instant::now();
        let came = self.runtime.block_on(self.ask(backend, key, tokens))?;
        Ok(Answered { first: came.at[0] - began, tokens_per_second: rate(&[came]) })
    }

    /// Tokens a second of several answers together, while all are being written.
    pub(super) fn together(&self, backend: &dyn Backend, streams: u32, round: u32, tokens: u32) -> anyhow::Result<f64> {
        let key = |stream| (u64::from(streams) << 40) + (u64::from(round) << 20) + u64::from(stream);
        let all = try_join_all((0..streams).map(|stream| self.ask(backend, key(stream), tokens)));
        Ok(rate(&self.runtime.block_on(all)?))
    }

    async fn ask(&self, backend: &dyn Backend, key: u64, tokens: u32) -> anyhow::Result<Came> {
        let mut events = backend.generate(Arc::new(self.request(key, tokens))).await?;
        let mut came = Came { at: Vec::new(), tokens: 0 };
        while let Some(event) = events.next().await {
            match event? {
                Event::Delta(_) => came.at.push(Instant::now()),
                Event::Usage(usage) => came.tokens = usage.completion_tokens,
                _ => {}
            }
        }
        if came.at.len() < 2 || came.tokens < 2 {
            bail!("its answer ends at once, and so tells no speed; another --prompt-tokens gives another prompt");
        }
        Ok(came)
    }

    fn request(&self, key: u64, tokens: u32) -> Request {
        let prompt = (0..u64::from(tokens)).map(|at| (FIRST_TOKEN + mixed(mixed(key) ^ at) % TOKENS) as u32).collect();
        let payload =
            Payload::new(Bytes::from_static(br#"{"model":"bench"}"#)).unwrap_or_else(|_| unreachable!("it is JSON"));
        let logit_bias = self.ends.iter().map(|&id| (id, NEVER)).collect();
        Request {
            sampling: Sampling { logit_bias, seed: Some(key), ..Sampling::default() },
            max_tokens: Some(self.answer),
            stream: true,
            ..Request::new("bench", Api::Completions, payload, Input::Prompts(vec![Prompt::Tokens(prompt)]))
        }
    }
}

/// A number that says nothing of those of its neighbours (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Tokens a second from when the last answer began to when the first one ended; of answers that were not written together,
/// from when the first began to when the last ended. A piece has as many tokens as others of its answer have on average: mostly
/// one.
fn rate(all: &[Came]) -> f64 {
    let firsts = || all.iter().filter_map(|came| came.at.first()).copied();
    let lasts = || all.iter().filter_map(|came| came.at.last()).copied();
    let together = firsts().max().zip(lasts().min()).filter(|(from, to)| from < to);
    let Some((from, to)) = together.or_else(|| firsts().min().zip(lasts().max())) else { return 0.0 };
    let tokens = |came: &Came| {
        let pieces = came.at.iter().filter(|&&at| from < at && at <= to).count();
        came.tokens as f64 * pieces as f64 / came.at.len() as f64
    };
    all.iter().map(tokens).sum::<f64>() / to.saturating_duration_since(from).as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn came(at: &[u64], tokens: u64) -> Came {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        Came { at: at.iter().map(|millis| *BEGAN + Duration::from_millis(*millis)).collect(), tokens }
    }

    #[test]
    fn a_rate_is_of_the_time_in_which_all_wrote() {
        // Four tokens after the first, 10 ms each.
        assert!((rate(&[came(&[100, 110, 120, 130, 140], 5)]) - 100.0).abs() < 1e-6);
        // Pieces of two tokens.
        assert!((rate(&[came(&[100, 110, 120, 130, 140], 10)]) - 200.0).abs() < 1e-6);
        // From 120 to 140: two pieces each of the first two, and one of the last.
        let three =
            [came(&[100, 110, 120, 130, 140], 5), came(&[110, 120, 130, 140, 150], 5), came(&[120, 140, 160], 3)];
        assert!((rate(&three) - 5.0 / 0.02).abs() < 1e-6, "{}", rate(&three));
        // One after the other: all that came behind the first piece.
        let apart = [came(&[100, 110], 2), came(&[120, 130, 140], 3)];
        assert!((rate(&apart) - 4.0 / 0.04).abs() < 1e-6, "{}", rate(&apart));
    }

    #[test]
    fn prompts_of_other_keys_part_at_once_and_the_same_key_gives_the_same() {
        let asker = Asker::new(None, 4).unwrap();
        let prompt = |key| match asker.request(key, 50).input {
            Input::Prompts(prompts) => prompts,
            other => panic!("{other:?}"),
        };
        let firsts = |key| match &prompt(key)[0] {
            Prompt::Tokens(ids) => ids[..16].to_vec(),
            Prompt::Text(_) => panic!("a text"),
        };
        assert_eq!(prompt(7), prompt(7));
        assert_eq!((0..2_000).map(firsts).collect::<HashSet<_>>().len(), 2_000);
    }

    #[test]
    fn what_would_end_an_answer_is_never_drawn() {
        let file = File::from_static(crate::engines::DEMO).unwrap();
        let asker = Asker::new(Some(&file), 4).unwrap();
        let tokenizer = Tokenizer::from_file(&file).unwrap();
        let eos = tokenizer.eos().unwrap();
        assert!(asker.request(1, 8).sampling.logit_bias.contains(&(eos, NEVER)));
    }
}
