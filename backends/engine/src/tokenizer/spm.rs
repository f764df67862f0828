//! SentencePiece-like: characters joined to the piece of the highest score, bytes for what has no piece.

use crate::gguf::{self, Array, File};

use super::{
    Error,
    merge::{Symbol, merge},
    vocabulary::{Vocabulary, damaged},
};

#[derive(Debug)]
pub(super) struct Spm {
    /// By token: less is joined earlier. From the scores, best first.
    ranks: Vec<u32>,
    adds_space: bool,
}

impl Spm {
    pub(super) fn from_file(file: &File, vocabulary: &Vocabulary) -> Result<Self, Error> {
        const KEY: &str = "tokenizer.ggml.scores";
        let array: &Array = file.require(KEY)?;
        let Some(scores) = array.floats().filter(|scores| scores.len() == vocabulary.len()) else {
            let found = format!("{} of {}", array.len(), array.kind().name());
            return Err(gguf::wrong(KEY, format!("{} floats, one a token", vocabulary.len()), found).into());
        };
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(gguf::wrong(KEY, "numbers", format!("NaN for token {id}")).into());
        }
        if vocabulary.unknown().is_none() && (0..=255).any(|byte| vocabulary.byte(byte).is_none()) {
            return damaged("it has neither an unknown token nor all 256 byte tokens".into());
        }
        Ok(Self {
            ranks: scores.into_iter().map(rank).collect(),
            adds_space: file.get("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
        })
    }

    pub(super) fn adds_space(&self) -> bool {
        self.adds_space
    }

    /// Appends the tokens of a text without special tokens in it.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, after_special: bool, out: &mut Vec<u32>) {
        let prefixed;
        let text = if self.adds_space && after_special && !text.is_empty() {
            prefixed = format!(" {text}");
            &prefixed
        } else {
            text
        };
        // `▁` in a text is read as a space, as SentencePiece does: the vocabulary has no other way to write it.
        let text = text.replace('▁', " ");
        let bytes = text.as_bytes();
        let symbols = text
            .char_indices()
            .map(|(at, char)| {
                let at = at..at + char.len_utf8();
                Symbol { id: vocabulary.plain(&bytes[at.clone()]), at }
            })
            .collect();
        let symbols = merge(symbols, |left, right| {
            let id = vocabulary.plain(&bytes[left.at.start..right.at.end])?;
            Some((self.ranks[id as usize], id))
        });
        for Symbol { at, id } in symbols {
            match id {
                Some(id) => out.push(id),
                None => {
                    let fallback: Option<Vec<u32>> = bytes[at].iter().map(|&byte| vocabulary.byte(byte)).collect();
                    out.extend(fallback.unwrap_or_else(|| vocabulary.unknown().into_iter().collect()));
                }
            }
        }
    }
}

/// An integer that is less where the score is higher.
fn rank(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0 becomes 0
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn ranks_run_against_scores() {
        let scores = [f32::INFINITY, 3.5, 1.0, 1e-30, 0.0, -1e-30, -1.0, -7.25, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert_eq!(rank(0.0), rank(-0.0));
    }
}
