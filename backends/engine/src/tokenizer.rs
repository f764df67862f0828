//! Text to tokens and back, as the model's file says: SentencePiece-like, byte-level BPE or word pieces, or what another
//! library reads.
//!
//! What a caller writes can never become a control token. [`Tokenizer::encode`] takes plain text and knows no
//! control tokens at all; only [`Tokenizer::encode_markup`] does, and it is for text that the chat template
//! wrote: `crate::template` keeps the caller's characters apart in it. Encoding takes O(n log n) time for
//! any text, one word of many megabytes included.

mod bpe;
mod byte_chars;
mod foreign;
mod merge;
mod pretokenise;
mod special;
mod spm;
mod utf8;
mod vocabulary;
mod wpm;

#[cfg(test)]
mod tests;

use crate::gguf::{self, File};

pub use byte_chars::byte_char;
pub use foreign::{Encode, Foreign};
pub use utf8::Utf8;
pub use vocabulary::{TokenType, ends_an_answer};

use bpe::Bpe;
use special::{Fragment, Specials};
use spm::Spm;
use vocabulary::Vocabulary;
use wpm::Wpm;

/// Why a file's tokenizer is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key is missing or of the wrong type.
    #[error(transparent)]
    File(#[from] gguf::Error),
    /// A kind of tokenizer that is not read yet.
    #[error("tokenizer `{found}` is not read yet, expected `llama`, `gpt2` or `bert`")]
    UnknownModel {
        /// What the file says.
        found: String,
    },
    /// A way to split text that is not known. Guessing would give other tokens than the model learned.
    #[error("text splitter `{found}` (tokenizer.ggml.pre) is not known, expected one of {expected}")]
    UnknownSplitter {
        /// What the file says.
        found: String,
        /// What is known.
        expected: String,
    },
    /// The vocabulary contradicts itself.
    #[error("the vocabulary is damaged: {reason}")]
    Damaged {
        /// How.
        reason: String,
    },
}

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    specials: Specials,
    model: Model,
    add_bos: bool,
    add_eos: bool,
}

#[derive(Debug)]
enum Model {
    Spm(Spm),
    Bpe(Bpe),
    Wpm(Wpm),
    Foreign(Box<dyn Encode>),
}

impl Tokenizer {
    /// Reads the tokenizer of a model file.
    ///
    /// # Errors
    /// When it is missing, damaged, or of a kind that is not read yet.
    pub fn from_file(file: &File) -> Result<Self, Error> {
        let kind: &str = file.require("tokenizer.ggml.model")?;
        let template = file.get::<&str>("tokenizer.chat_template")?.unwrap_or_default();
        let (vocabulary, model, bos_by_default) = match kind {
            "llama" => {
                let vocabulary = Vocabulary::from_file(file, vocabulary::Spelling::Spaces)?;
                let spm = Spm::from_file(file, &vocabulary)?;
                (vocabulary, Model::Spm(spm), true)
            }
            "gpt2" => {
                let vocabulary = Vocabulary::from_file(file, vocabulary::Spelling::Bytes)?;
                let bpe = Bpe::from_file(file, &vocabulary)?;
                let bos = bpe.adds_bos();
                (vocabulary, Model::Bpe(bpe), bos)
            }
            "bert" => {
                let (vocabulary, unknown) = Vocabulary::of_word_pieces(file)?;
                let wpm = Wpm::from_file(file, &vocabulary, unknown)?;
                (vocabulary, Model::Wpm(wpm), true)
            }
            other => return Err(Error::UnknownModel { found: other.to_owned() }),
        };
        let specials = Specials::new(&vocabulary, template)?;
        // A text of word pieces has both always, whatever else a file says.
        let always = matches!(model, Model::Wpm(_));
        let adds = |key, by_default| Ok::<_, Error>(always || file.get(key)?.unwrap_or(by_default));
        Ok(Self {
            add_bos: adds("tokenizer.ggml.add_bos_token", bos_by_default)? && vocabulary.bos().is_some(),
            add_eos: adds("tokenizer.ggml.add_eos_token", false)? && vocabulary.eos().is_some(),
            vocabulary,
            specials,
            model,
        })
    }

    /// A tokenizer that something else has read, for a model with this chat template, if any.
    ///
    /// # Errors
    /// When the vocabulary contradicts itself.
    pub fn foreign(foreign: Foreign, template: &str) -> Result<Self, Error> {
        let Foreign { tokens, bos, eos, ends, adds_bos, adds_eos, encoder } = foreign;
        let vocabulary = Vocabulary::foreign(tokens, bos, eos, ends)?;
        let specials = Specials::new(&vocabulary, template)?;
        Ok(Self {
            add_bos: adds_bos && vocabulary.bos().is_some(),
            add_eos: adds_eos && vocabulary.eos().is_some(),
            vocabulary,
            specials,
            model: Model::Foreign(encoder),
        })
    }

    /// Number of tokens; ids are below it.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are no tokens; never true of a tokenizer that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Plain text as tokens: no control tokens, whatever it says, and none added. (Word pieces have one for what they do not
    /// spell, which most of their files call a control token.)
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        self.fragments(self.specials.in_text(text), text, |_| None, &mut out);
        out
    }

    /// A prompt of plain text as the model expects it: [`Tokenizer::encode`] between the tokens that the file
    /// says to add.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        let mut out: Vec<u32> = self.bos().filter(|_| self.add_bos).into_iter().collect();
        out.extend(self.encode(text));
        out.extend(self.vocabulary.eos().filter(|_| self.add_eos));
        out
    }

    /// Text of a chat template as tokens, control tokens included.
    ///
    /// `restore` gives the character that a stand-in in `text` stands for, or `None` for a character that is
    /// itself. Stand-ins are put back only after control tokens were found.
    pub fn encode_markup(&self, text: &str, restore: impl Fn(char) -> Option<char>) -> Vec<u32> {
        let mut out = Vec::new();
        self.encode_markup_after(&mut out, text, restore);
        out
    }

    /// The same for a piece of such a text, behind what of it is in `out` already: it begins as a text does, but for the
    /// token that begins the whole.
    pub fn encode_markup_after(&self, out: &mut Vec<u32>, text: &str, restore: impl Fn(char) -> Option<char>) {
        let begins = out.is_empty();
        self.fragments(self.specials.in_markup(text), text, restore, out);
        if let Some(bos) = self.bos().filter(|bos| begins && self.add_bos && out.first() != Some(bos)) {
            out.insert(0, bos);
        }
    }

    fn fragments<'a>(
        &self,
        fragments: impl Iterator<Item = Fragment<'a>>,
        text: &str,
        restore: impl Fn(char) -> Option<char>,
        out: &mut Vec<u32>,
    ) {
        out.reserve(text.len() / 4);
        let mut after_special = true;
        for fragment in fragments {
            match fragment {
                Fragment::Special(id) => out.push(id),
                Fragment::Text(text) => {
                    let text: String = text.chars().map(|char| restore(char).unwrap_or(char)).collect();
                    match &self.model {
                        Model::Spm(spm) => spm.encode(&self.vocabulary, &text, after_special, out),
                        Model::Bpe(bpe) => bpe.encode(&self.vocabulary, &text, out),
                        Model::Wpm(wpm) => wpm.encode(&text, out),
                        Model::Foreign(foreign) => foreign.encode(&text, after_special, out),
                    }
                }
            }
            after_special = matches!(fragment, Fragment::Special(_));
        }
    }

    /// The bytes that a token adds to an answer: none for a control token.
    pub fn text(&self, id: u32) -> &[u8] {
        if self.is_control(id) { &[] } else { self.spelling(id) }
    }

    /// The bytes of a token by itself, a control token's name included. Empty for an id that there is not.
    pub fn spelling(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// The first token that is not the same in another tokenizer, by what it spells and by what it is for, if there is one. Where
    /// one has more tokens than the other, that is the first of those at the latest.
    pub fn first_difference(&self, other: &Self) -> Option<u32> {
        let (vocabulary, other) = (&self.vocabulary, &other.vocabulary);
        let len = vocabulary.len().max(other.len()) as u32;
        (0..len).find(|&id| vocabulary.kind(id) != other.kind(id) || vocabulary.bytes(id) != other.bytes(id))
    }

    /// What a token is for; none for an id that there is not.
    pub fn kind_of(&self, id: u32) -> Option<TokenType> {
        self.vocabulary.kind(id)
    }

    /// Whether a token steers the model and is never part of a text.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.kind(id) == Some(TokenType::Control)
    }

    /// The control tokens with a name that is looked for.
    pub(crate) fn controls(&self, named: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = u32> {
        (0..self.len() as u32).filter(move |&id| self.is_control(id) && named(self.spelling(id)))
    }

    /// Whether a token is a piece of text: no control token, and none that stands for what is unknown or unused.
    pub fn is_text(&self, id: u32) -> bool {
        matches!(self.vocabulary.kind(id), Some(TokenType::Normal | TokenType::UserDefined | TokenType::Byte))
    }

    /// Whether a token ends an answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.vocabulary.is_end(id)
    }

    /// What kind it is, in the words of GGUF: `llama`, `gpt2`, or what is not read here.
    pub fn kind(&self) -> &'static str {
        match &self.model {
            Model::Spm(_) => "llama",
            Model::Bpe(_) => "gpt2",
            Model::Wpm(_) => "bert",
            Model::Foreign(foreign) => foreign.kind(),
        }
    }

    /// Whether a prompt begins with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether a prompt ends with [`Tokenizer::eos`].
    pub fn adds_eos(&self) -> bool {
        self.add_eos
    }

    /// The token that starts a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos()
    }

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.eos()
    }

    /// Bytes of the longest token: a text of `n` times that many bytes has at least `n` tokens. No number of bytes where a
    /// text of any length may be one token, as with word pieces.
    pub fn longest(&self) -> usize {
        match &self.model {
            Model::Wpm(_) => usize::MAX,
            _ => self.vocabulary.longest(),
        }
    }

    /// Whether text that follows a control token, or nothing, starts with a space that the caller did not
    /// write, and so must lose it when it is decoded.
    pub fn adds_space(&self) -> bool {
        match &self.model {
            Model::Spm(spm) => spm.adds_space(),
            Model::Bpe(_) | Model::Wpm(_) => false,
            Model::Foreign(foreign) => foreign.adds_space(),
        }
    }

    /// The characters that a control token of this model starts or ends with. A text that has none of them
    /// cannot spell a control token, however it is cut or joined.
    pub fn guarded(&self) -> &[char] {
        self.specials.guarded()
    }

    /// The places in an assistant's text of marks that the template looks for, such as `</think>`. None of
    /// them is a control token or can share a character with one.
    pub fn spelled_by_assistants<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        self.specials.marks(text)
    }
}
