//! Splits text into the words that byte-level BPE works on.
//!
//! Models define the split by a regular expression with look-ahead; these are the same splits written by
//! hand, in linear time. Concatenated, the words are the text.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::Error;

/// The names that `tokenizer.ggml.pre` may have, with what they mean.
const NAMES: [(&str, Splitter); 19] = [
    ("gpt-2", Splitter::GPT2),
    ("olmo", Splitter::GPT2),
    ("exaone4", Splitter::GPT2),
    ("exaone", Splitter::SINGLE_DIGITS),
    ("starcoder", Splitter::SINGLE_DIGITS),
    ("smollm", Splitter::SINGLE_DIGITS),
    ("command-r", Splitter::SINGLE_DIGITS),
    ("refact", Splitter::SINGLE_DIGITS),
    ("llama3", Splitter::LLAMA3),
    ("llama-v3", Splitter::LLAMA3),
    ("llama-bpe", Splitter::LLAMA3),
    ("falcon3", Splitter::LLAMA3),
    ("falcon-h1", Splitter::LLAMA3),
    ("pixtral", Splitter::LLAMA3),
    ("dbrx", Splitter::DBRX),
    ("smaug-bpe", Splitter::DBRX),
    ("qwen2", Splitter::QWEN2),
    ("deepseek-r1-qwen", Splitter::QWEN2),
    ("default", Splitter::GPT2),
];

/// A way to split, and what goes with it in the models that use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Splitter {
    rules: Rules,
    whole_words: bool,
    adds_bos: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// Every digit by itself, and what lies between as GPT-2.
    SingleDigits,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,D}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3 { digits: usize },
}

impl Splitter {
    const GPT2: Self = Self { rules: Rules::Gpt2, whole_words: false, adds_bos: false };
    const SINGLE_DIGITS: Self = Self { rules: Rules::SingleDigits, whole_words: false, adds_bos: false };
    const LLAMA3: Self = Self { rules: Rules::Llama3 { digits: 3 }, whole_words: true, adds_bos: true };
    const DBRX: Self = Self { rules: Rules::Llama3 { digits: 3 }, whole_words: false, adds_bos: false };
    const QWEN2: Self = Self { rules: Rules::Llama3 { digits: 1 }, whole_words: false, adds_bos: false };

    pub(super) fn named(name: &str) -> Result<Self, Error> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, splitter)| *splitter).ok_or_else(|| {
            Error::UnknownSplitter { found: name.to_owned(), expected: NAMES.map(|(known, _)| known).join(", ") }
        })
    }

    /// Whether a word that is a token is taken as it is, without merging.
    pub(super) fn whole_words(&self) -> bool {
        self.whole_words
    }

    pub(super) fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    pub(super) fn words<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let rules = self.rules;
        let mut rest = text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (word, after) = rest.split_at(match rules {
                Rules::Gpt2 => gpt2(rest),
                Rules::SingleDigits => single_digits(rest),
                Rules::Llama3 { digits } => llama3(rest, digits),
            });
            rest = after;
            Some(word)
        })
    }
}

fn letter(char: char) -> bool {
    char.is_ascii_alphabetic() || !char.is_ascii() && char.general_category_group() == GeneralCategoryGroup::Letter
}

/// Numbers of every script: `char::is_numeric` is exactly Nd, Nl and No.
fn digit(char: char) -> bool {
    char.is_numeric()
}

fn sign(char: char) -> bool {
    !char.is_whitespace() && !letter(char) && !digit(char)
}

/// Bytes of the longest start of `text` whose characters all satisfy `test`.
fn run(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|char| !test(char)).unwrap_or(text.len())
}

fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    // The long s is an s whose case does not matter.
    let same = |char: char, end: char| {
        char == end || any_case && (char.to_ascii_lowercase() == end || end == 's' && char == 'ſ')
    };
    let len = |end: &str| {
        let mut chars = rest.chars();
        let found: Option<usize> =
            end.chars().map(|end| chars.next().filter(|&c| same(c, end)).map(char::len_utf8)).sum();
        found.map(|len| 1 + len)
    };
    ["s", "t", "re", "ve", "m", "ll", "d"].into_iter().find_map(len)
}

/// The last two alternatives: white space up to the last one before a word, or what there is.
fn white(text: &str) -> usize {
    let len = run(text, char::is_whitespace);
    let last = text[..len].chars().next_back().map_or(0, char::len_utf8);
    if len == text.len() || len == last { len } else { len - last }
}

fn gpt2(text: &str) -> usize {
    if let Some(len) = contraction(text, false) {
        return len;
    }
    let space = usize::from(text.starts_with(' '));
    for test in [letter, digit, sign] {
        let len = run(&text[space..], test);
        if len > 0 {
            return space + len;
        }
    }
    white(text)
}

fn single_digits(text: &str) -> usize {
    match text.find(digit) {
        Some(0) => text.chars().next().map_or(0, char::len_utf8),
        // Look-ahead ends at the digit: what lies before is split as if it were the whole text.
        Some(at) => gpt2(&text[..at]),
        None => gpt2(text),
    }
}

fn llama3(text: &str, digits: usize) -> usize {
    if let Some(len) = contraction(text, true) {
        return len;
    }
    let first = text.chars().next().map_or(0, |char| {
        let leads = !matches!(char, '\r' | '\n') && !letter(char) && !digit(char);
        if leads { char.len_utf8() } else { 0 }
    });
    let letters = run(&text[first..], letter);
    if letters > 0 {
        return first + letters;
    }
    let numbers = text.char_indices().take(digits).take_while(|(_, char)| digit(*char)).last();
    if let Some((at, char)) = numbers {
        return at + char.len_utf8();
    }
    let space = usize::from(text.starts_with(' '));
    let signs = run(&text[space..], sign);
    if signs > 0 {
        let end = space + signs;
        return end + run(&text[end..], |char| matches!(char, '\r' | '\n'));
    }
    let blank = &text[..run(text, char::is_whitespace)];
    blank.rfind(['\r', '\n']).map_or_else(|| white(text), |last| last + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use fancy_regex::Regex;
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        Splitter::named(name).unwrap().words(text).collect()
    }

    #[test]
    fn gpt2_splits_as_its_expression_says() {
        assert_eq!(
            split("gpt-2", "Hello  world's  12345 !?\n\n x I'LL"),
            ["Hello", " ", " world", "'s", " ", " 12345", " !?", "\n\n", " x", " I", "'", "LL"]
        );
        assert_eq!(split("gpt-2", "a   "), ["a", "   "]);
        assert_eq!(split("gpt-2", "\n a"), ["\n", " a"]);
        assert_eq!(split("gpt-2", "\t\ta"), ["\t", "\t", "a"]);
    }

    #[test]
    fn llama3_groups_digits_by_three_and_qwen2_takes_them_singly() {
        assert_eq!(split("llama-bpe", "in 12345 I'LL"), ["in", " ", "123", "45", " I", "'LL"]);
        assert_eq!(split("qwen2", "x123"), ["x", "1", "2", "3"]);
        assert_eq!(split("llama3", "a\n\n  b !!\n\nc\t(d)"), ["a", "\n\n", " ", " b", " !!\n\n", "c", "\t", "(d", ")"]);
        assert_eq!(split("llama3", "x  \n  \n  y"), ["x", "  \n  \n", " ", " y"]);
    }

    #[test]
    fn single_digits_stand_alone_and_end_the_words_around_them() {
        assert_eq!(split("smollm", "a 12  3b"), ["a", " ", "1", "2", "  ", "3", "b"]);
    }

    #[test]
    fn a_combining_mark_is_no_letter() {
        // The vowel sign ends the run of letters: `is_alphabetic` would have kept it.
        assert_eq!(split("gpt-2", "कि ab"), ["क", "ि", " ab"]);
        assert_eq!(split("llama3", "日本語 한국어"), ["日本語", " 한국어"]);
    }

    #[test]
    fn an_unknown_splitter_is_named() {
        let message = Splitter::named("tekken").unwrap_err().to_string();
        assert!(message.starts_with("text splitter `tekken`") && message.contains("llama-bpe"), "{message}");
    }

    /// What models define the split by.
    const EXPRESSIONS: [(&str, &str); 3] = [
        ("gpt-2", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
        (
            "llama3",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        (
            "qwen2",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
    ];

    fn check_expressions(text: &str) {
        static COMPILED: LazyLock<Vec<(&str, Regex)>> =
            LazyLock::new(|| EXPRESSIONS.map(|(name, text)| (name, Regex::new(text).unwrap())).into());
        for (name, expression) in &*COMPILED {
            let expected: Vec<&str> = expression.find_iter(text).map(|found| found.unwrap().as_str()).collect();
            assert_eq!(split(name, text), expected, "{name}");
        }
    }

    #[test]
    fn splits_are_those_of_the_expressions_on_hard_places() {
        for text in [
            "I'ſ 'LLama 'Re're it'S",
            "a\u{a0}\u{3000}b\u{85}",
            "١٢٣٤ ½²³ Ⅷ",
            "e\u{301} ǅ ª ᾼ",
            " \r\n\r\n  x\n",
            "!!\n \n?",
        ] {
            check_expressions(text);
        }
    }

    proptest! {
        #[test]
        fn words_are_never_empty_and_make_up_the_text(text in r"([\PC\s]|['a-z0-9 \r\n!]){0,40}") {
            for (name, splitter) in NAMES {
                let words: Vec<&str> = splitter.words(&text).collect();
                prop_assert!(words.iter().all(|word| !word.is_empty()), "{name}");
                prop_assert_eq!(words.concat(), text.as_str(), "{}", name);
            }
        }

        #[test]
        fn splits_are_those_of_the_expressions(text in r"([\PC\s]|['stredvmlSTLſ0-9 \r\n!?\t]){0,30}") {
            check_expressions(&text);
        }
    }
}
