//! The texts of a queue, computed: by an encoder, or by a decoder that is stopped before it writes.

use engine::{
    Token,
    encoder::{Pooling, Pools, Room, share, unit},
};

use crate::{encoder::Reader, model::Runner};

/// Texts of a batch at most, of encoders.
pub(crate) const MOST_TEXTS: usize = 64;
/// Tokens of a batch of several texts, and of a step of a decoder: more would use the machine little better, and others would
/// wait for them.
const BATCH: usize = 512;

/// An encoder.
#[derive(Debug)]
pub(crate) struct Encodes {
    reader: Reader,
    /// Whether rows are scores, and not vectors.
    scores: bool,
}

impl Encodes {
    pub(crate) fn new(reader: Reader, scores: bool) -> Self {
        Self { reader, scores }
    }
}

impl Pools for Encodes {
    fn room(&self) -> Room {
        Room { texts: MOST_TEXTS, tokens: BATCH }
    }

    fn pool(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        let told = |row: Vec<f32>| match self.scores {
            true => row.into_iter().map(share).collect(),
            false => unit(&row),
        };
        Ok(self.reader.read(texts).into_iter().map(told).collect())
    }
}

/// A decoder.
#[derive(Debug)]
pub(crate) struct Decodes {
    runner: Runner,
    pooling: Pooling,
}

impl Decodes {
    pub(crate) fn new(runner: Runner, pooling: Pooling) -> Self {
        Self { runner, pooling }
    }

    /// Whether a token's row becomes a part of its text's.
    fn asks(&self, position: usize, len: usize) -> bool {
        match self.pooling {
            Pooling::Mean => true,
            Pooling::First => position == 0,
            Pooling::Last => position + 1 == len,
        }
    }
}

impl Pools for Decodes {
    fn room(&self) -> Room {
        Room { texts: self.runner.limits().slots, tokens: BATCH }
    }

    /// Each text has a slot of its own, and leaves nothing behind.
    fn pool(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        let width = self.runner.model().shape().width;
        let tokens = |(slot, text): (usize, &Vec<u32>)| {
            let token = |(position, &id)| Token { slot, position, id, logits: self.asks(position, text.len()) };
            text.iter().enumerate().map(token).collect::<Vec<_>>()
        };
        let tokens: Vec<Token> = texts.iter().enumerate().flat_map(tokens).collect();
        // Of a mean; where one token alone asks its row comes back as it was.
        let mut sums = vec![(vec![0.0f64; width], 0.0); texts.len()];
        for step in tokens.chunks(BATCH) {
            let rows = self.runner.rows(step).chunks_exact(width);
            for (token, row) in step.iter().filter(|token| token.logits).zip(rows) {
                let (sum, count) = &mut sums[token.slot];
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                *count += 1.0;
            }
        }
        (0..texts.len()).for_each(|slot| self.runner.end(slot));
        let mean = |(sum, count): (Vec<f64>, f64)| sum.into_iter().map(|x| (x / count) as f32).collect::<Vec<_>>();
        Ok(sums.into_iter().map(mean).map(|row| unit(&row)).collect())
    }
}
