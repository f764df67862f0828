//! Keeps the characters of callers apart from those of the template.
//!
//! Each character that a control token starts or ends with gets a stand-in: a private-use character that
//! occurs nowhere in the conversation or the template. Text with stand-ins contains neither end of any
//! control token, so no way of cutting and joining such texts can make one. Role names stay as they are;
//! they are from a fixed list.

use std::collections::HashSet;

use minijinja::{Value, value::ValueKind};

use crate::tokenizer::Tokenizer;

/// Stand-ins come from here: the last plane, which is private use.
const PLANE: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10FFFD}';

pub(super) struct Guard<'a> {
    tokenizer: &'a Tokenizer,
    /// Character and stand-in, sorted by character.
    pairs: Vec<(char, char)>,
    /// Private-use characters that stand somewhere.
    taken: HashSet<char>,
}

impl<'a> Guard<'a> {
    pub(super) fn new<'v>(tokenizer: &'a Tokenizer, seen: impl Iterator<Item = &'v Value>, template: &str) -> Self {
        let mut taken: HashSet<char> = HashSet::new();
        let mut note = |text: &str| taken.extend(text.chars().filter(|char| PLANE.contains(char)));
        note(template);
        seen.for_each(|value| each_text(value, &mut note));
        taken.extend(tokenizer.guarded());
        // A conversation that uses the whole plane leaves some characters without a stand-in; those are
        // dropped from it by `hide`, never passed through.
        let free = PLANE.rev().filter(|char| !taken.contains(char)).map(Some).chain(std::iter::repeat(None));
        let pairs = tokenizer.guarded().iter().copied().zip(free);
        let pairs: Vec<_> = pairs.map(|(char, stand_in)| (char, stand_in.unwrap_or('\0'))).collect();
        taken.extend(pairs.iter().map(|(_, stand_in)| *stand_in));
        Self { tokenizer, pairs, taken }
    }

    /// Characters that occur nowhere and stand for nothing: each may mark a place.
    pub(super) fn marks(&self) -> impl Iterator<Item = char> {
        PLANE.filter(|char| !self.taken.contains(char))
    }

    /// The value with stand-ins in all its texts, keys included.
    pub(super) fn hide(&self, value: &Value) -> Value {
        map_texts(value, &|text| self.text(text))
    }

    /// The pairs of a map, with stand-ins in the values. The keys are names that the template asks for.
    pub(super) fn hidden_pairs(&self, map: &Value) -> Vec<(Value, Value)> {
        pairs(map).into_iter().map(|(key, value)| (key, self.hide(&value))).collect()
    }

    /// Likewise for an assistant's turn, which may hold marks that the model itself writes, such as
    /// `</think>`: templates look for them. No control token begins or ends within such a mark.
    pub(super) fn hide_assistant(&self, value: &Value) -> Value {
        map_texts(value, &|text| {
            let (mut out, mut from) = (String::with_capacity(text.len()), 0);
            for mark in self.tokenizer.spelled_by_assistants(text) {
                out.push_str(&self.text(&text[from..mark.start]));
                out.push_str(&text[mark.clone()]);
                from = mark.end;
            }
            out.push_str(&self.text(&text[from..]));
            out
        })
    }

    /// What a stand-in stands for.
    pub(super) fn restore(&self, char: char) -> Option<char> {
        if !PLANE.contains(&char) {
            return None;
        }
        self.pairs.iter().find(|(_, stand_in)| *stand_in == char).map(|(char, _)| *char)
    }

    fn text(&self, text: &str) -> String {
        text.chars()
            .map(|char| match self.pairs.binary_search_by_key(&char, |(char, _)| *char) {
                Ok(index) => self.pairs[index].1,
                Err(_) => char,
            })
            .collect()
    }
}

/// The pairs of a map; none for another value.
pub(super) fn pairs(map: &Value) -> Vec<(Value, Value)> {
    let keys = if map.kind() == ValueKind::Map { map.try_iter().ok() } else { None };
    keys.into_iter().flatten().map(|key| (key.clone(), map.get_item(&key).unwrap_or_default())).collect()
}

fn each_text(value: &Value, note: &mut impl FnMut(&str)) {
    if let Some(text) = value.as_str() {
        note(text);
    }
    for (key, value) in pairs(value) {
        each_text(&key, note);
        each_text(&value, note);
    }
    if value.kind() == ValueKind::Seq {
        value.try_iter().into_iter().flatten().for_each(|value| each_text(&value, note));
    }
}

fn map_texts(value: &Value, map: &impl Fn(&str) -> String) -> Value {
    match value.kind() {
        ValueKind::String => Value::from(map(value.as_str().unwrap_or_default())),
        ValueKind::Seq => value.try_iter().into_iter().flatten().map(|value| map_texts(&value, map)).collect(),
        ValueKind::Map => Value::from_pairs(
            pairs(value).into_iter().map(|(key, value)| (map_texts(&key, map), map_texts(&value, map))),
        ),
        _ => value.clone(),
    }
}
