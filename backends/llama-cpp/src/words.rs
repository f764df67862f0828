//! The tokenizer of a model: ours where it reads the file's, as it gives llama.cpp's tokens and bounds its time; else
//! llama.cpp's own.

use std::sync::Arc;

use engine::{
    gguf::{self, File},
    tokenizer::{Encode, Error, Foreign, TokenType, Tokenizer},
};
use llama_cpp_2::{
    model::LlamaModel,
    token::LlamaToken,
    token_type::{LlamaTokenAttr, LlamaTokenAttrs},
};

/// Bytes of text that llama.cpp splits at once. It splits most texts by regular expressions of the C++ library, which take
/// some hundred bytes of stack for each character of a word.
const PIECE: usize = 1 << 10;

/// The tokenizer of a file that llama.cpp has read.
///
/// # Errors
/// When the vocabulary contradicts itself.
pub(crate) fn tokenizer(file: &File, model: &Arc<LlamaModel>) -> Result<Tokenizer, Error> {
    match Tokenizer::from_file(file) {
        Ok(tokenizer) if tokenizer.len() == model.n_vocab().max(0) as usize => Ok(tokenizer),
        Ok(_) | Err(Error::UnknownModel { .. } | Error::UnknownSplitter { .. }) => theirs(file, model),
        Err(error) => Err(error),
    }
}

fn theirs(file: &File, model: &Arc<LlamaModel>) -> Result<Tokenizer, Error> {
    let vocab = model.vocab();
    let token = |id: LlamaToken| u32::try_from(id.0).ok();
    let tokens = (0..vocab.n_tokens()).map(LlamaToken).map(|id| {
        let kind = kind(vocab.attr(id));
        (kind, vocab.token_to_piece(id, true, None))
    });
    let foreign = Foreign {
        tokens: tokens.collect(),
        bos: token(vocab.bos()),
        eos: token(vocab.eos()),
        ends: (0..vocab.n_tokens()).map(LlamaToken).filter(|&id| vocab.is_eog(id)).filter_map(token).collect(),
        adds_bos: vocab.should_add_bos(),
        adds_eos: vocab.should_add_eos(),
        encoder: Box::new(Theirs { adds_space: adds_space(model), model: Arc::clone(model) }),
    };
    Tokenizer::foreign(foreign, file.get::<&str>("tokenizer.chat_template")?.unwrap_or_default())
}

/// Whether the tokens of a file are words and their pieces, as BERT has them.
pub(crate) fn are_word_pieces(file: &File) -> Result<bool, gguf::Error> {
    Ok(file.get::<&str>("tokenizer.ggml.model")? == Some("bert"))
}

/// Whether a text that begins is given a space: found out by giving it one.
fn adds_space(model: &LlamaModel) -> bool {
    let vocab = model.vocab();
    let text: Vec<u8> =
        vocab.tokenize(b"a", false, false).into_iter().flat_map(|id| vocab.token_to_piece(id, false, None)).collect();
    text.starts_with(b" ")
}

fn kind(attributes: LlamaTokenAttrs) -> TokenType {
    let kinds = [
        (LlamaTokenAttr::Control, TokenType::Control),
        (LlamaTokenAttr::UserDefined, TokenType::UserDefined),
        (LlamaTokenAttr::Byte, TokenType::Byte),
        (LlamaTokenAttr::Unused, TokenType::Unused),
        (LlamaTokenAttr::Unknown, TokenType::Unknown),
    ];
    kinds.into_iter().find(|(attribute, _)| attributes.contains(*attribute)).map_or(TokenType::Normal, |(_, kind)| kind)
}

/// llama.cpp's way with plain text.
struct Theirs {
    model: Arc<LlamaModel>,
    adds_space: bool,
}

impl std::fmt::Debug for Theirs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Theirs")
    }
}

impl Encode for Theirs {
    fn kind(&self) -> &'static str {
        "llama.cpp"
    }

    fn adds_space(&self) -> bool {
        self.adds_space
    }

    fn encode(&self, text: &str, after_special: bool, out: &mut Vec<u32>) {
        let vocab = self.model.vocab();
        let mut begins = after_special;
        for piece in pieces(text, PIECE) {
            let tokens = vocab.tokenize(piece.as_bytes(), false, false);
            let mut ids: Vec<u32> = tokens.into_iter().filter_map(|token| u32::try_from(token.0).ok()).collect();
            if self.adds_space && !begins {
                // It takes each piece for the beginning of a text. A piece with a space of its own needs none of its.
                ids = without_the_space(&vocab, piece, ids);
            }
            out.extend(ids.into_iter().filter(|&id| !vocab.is_control(LlamaToken(id as i32))));
            begins = false;
        }
    }
}

/// The tokens of a piece that continues a text, without the space that was put before it: those of the piece behind a
/// character that joins with nothing.
fn without_the_space(vocab: &llama_cpp_2::vocab::LlamaVocab<'_>, piece: &str, ids: Vec<u32>) -> Vec<u32> {
    const APART: &str = "\n";
    let behind = vocab.tokenize(format!("{APART}{piece}").as_bytes(), false, false);
    let alone = vocab.tokenize(APART.as_bytes(), false, false);
    match behind.strip_prefix(&*alone) {
        Some(rest) => rest.iter().filter_map(|token| u32::try_from(token.0).ok()).collect(),
        None => ids,
    }
}

/// A text in pieces of at most `most` bytes, cut before a space where there is one: there words begin, for most splitters.
fn pieces(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, left) = rest.split_at(cut(rest, most));
        rest = left;
        Some(piece)
    })
}

fn cut(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let end = (1..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    // Before a single space that a word follows.
    let begins = |at: usize| {
        let bytes = text.as_bytes();
        bytes[at] == b' '
            && !bytes[at - 1].is_ascii_whitespace()
            && bytes.get(at + 1).is_some_and(|byte| !byte.is_ascii_whitespace())
    };
    (1..end).rev().find(|&at| begins(at)).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_before_words_and_whole_characters_and_nothing_is_lost() {
        assert_eq!(pieces("one two three", 8).collect::<Vec<_>>(), ["one two", " three"]);
        assert_eq!(pieces("éééé", 3).collect::<Vec<_>>(), ["é", "é", "é", "é"]);
        assert_eq!(pieces("", 3).count(), 0);
        let text = "word  x\n y".repeat(100);
        for most in [4, 5, 7, 64] {
            assert_eq!(pieces(&text, most).collect::<String>(), text);
            assert!(pieces(&text, most).all(|piece| piece.len() <= most));
        }
    }
}
