//! The tokenizers of both engines.

use std::{collections::HashSet, path::Path};

use engine::{
    gguf::File,
    testing::{Bert, Llama, Meta, Vocabulary, Writer},
    tokenizer::Tokenizer,
};

use crate::{demo, oracle::Oracle};

/// Words, numbers, code, scripts, odd spaces, things that look like control tokens, and characters outside every
/// vocabulary.
const TEXTS: [&str; 32] = [
    "a",
    " a",
    "  a  ",
    "Hello, world!",
    "hello hello the thing",
    "The quick brown fox jumps over the lazy dog.",
    "Which licence does Llama 3.3 have?",
    "don't you'll I'M we've it's HE'S",
    "3.14159 1000000 12 345 6789 0x1f",
    "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n",
    "\tindented\twith\ttabs\r\nand a line",
    "\n\n\n",
    "   \n   \n",
    "trailing spaces   ",
    "a  b   c    d",
    "naïve café über Straße",
    "안녕하세요, 오늘 날씨가 좋네요.",
    "こんにちは世界。カタカナと漢字",
    "你好，世界！今天天气很好。",
    "Привет, мир!",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "שלום עולם",
    "👩‍👩‍👧‍👦 🇩🇪 🤷🏽‍♂️",
    "e\u{301}a\u{308} combining",
    "\u{a0}no-break\u{2003}em space\u{200b}zero width",
    "<s>not a token</s> <|user|> [INST] <0x41> <unk>",
    "▁already▁escaped",
    "https://example.com/a/b?c=d&e=f#g",
    "user@example.com; C:\\path\\to\\file",
    "\u{0} \u{1} \u{7f} \u{ffff} \u{10ffff}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn check(name: &str, file: &File, oracle: &Oracle) {
    let tokenizer = Tokenizer::from_file(file).expect("a tokenizer that native reads");
    for text in TEXTS {
        assert_eq!(tokenizer.encode(text), oracle.tokens(text), "{name}: {text:?}");
    }
    let all = TEXTS.join(" ");
    assert_eq!(tokenizer.encode(&all), oracle.tokens(&all), "{name}: all at once");
}

#[test]
fn the_demo_tokenizer_gives_the_same_tokens() {
    let path = demo();
    check("demo", &File::open(&path).expect("a file in order"), &Oracle::load(&path));
}

#[test]
fn both_kinds_of_vocabulary_give_the_same_tokens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for vocabulary in [Vocabulary::Spm, Vocabulary::Bpe] {
        let path = folder.path().join(format!("{vocabulary:?}.gguf"));
        std::fs::write(&path, Llama { vocabulary, ..Llama::default() }.build()).expect("a file");
        check(&format!("{vocabulary:?}"), &File::open(&path).expect("a file in order"), &Oracle::load(&path));
    }
}

/// Word pieces in a file of their own, read by both.
struct Pieces {
    tokenizer: Tokenizer,
    oracle: Oracle,
}

impl Pieces {
    /// With these beside the usual ones, at the beginning of a word and within.
    fn of(more: impl IntoIterator<Item = String>, change: impl FnOnce(&mut Writer)) -> Self {
        let small = Bert { layers: 1, width: 4, feed_forward: 4, heads: 1, ..Bert::default() };
        let usual = Tokenizer::from_file(&File::read(small.build().into()).expect("a file")).expect("its tokenizer");
        let spelled = |id| String::from_utf8_lossy(usual.spelling(id)).replace(' ', "▁");
        let mut seen: HashSet<String> = (0..usual.len() as u32).map(spelled).collect();
        let each = more.into_iter().flat_map(|piece| [format!("▁{piece}"), piece]);
        let pieces = each.filter(|piece| seen.insert(piece.clone())).collect();
        let mut file = Bert { pieces, ..small }.writer();
        change(&mut file);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pieces.gguf");
        std::fs::write(&path, file.finish()).expect("a file");
        Self::read(&path)
    }

    fn read(path: &Path) -> Self {
        let file = File::open(path).expect("a file in order");
        Self { tokenizer: Tokenizer::from_file(&file).expect("a tokenizer"), oracle: Oracle::load(path) }
    }
}

fn normalised(file: &mut Writer, lowercase: bool, strip_accents: bool) {
    for (key, value) in [("lowercase", lowercase), ("strip_accents", strip_accents)] {
        file.set(&format!("tokenizer.ggml.normalizer.{key}"), Meta::Bool(value));
    }
}

#[test]
fn word_pieces_give_the_same_tokens_however_a_file_says_that_characters_are_normalised() {
    // The words of the texts and all their beginnings and ends, so that many are cut, and some are not spelled.
    let parts = TEXTS.iter().flat_map(|text| text.split(|char: char| !char.is_alphanumeric())).flat_map(|word| {
        let cuts = word.char_indices().map(|(at, _)| at).filter(|at| at % 3 != 2);
        cuts.flat_map(|at| [&word[..at], &word[at..]]).filter(|part| !part.is_empty()).map(str::to_owned)
    });
    let parts: Vec<String> = parts.flat_map(|part| [part.to_lowercase(), part]).collect();
    for (lowercase, strip_accents) in [(true, true), (true, false), (false, true), (false, false)] {
        let both = Pieces::of(parts.iter().cloned(), |file| normalised(file, lowercase, strip_accents));
        let all = TEXTS.join(" ");
        for text in TEXTS.into_iter().chain([all.as_str(), "", "[CLS] [SEP]"]) {
            assert_eq!(both.tokenizer.encode(text), both.oracle.tokens(text), "{lowercase} {strip_accents}: {text:?}");
        }
    }
}

/// Every character between two letters: as a part of their word, apart from it, or not there, and as what it is read.
#[test]
fn every_character_is_normalised_alike() {
    let all = || (0..=0x2_FFFF).filter_map(char::from_u32);
    let spelled = || all().filter(|char| char.is_alphanumeric()).map(String::from);
    for (lowercase, strip_accents) in [(true, true), (true, false), (false, false)] {
        let both = Pieces::of(spelled(), |file| normalised(file, lowercase, strip_accents));
        let text = |char: char| format!("a{char}b");
        let other: Vec<char> =
            all().filter(|char| both.tokenizer.encode(&text(*char)) != both.oracle.tokens(&text(*char))).collect();
        // Marks, signs and letters with a case that Unicode has had since 16, and llama.cpp not yet: 212 of them, the first in
        // the Hebrew block.
        let codes: Vec<u32> = other.iter().map(|char| u32::from(*char)).collect();
        assert!(codes.len() < 256 && codes.iter().all(|code| *code > 0x5C7), "{lowercase} {strip_accents}: {codes:x?}");
    }
}
