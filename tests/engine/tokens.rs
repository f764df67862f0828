//! The tokenizers of both engines.

use engine::{
    gguf::File,
    testing::{Llama, Vocabulary},
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
