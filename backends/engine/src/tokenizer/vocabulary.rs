//! The tokens of a model: what each spells, what kind it is, and which of them plain text may become.

use std::collections::HashMap;

use crate::gguf::{self, Array, File};

use super::{Error, byte_chars::char_byte};

/// More tokens than any vocabulary has.
const MAX_TOKENS: usize = 1 << 24;
/// Ends of an answer that files often name only by their text.
const ENDS: [&str; 13] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<|END_OF_TURN_TOKEN|>",
    "<EOT>",
    "[|endofturn|]",
];

/// Whether a control token of this name ends an answer, whatever else a file says of it.
pub fn ends_an_answer(name: &str) -> bool {
    ENDS.contains(&name)
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Text.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// Steers the model: never text.
    Control,
    /// Text that is taken as a whole before anything is merged.
    UserDefined,
    /// Nothing.
    Unused,
    /// One byte.
    Byte,
}

/// How a vocabulary writes what does not print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `▁` for a space, `<0x0A>` for a byte.
    Spaces,
    /// A stand-in character for each byte.
    Bytes,
}

#[derive(Debug)]
pub(super) struct Vocabulary {
    kinds: Vec<TokenType>,
    /// All spellings, end to end; `ends[id]` is where that of `id` ends.
    spellings: Vec<u8>,
    ends: Vec<usize>,
    /// Normal and user-defined tokens by their bytes. Others are not found by text: that is what keeps text
    /// from becoming a control token by merging.
    plain: HashMap<Box<[u8]>, u32>,
    /// Tokens of single bytes.
    byte: [Option<u32>; 256],
    unknown: Option<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    end: Vec<u32>,
    longest: usize,
}

impl Vocabulary {
    pub(super) fn from_file(file: &File, spelling: Spelling) -> Result<Self, Error> {
        let texts = texts(file, "tokenizer.ggml.tokens")?;
        if texts.is_empty() || texts.len() > MAX_TOKENS {
            return damaged(format!("{} tokens, expected 1 to {MAX_TOKENS}", texts.len()));
        }
        let mut kinds = kinds(file, texts.len())?;
        let named = |key: &str| -> Result<Option<u32>, Error> {
            let key = format!("tokenizer.ggml.{key}_token_id");
            match file.get::<u32>(&key)? {
                Some(id) if id as usize >= texts.len() => {
                    Err(gguf::wrong(&key, format!("an id below {}", texts.len()), id.to_string()).into())
                }
                id => Ok(id),
            }
        };
        let (bos, eos, unknown) = (named("bos")?, named("eos")?, named("unknown")?);
        let mut end: Vec<u32> = [eos, named("eot")?, named("eom")?].into_iter().flatten().collect();
        // Files without token types, or with careless ones, still say which tokens begin and end a text.
        for &id in bos.iter().chain(&end) {
            if kinds[id as usize] == TokenType::Normal {
                kinds[id as usize] = TokenType::Control;
            }
        }
        let special = |kind| matches!(kind, TokenType::Control | TokenType::UserDefined);
        end.extend((0..texts.len()).filter(|&i| special(kinds[i]) && ends_an_answer(&texts[i])).map(|i| i as u32));
        end.sort_unstable();
        end.dedup();

        let mut vocabulary = Self {
            spellings: Vec::new(),
            ends: Vec::with_capacity(texts.len()),
            plain: HashMap::with_capacity(texts.len()),
            byte: [None; 256],
            longest: char::MAX.len_utf8(), // the unknown token may stand for a character
            kinds,
            unknown,
            bos,
            eos,
            end,
        };
        for (id, text) in texts.iter().enumerate() {
            vocabulary.push(id as u32, text, spelling)?;
        }
        Ok(vocabulary)
    }

    /// The same of word pieces, and the token of what they do not spell. Their files need not name the tokens that begin and
    /// end a text, nor that one; then they have the numbers that they have in the vocabulary that all others were made after.
    pub(super) fn of_word_pieces(file: &File) -> Result<(Self, u32), Error> {
        let mut vocabulary = Self::from_file(file, Spelling::Spaces)?;
        let named = |key: &str, usual: u32| {
            let key = format!("tokenizer.ggml.{key}_token_id");
            let id = file.get::<u32>(&key)?.unwrap_or(usual);
            match vocabulary.kind(id) {
                Some(_) => Ok(id),
                None => Err(gguf::wrong(&key, format!("an id below {}", vocabulary.len()), id.to_string())),
            }
        };
        // The key is spelled so.
        let (bos, separator, unknown) = (named("bos", 101)?, named("seperator", 102)?, named("unknown", 100)?);
        for id in [bos, separator] {
            vocabulary.kinds[id as usize] = TokenType::Control;
        }
        (vocabulary.bos, vocabulary.eos, vocabulary.unknown) = (Some(bos), Some(separator), Some(unknown));
        Ok((vocabulary, unknown))
    }

    /// A vocabulary that something else has read; it is not looked up by text.
    pub(super) fn foreign(
        tokens: Vec<(TokenType, Vec<u8>)>,
        bos: Option<u32>,
        eos: Option<u32>,
        mut end: Vec<u32>,
    ) -> Result<Self, Error> {
        let len = tokens.len();
        if len == 0 || len > MAX_TOKENS {
            return damaged(format!("{len} tokens, expected 1 to {MAX_TOKENS}"));
        }
        if let Some(id) = bos.iter().chain(&eos).chain(&end).find(|&&id| id as usize >= len) {
            return damaged(format!("token {id} has a part, and its tokens are 0 to {}", len - 1));
        }
        end.sort_unstable();
        end.dedup();
        let mut vocabulary = Self {
            spellings: Vec::new(),
            ends: Vec::with_capacity(len),
            plain: HashMap::new(),
            byte: [None; 256],
            longest: char::MAX.len_utf8(),
            kinds: Vec::with_capacity(len),
            unknown: None,
            bos,
            eos,
            end,
        };
        for (kind, bytes) in tokens {
            if !matches!(kind, TokenType::Control | TokenType::Unused) {
                vocabulary.longest = vocabulary.longest.max(bytes.len());
            }
            vocabulary.kinds.push(kind);
            vocabulary.spellings.extend(bytes);
            vocabulary.ends.push(vocabulary.spellings.len());
        }
        Ok(vocabulary)
    }

    fn push(&mut self, id: u32, text: &str, spelling: Spelling) -> Result<(), Error> {
        let kind = self.kinds[id as usize];
        let bytes: Vec<u8> = match (kind, spelling) {
            (TokenType::Byte, _) => vec![hex_byte(text).ok_or_else(|| Error::Damaged {
                reason: format!("byte token {id} is spelled `{}`, expected `<0x00>` to `<0xFF>`", text.escape_debug()),
            })?],
            (TokenType::Normal, Spelling::Bytes) => spelled_by_bytes(text),
            (TokenType::Normal | TokenType::UserDefined, Spelling::Spaces) => text.replace('▁', " ").into_bytes(),
            _ => text.as_bytes().to_vec(),
        };
        match kind {
            TokenType::Byte => self.byte[usize::from(bytes[0])] = Some(id),
            TokenType::Normal | TokenType::UserDefined => {
                if let ([byte], Spelling::Bytes) = (&*bytes, spelling) {
                    self.byte[usize::from(*byte)].get_or_insert(id);
                }
                self.longest = self.longest.max(bytes.len());
                // Of tokens that are spelled alike the first is meant.
                self.plain.entry(bytes.clone().into()).or_insert(id);
            }
            TokenType::Unknown | TokenType::Control | TokenType::Unused => {}
        }
        self.spellings.extend(bytes);
        self.ends.push(self.spellings.len());
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn kind(&self, id: u32) -> Option<TokenType> {
        self.kinds.get(id as usize).copied()
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let Some(&end) = self.ends.get(id as usize) else { return &[] };
        let start = (id as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.spellings[start..end]
    }

    /// The token that plain text of these bytes may become.
    pub(super) fn plain(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest { None } else { self.plain.get(bytes).copied() }
    }

    pub(super) fn byte(&self, byte: u8) -> Option<u32> {
        self.byte[usize::from(byte)]
    }

    pub(super) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    pub(super) fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub(super) fn eos(&self) -> Option<u32> {
        self.eos
    }

    pub(super) fn is_end(&self, id: u32) -> bool {
        self.end.binary_search(&id).is_ok()
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

pub(super) fn damaged<T>(reason: String) -> Result<T, Error> {
    Err(Error::Damaged { reason })
}

/// An array of texts.
pub(super) fn texts(file: &File, key: &str) -> Result<Vec<String>, Error> {
    let array: &Array = file.require(key)?;
    array
        .texts()
        .ok_or_else(|| gguf::wrong(key, "an array of strings", format!("one of {}", array.kind().name())).into())
}

fn kinds(file: &File, len: usize) -> Result<Vec<TokenType>, Error> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let Some(array) = file.get::<&Array>(KEY)? else { return Ok(vec![TokenType::Normal; len]) };
    let Some(ids) = array.integers().filter(|ids| ids.len() == len) else {
        let found = format!("{} of {}", array.len(), array.kind().name());
        return Err(gguf::wrong(KEY, format!("{len} integers, one a token"), found).into());
    };
    ids.into_iter()
        .map(|id| match id {
            // 0 is "undefined" in the format; writers use it where they mean text.
            0 | 1 => Ok(TokenType::Normal),
            2 => Ok(TokenType::Unknown),
            3 => Ok(TokenType::Control),
            4 => Ok(TokenType::UserDefined),
            5 => Ok(TokenType::Unused),
            6 => Ok(TokenType::Byte),
            other => Err(gguf::wrong(KEY, "types from 0 to 6", other.to_string()).into()),
        })
        .collect()
}

fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| u8::from_str_radix(digits, 16).ok())?
}

fn spelled_by_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match char_byte(char) {
            Some(byte) => bytes.push(byte),
            // Vocabularies hold a few tokens that were added by their plain text.
            None => bytes.extend(char.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}
