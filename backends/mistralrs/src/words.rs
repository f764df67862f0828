//! `tokenizer.json` as a tokenizer of ours.
//!
//! The crate `tokenizers` reads the file and encodes plain text. Added tokens - control tokens and marks such as `<think>` -
//! are taken out of what it encodes with: they are found by [`Tokenizer`] itself, which knows who may write them. Where one
//! is spelled by merging all the same, the text is encoded character by character.
//!
//! Read are byte-level vocabularies (`Ġ` for a space) and those with a byte fallback (`▁` for a space, `<0x0A>` for a byte):
//! those that language models have.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt};

use engine::tokenizer::{self, Encode, Foreign, TokenType, Tokenizer, byte_char};
use serde_json::Value;
use tokenizers::Tokenizer as Reader;

/// Why a tokenizer is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// It is no `tokenizer.json`.
    #[error("`tokenizer.json` cannot be read: {0}")]
    Unreadable(String),
    /// Its tokens are spelled in a way that is not known here.
    #[error("`tokenizer.json` has neither a byte-level decoder nor one with a byte fallback")]
    Spelling,
    /// It contradicts itself.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
}

/// What other files of the folder say of its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Roles {
    /// Text of the token that starts a text.
    pub(crate) bos: Option<String>,
    /// Text of the token that ends one.
    pub(crate) eos: Option<String>,
    /// More tokens that end an answer.
    pub(crate) ends: Vec<u32>,
}

/// How tokens spell what does not print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Bytes,
    Spaces,
}

/// Reads the text of a `tokenizer.json`, for a model with this chat template, if any.
///
/// # Errors
/// It cannot be read, or is of a kind that is not known here.
pub(crate) fn read(text: &str, roles: &Roles, template: &str) -> Result<Tokenizer, WordsError> {
    let mut json: Value = serde_json::from_str(text).map_err(unreadable)?;
    let spelling = spelling(&json["decoder"]).ok_or(WordsError::Spelling)?;
    let reader: Reader = text.parse().map_err(unreadable)?;
    json["added_tokens"] = Value::Array(Vec::new());
    // They would name tokens that are gone, and what they add is added by us.
    json["post_processor"] = Value::Null;
    json["truncation"] = Value::Null;
    json["padding"] = Value::Null;
    let plain: Reader = json.to_string().parse().map_err(unreadable)?;

    let (bos, eos) = (id(&reader, roles.bos.as_deref()), id(&reader, roles.eos.as_deref()));
    let tokens = tokens(&reader, spelling, bos, eos);
    let ends = ends(&tokens, eos, &roles.ends);
    let around = reader.encode("a", true).map_err(unreadable)?;
    let around = around.get_ids();
    let control: Vec<bool> = tokens.iter().map(|(kind, _)| *kind == TokenType::Control).collect();
    let first = plain.encode("a", false).map_err(unreadable)?.get_ids().first().copied();
    let adds_space = spelling == Spelling::Spaces
        && first.is_some_and(|id| tokens.get(id as usize).is_some_and(|t| t.1.starts_with(b" ")));
    let foreign = Foreign {
        bos,
        eos,
        ends,
        adds_bos: bos.is_some() && around.first().copied() == bos,
        adds_eos: eos.is_some() && around.last().copied() == eos,
        encoder: Box::new(Plain { reader: plain, control, spelling, adds_space }),
        tokens,
    };
    Ok(Tokenizer::foreign(foreign, template)?)
}

/// Which way its decoder reads tokens.
fn spelling(decoder: &Value) -> Option<Spelling> {
    match decoder["type"].as_str()? {
        "ByteLevel" => Some(Spelling::Bytes),
        "ByteFallback" | "Metaspace" => Some(Spelling::Spaces),
        "Sequence" => decoder["decoders"].as_array()?.iter().find_map(spelling),
        _ => None,
    }
}

fn id(reader: &Reader, text: Option<&str>) -> Option<u32> {
    text.and_then(|text| reader.token_to_id(text))
}

/// All tokens by id; an id that there is not is one that stands for nothing.
fn tokens(reader: &Reader, spelling: Spelling, bos: Option<u32>, eos: Option<u32>) -> Vec<(TokenType, Vec<u8>)> {
    let bytes: HashMap<char, u8> = (0..=255).map(|byte| (byte_char(byte), byte)).collect();
    let vocabulary = reader.get_vocab(true);
    let len = vocabulary.values().max().map_or(0, |last| *last as usize + 1);
    let mut tokens = vec![(TokenType::Unused, Vec::new()); len];
    for (text, id) in vocabulary {
        tokens[id as usize] = match (spelling, hex_byte(&text)) {
            (Spelling::Spaces, Some(byte)) => (TokenType::Byte, vec![byte]),
            (Spelling::Spaces, None) => (TokenType::Normal, text.replace('▁', " ").into_bytes()),
            (Spelling::Bytes, _) => (TokenType::Normal, spelled_by_bytes(&text, &bytes)),
        };
    }
    for (id, token) in reader.get_added_tokens_decoder() {
        let kind = if token.special { TokenType::Control } else { TokenType::UserDefined };
        if let Some(place) = tokens.get_mut(id as usize) {
            *place = (kind, token.content.into_bytes());
        }
    }
    // What begins and ends a text is no part of it, also where the file does not say so.
    for id in [bos, eos].into_iter().flatten() {
        tokens[id as usize].0 = TokenType::Control;
    }
    tokens
}

/// The tokens that end an answer: those that are told, and those of the names that models agree on.
fn ends(tokens: &[(TokenType, Vec<u8>)], eos: Option<u32>, told: &[u32]) -> Vec<u32> {
    let named = (0u32..).zip(tokens).filter(|(_, (kind, bytes))| {
        matches!(kind, TokenType::Control | TokenType::UserDefined)
            && std::str::from_utf8(bytes).is_ok_and(tokenizer::ends_an_answer)
    });
    let told = told.iter().copied().filter(|&id| (id as usize) < tokens.len());
    eos.into_iter().chain(told).chain(named.map(|(id, _)| id)).collect()
}

fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

fn spelled_by_bytes(text: &str, bytes: &HashMap<char, u8>) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(text.len());
    for char in text.chars() {
        match bytes.get(&char) {
            Some(byte) => spelled.push(*byte),
            // Vocabularies hold a few tokens that were added by their plain text.
            None => spelled.extend(char.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    spelled
}

fn unreadable(error: impl fmt::Display) -> WordsError {
    WordsError::Unreadable(error.to_string())
}

/// Encodes plain text.
struct Plain {
    reader: Reader,
    /// By id, whether a token is a control token.
    control: Vec<bool>,
    spelling: Spelling,
    adds_space: bool,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl Plain {
    /// The tokens of a text; none where it cannot be encoded, which is where the vocabulary has no token for it and none
    /// that stands for what is unknown.
    fn ids(&self, text: &str) -> Vec<u32> {
        self.reader.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    fn is_control(&self, id: u32) -> bool {
        self.control.get(id as usize).copied().unwrap_or(true)
    }
}

impl Encode for Plain {
    fn kind(&self) -> &'static str {
        match self.spelling {
            Spelling::Bytes => "gpt2",
            Spelling::Spaces => "llama",
        }
    }

    fn adds_space(&self) -> bool {
        self.adds_space
    }

    fn encode(&self, text: &str, _after_special: bool, out: &mut Vec<u32>) {
        let ids = self.ids(text);
        if !ids.iter().any(|&id| self.is_control(id)) {
            return out.extend(ids);
        }
        for char in text.chars() {
            let ids = self.ids(char.encode_utf8(&mut [0; 4]));
            out.extend(ids.into_iter().filter(|&id| !self.is_control(id)));
        }
    }
}
