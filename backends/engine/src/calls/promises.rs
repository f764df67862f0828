//! What the readers of tool calls and of reasoning promise of any text.

use std::sync::Arc;

use crate::reasoning::{CLOSE, OPEN, Parts, Reasoning};

use super::{Format, Function, Parser, Part, format};

/// An answer by a model of some family, in pieces of `size` characters, reads as the whole answer does; each call is of a
/// function that was offered, and its arguments are an object unless a grammar should have seen to it.
pub fn any_cut_reads_as_the_whole(family: usize, sure: bool, size: usize, answer: &str) {
    let format = format::any(family);
    let whole = parsed(format, sure, usize::MAX, answer);
    assert_eq!(parsed(format, sure, size.max(1), answer), whole);
    for (name, arguments) in whole.1 {
        assert!(["f", "get_weather"].contains(&&*name));
        // Not read as a `Value`, which has no room for every number that JSON has.
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&arguments).is_ok();
        assert!(sure || is_json && arguments.trim_start().starts_with('{'), "{arguments}");
    }
}

/// The same of reasoning and the answer behind it: nothing is lost but marks and blanks.
pub fn any_cut_parts_reasoning_as_the_whole(opened: bool, size: usize, answer: &str) {
    let whole = parted(opened, usize::MAX, answer);
    assert_eq!(parted(opened, size.max(1), answer), whole);
    let bare = |text: &str| text.chars().filter(|char| !char.is_whitespace()).count();
    let lost = bare(answer) - bare(&whole.reasoning) - bare(&whole.answer);
    assert!([0, OPEN.len(), CLOSE.len(), OPEN.len() + CLOSE.len()].contains(&lost), "{whole:?}");
}

/// What of an answer is reasoning.
pub(crate) fn parted(opened: bool, size: usize, answer: &str) -> Parts {
    let mut reasoning = Reasoning::new(opened);
    let mut whole = Parts::default();
    let mut add = |parts: Parts| {
        whole.reasoning += &parts.reasoning;
        whole.answer += &parts.answer;
    };
    let chars: Vec<char> = answer.chars().collect();
    chars.chunks(size).for_each(|piece| add(reasoning.push(&piece.iter().collect::<String>())));
    add(reasoning.finish());
    whole
}

/// What an answer says, and the calls in it.
pub(super) fn parsed(
    format: &'static Format,
    sure: bool,
    size: usize,
    answer: &str,
) -> (String, Vec<(String, String)>) {
    read(Parser::new(format, functions(), sure, true), size, answer)
}

/// The functions on offer.
pub(crate) fn functions() -> Arc<[Function]> {
    let weather = r#"{"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}"#;
    let function = |name: &str, parameters: Option<&str>| Function {
        name: name.to_owned(),
        parameters: parameters.map(str::to_owned),
    };
    [function("get_weather", Some(weather)), function("f", None)].into()
}

/// The same by this parser.
pub(super) fn read(mut parser: Parser, size: usize, answer: &str) -> (String, Vec<(String, String)>) {
    let mut parts = Vec::new();
    let chars: Vec<char> = answer.chars().collect();
    for piece in chars.chunks(size) {
        parser.push(&piece.iter().collect::<String>(), &mut parts);
    }
    parser.finish(&mut parts);
    let (mut said, mut calls) = (String::new(), Vec::<(String, String)>::new());
    for part in parts {
        match part {
            Part::Text(text) => said += &text,
            Part::Begins(index, name) => {
                assert_eq!(index as usize, calls.len());
                calls.push((name, String::new()));
            }
            Part::Arguments(index, text) => {
                assert_eq!(index as usize + 1, calls.len(), "calls come one after the other");
                calls[index as usize].1 += &text;
            }
        }
    }
    assert_eq!(parser.calls() as usize, calls.len());
    (said, calls)
}
