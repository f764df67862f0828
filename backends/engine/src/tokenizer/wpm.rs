//! Word pieces, as BERT has them: a text is normalised and parted into words, and each word is cut into the longest pieces
//! there are, from its beginning on. A word that cannot be cut so is the unknown token.
//!
//! What is done to characters is what llama.cpp does, so that a model sees here what it sees there. Where the makers of
//! BERT take a character apart into several (a Korean syllable into its letters) the first of them alone stays.

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::gguf::File;

use super::{
    Error,
    vocabulary::{TokenType, Vocabulary, damaged},
};

/// Bytes of a piece. At every place of a text so many are looked at, at most.
const LONGEST: usize = 1 << 10;

/// Scripts without spaces: each of their characters is a word. By blocks, as the library has them that such models come from.
const WORDS_OF_THEIR_OWN: [(char, char); 8] = [
    ('\u{3400}', '\u{4DBF}'),
    ('\u{4E00}', '\u{9FFF}'),
    ('\u{F900}', '\u{FAFF}'),
    ('\u{20000}', '\u{2A6DF}'),
    ('\u{2A700}', '\u{2B73F}'),
    ('\u{2B740}', '\u{2B81F}'),
    ('\u{2B920}', '\u{2CEAF}'),
    ('\u{2F800}', '\u{2FA1F}'),
];

#[derive(Debug)]
pub(super) struct Wpm {
    pieces: AhoCorasick,
    /// Their tokens.
    ids: Vec<u32>,
    unknown: u32,
    lowercase: bool,
    strip_accents: bool,
}

impl Wpm {
    /// `unknown`: the token of words that cannot be cut into pieces.
    pub(super) fn from_file(file: &File, vocabulary: &Vocabulary, unknown: u32) -> Result<Self, Error> {
        let text = |id: &u32| matches!(vocabulary.kind(*id), Some(TokenType::Normal | TokenType::UserDefined));
        let ids = (0..vocabulary.len() as u32).filter(text).filter(|&id| !vocabulary.bytes(id).is_empty());
        let ids: Vec<u32> = ids.collect();
        if let Some(id) = ids.iter().find(|&&id| vocabulary.bytes(id).len() > LONGEST) {
            return damaged(format!(
                "piece {id} has {} bytes, expected at most {LONGEST}",
                vocabulary.bytes(*id).len()
            ));
        }
        let pieces = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Anchored)
            .build(ids.iter().map(|&id| vocabulary.bytes(id)))
            .map_err(|error| Error::Damaged { reason: format!("its pieces are too many: {error}") })?;
        let lowercase = file.get("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
        let strip_accents = file.get("tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercase);
        Ok(Self { pieces, ids, unknown, lowercase, strip_accents })
    }

    /// Appends the tokens of a text without special tokens in it.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        // A space before a word is a part of its first piece.
        let mut word = String::from(" ");
        for char in text.chars() {
            let char = if self.strip_accents { base(char) } else { char };
            if char.is_whitespace() {
                self.end(&mut word, out);
                continue;
            }
            let group = char.general_category_group();
            if is_dropped(char, group) || self.strip_accents && group == GeneralCategoryGroup::Mark {
                continue;
            }
            let shown = if self.lowercase { char.to_lowercase().next().unwrap_or(char) } else { char };
            // Vocabularies write a space so, and a text has no other way to ask for it.
            let shown = if shown == '▁' { ' ' } else { shown };
            if is_a_word(char, group) {
                self.end(&mut word, out);
                word.push(shown);
                self.end(&mut word, out);
            } else {
                word.push(shown);
            }
        }
        self.end(&mut word, out);
    }

    /// Appends the tokens of a word, if there is one, and begins the next.
    fn end(&self, word: &mut String, out: &mut Vec<u32>) {
        let before = out.len();
        let mut at = if word.len() == 1 { word.len() } else { 0 };
        while at < word.len() {
            let rest = Input::new(&*word).span(at..word.len()).anchored(Anchored::Yes);
            let Some(piece) = self.pieces.find(rest) else {
                out.truncate(before);
                out.push(self.unknown);
                break;
            };
            out.push(self.ids[piece.pattern().as_usize()]);
            at = piece.end();
        }
        word.truncate(1);
    }
}

/// The first of the characters that one is made of.
fn base(char: char) -> char {
    let mut first = None;
    decompose_canonical(char, |part| {
        first.get_or_insert(part);
    });
    first.unwrap_or(char)
}

/// Whether a character is no part of a text: one that steers, or stands for what could not be read.
fn is_dropped(char: char, group: GeneralCategoryGroup) -> bool {
    let unassigned = || char.general_category() == GeneralCategory::Unassigned;
    matches!(char, '\0' | char::REPLACEMENT_CHARACTER) || group == GeneralCategoryGroup::Other && !unassigned()
}

/// Whether a character is a word by itself, whatever is beside it.
fn is_a_word(char: char, group: GeneralCategoryGroup) -> bool {
    match group {
        GeneralCategoryGroup::Punctuation => true,
        GeneralCategoryGroup::Symbol => char.is_ascii(),
        _ => WORDS_OF_THEIR_OWN.iter().any(|&(first, last)| (first..=last).contains(&char)),
    }
}
