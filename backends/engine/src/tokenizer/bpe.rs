//! Byte-level BPE: text is split into words, the bytes of a word are joined by a ranked list of merges.

use std::collections::HashMap;

use crate::gguf::File;

use super::{
    Error,
    byte_chars::char_byte,
    merge::{Symbol, merge},
    pretokenise::Splitter,
    vocabulary::{Vocabulary, damaged, texts},
};

#[derive(Debug)]
pub(super) struct Bpe {
    splitter: Splitter,
    /// Rank and result by the pair of tokens.
    merges: HashMap<(u32, u32), (u32, u32)>,
}

impl Bpe {
    pub(super) fn from_file(file: &File, vocabulary: &Vocabulary) -> Result<Self, Error> {
        let splitter = Splitter::named(file.require("tokenizer.ggml.pre")?)?;
        // C0, C1 and F5 to FF occur in no UTF-8 text.
        let missing = (0..=0xF4).filter(|byte| !matches!(byte, 0xC0 | 0xC1)).find(|&b| vocabulary.byte(b).is_none());
        if let Some(byte) = missing {
            return damaged(format!("it has no token for the byte {byte:#04X}"));
        }
        let mut merges = HashMap::new();
        for (rank, text) in texts(file, "tokenizer.ggml.merges")?.iter().enumerate() {
            let fail = |why: &str| damaged(format!("merge {rank}, `{}`, {why}", text.escape_debug()));
            let Some((left, right)) = text.split_once(' ').filter(|(l, r)| !l.is_empty() && !r.is_empty()) else {
                return fail("is no pair with a space between");
            };
            let (Some(left), Some(right)) = (spelled(left), spelled(right)) else {
                return fail("holds a character that stands for no byte");
            };
            let joined = vocabulary.plain(&[&*left, &*right].concat());
            let (Some(left), Some(right), Some(joined)) = (vocabulary.plain(&left), vocabulary.plain(&right), joined)
            else {
                return fail("names what is no text token of the vocabulary");
            };
            merges.entry((left, right)).or_insert((rank as u32, joined));
        }
        Ok(Self { splitter, merges })
    }

    /// Whether texts start with the begin token if the file does not say.
    pub(super) fn adds_bos(&self) -> bool {
        self.splitter.adds_bos()
    }

    /// Appends the tokens of a text without special tokens in it.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) {
        for word in self.splitter.words(text) {
            let bytes = word.as_bytes();
            if self.splitter.whole_words()
                && let Some(id) = vocabulary.plain(bytes)
            {
                out.push(id);
                continue;
            }
            let symbols = bytes.iter().enumerate().map(|(i, &byte)| Symbol { at: i..i + 1, id: vocabulary.byte(byte) });
            let joined = merge(symbols.collect(), |left, right| self.merges.get(&(left.id?, right.id?)).copied());
            // Every byte of UTF-8 has a token, as `from_file` has checked.
            out.extend(joined.into_iter().filter_map(|symbol| symbol.id));
        }
    }
}

fn spelled(text: &str) -> Option<Vec<u8>> {
    text.chars().map(char_byte).collect()
}
