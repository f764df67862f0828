//! Finds the tokens that are taken whole before any text is merged, and says who may write them.
//!
//! - Control tokens: only the chat template.
//! - User-defined tokens that the template writes too (`<think>`, `<tool_call>`): the template, and an
//!   assistant's own turn where the template looks for such a mark in it.
//! - Other user-defined tokens (runs of blanks, mostly): anyone; they are text.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    Error,
    vocabulary::{TokenType, Vocabulary},
};

/// A piece of a text: a token taken whole, or text to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    Special(u32),
    Text(&'a str),
}

#[derive(Debug)]
pub(super) struct Specials {
    /// What the template may write: everything.
    markup: Finder,
    /// What anyone may write.
    open: Finder,
    /// Texts that templates look for in an assistant's turn.
    marks: AhoCorasick,
    guarded: Vec<char>,
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Specials {
    pub(super) fn new(vocabulary: &Vocabulary, template: &str) -> Result<Self, Error> {
        let (mut all, mut open, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for id in 0..vocabulary.len() as u32 {
            let kind = vocabulary.kind(id);
            if !matches!(kind, Some(TokenType::Control | TokenType::UserDefined)) {
                continue;
            }
            let text = std::str::from_utf8(vocabulary.bytes(id)).unwrap_or_default();
            let Some(first) = text.chars().next() else { continue };
            all.push(id);
            if kind == Some(TokenType::UserDefined) && !(first.is_ascii_punctuation() && template.contains(text)) {
                open.push(id);
                continue;
            }
            closed.push(text);
        }
        let mut guarded: Vec<char> =
            closed.iter().flat_map(|text| [text.chars().next(), text.chars().next_back()]).flatten().collect();
        guarded.sort_unstable();
        guarded.dedup();
        let marks = quoted(template).filter(|mark| {
            mark.starts_with(&*guarded) && closed.iter().all(|token| *token == *mark || apart(mark, token))
        });
        // A mark that is a closed token itself must be one that is no control token.
        let control = |mark: &&str| {
            let is =
                |id: u32| vocabulary.kind(id) == Some(TokenType::Control) && vocabulary.bytes(id) == mark.as_bytes();
            all.iter().any(|&id| is(id))
        };
        let marks: Vec<&str> = marks.filter(|mark| !control(mark)).collect();
        Ok(Self {
            markup: Finder::new(vocabulary, all)?,
            open: Finder::new(vocabulary, open)?,
            marks: AhoCorasick::new(marks).map_err(too_many)?,
            guarded,
        })
    }

    pub(super) fn in_markup<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Fragment<'a>> {
        self.markup.fragments(text)
    }

    pub(super) fn in_text<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Fragment<'a>> {
        self.open.fragments(text)
    }

    pub(super) fn marks<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.marks.find_iter(text).map(|found| found.range())
    }

    pub(super) fn guarded(&self) -> &[char] {
        &self.guarded
    }
}

impl Finder {
    fn new(vocabulary: &Vocabulary, ids: Vec<u32>) -> Result<Self, Error> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(ids.iter().map(|&id| vocabulary.bytes(id)))
            .map_err(too_many)?;
        Ok(Self { automaton, ids })
    }

    fn fragments<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Fragment<'a>> {
        let mut found = self.automaton.find_iter(text);
        let mut from = 0;
        let mut waiting = None;
        std::iter::from_fn(move || {
            if let Some(special) = waiting.take() {
                return Some(special);
            }
            let Some(next) = found.next() else {
                let rest = &text[from..];
                from = text.len();
                return (!rest.is_empty()).then_some(Fragment::Text(rest));
            };
            let (before, special) = (&text[from..next.start()], Fragment::Special(self.ids[next.pattern().as_usize()]));
            from = next.end();
            if before.is_empty() {
                return Some(special);
            }
            waiting = Some(special);
            Some(Fragment::Text(before))
        })
    }
}

fn too_many(error: aho_corasick::BuildError) -> Error {
    Error::Damaged { reason: format!("its special tokens are too many: {error}") }
}

/// Short texts between quotes in a template. Where quotes do not pair up these are no literals, which does
/// no harm: a text is only used as a mark if it is apart from every control token.
fn quoted(template: &str) -> impl Iterator<Item = &str> {
    let between = |quote: char| template.split(quote).filter(|text| (3..=32).contains(&text.len()));
    between('\'').chain(between('"'))
}

/// Whether no text can hold `mark` and `token` so that they share a character.
fn apart(mark: &str, token: &str) -> bool {
    let overlaps =
        |left: &str, right: &str| right.char_indices().any(|(end, _)| end > 0 && left.ends_with(&right[..end]));
    !mark.contains(token) && !token.contains(mark) && !overlaps(mark, token) && !overlaps(token, mark)
}
