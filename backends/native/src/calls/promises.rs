//! What the reader of tool calls promises of any text.

use std::sync::Arc;

use super::{Format, Parser, Part, format};

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

/// What an answer says, and the calls in it.
pub(super) fn parsed(
    format: &'static Format,
    sure: bool,
    size: usize,
    answer: &str,
) -> (String, Vec<(String, String)>) {
    let names: Arc<[String]> = ["get_weather", "f"].map(str::to_owned).into();
    read(Parser::new(format, names, sure, true), size, answer)
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
