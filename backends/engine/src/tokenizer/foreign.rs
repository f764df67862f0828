//! A tokenizer that another library reads: its vocabulary as data, and what it does with plain text.
//!
//! Control tokens stay this crate's business: the text that an encoder is given has none in it, whatever it spells, and an
//! encoder that finds some all the same has to be told not to.

use std::fmt;

use super::TokenType;

/// Turns plain text into tokens.
pub trait Encode: Send + Sync + fmt::Debug {
    /// What kind of tokenizer it is, in the words of GGUF.
    fn kind(&self) -> &'static str;

    /// Whether text that follows a control token, or nothing, starts with a space that nobody wrote.
    fn adds_space(&self) -> bool;

    /// Appends the tokens of a text without control tokens: none of them is one either, and none is added.
    /// `after_special`: it follows a control token, or nothing.
    fn encode(&self, text: &str, after_special: bool, out: &mut Vec<u32>);
}

/// What there is to know of such a tokenizer.
#[derive(Debug)]
pub struct Foreign {
    /// By id, the kind of each token and the bytes that it adds to a text; a control token's name.
    pub tokens: Vec<(TokenType, Vec<u8>)>,
    /// The token that starts a text.
    pub bos: Option<u32>,
    /// The token that ends a text.
    pub eos: Option<u32>,
    /// All tokens that end an answer.
    pub ends: Vec<u32>,
    /// Whether a prompt begins with `bos`.
    pub adds_bos: bool,
    /// Whether a prompt ends with `eos`.
    pub adds_eos: bool,
    /// What reads plain text.
    pub encoder: Box<dyn Encode>,
}
