//! Calls as the published templates of model families write them, and what only looks like one.

use proptest::prelude::*;

use crate::calls::{
    format::NEUTRAL,
    promises::{self, read},
};

use super::*;

/// A template that a family is known by.
fn family(name: &str) -> &'static Format {
    let template = match name {
        "hermes" => return NEUTRAL,
        "mistral" => "tools [TOOL_CALLS]",
        "phi" => "tools <|tool_call|>",
        _ => "tools <|python_tag|> \"parameters\"",
    };
    let format = Format::of(template).unwrap();
    assert_eq!(format.name, name);
    format
}

fn parser(name: &str, sure: bool) -> Parser {
    Parser::new(family(name), ["get_weather", "f"].map(str::to_owned).into(), sure, true)
}

#[track_caller]
fn check(name: &str, answer: &str, said: &str, calls: &[(&str, &str)]) {
    let calls: Vec<_> = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect();
    for size in [1, 2, 3, 7, usize::MAX] {
        assert_eq!(read(parser(name, false), size, answer), (said.to_owned(), calls.clone()), "{answer} by {size}");
    }
}

#[test]
fn calls_are_read_as_each_family_writes_them() {
    let paris = ("get_weather", r#"{"city": "Paris"}"#);
    let one = r#"{"name": "get_weather", "arguments": {"city": "Paris"}}"#;
    check("hermes", &format!("<tool_call>\n{one}\n</tool_call>"), "", &[paris]);
    check(
        "hermes",
        &format!("Sure.\n<tool_call>\n{one}\n</tool_call>\n<tool_call>\n{one}\n</tool_call>\n"),
        "Sure.\n",
        &[paris, paris],
    );
    check("mistral", &format!("[TOOL_CALLS] [{one}]"), "", &[paris]);
    check("mistral", &format!("[TOOL_CALLS][{one}, {one}]"), "", &[paris, paris]);
    check("phi", &format!("<|tool_call|>[{one}]<|/tool_call|>"), "", &[paris]);
    let llama = r#"{"name": "get_weather", "parameters": {"city": "Paris"}}"#;
    check("llama", llama, "", &[paris]);
    check("llama", &format!("<|python_tag|>{llama}; {llama}"), "", &[paris, paris]);
    check("llama", &format!("\n\n{llama}"), "", &[paris]);
}

#[test]
fn a_model_that_stops_without_the_end_mark_has_called_all_the_same() {
    check("hermes", r#"<tool_call>{"name": "f", "arguments": {}}"#, "", &[("f", "{}")]);
    check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool", "", &[("f", "{}")]);
    check("phi", r#"<|tool_call|>[{"name": "f"}"#, "", &[("f", "{}")]);
}

#[test]
fn arguments_are_an_object_however_they_are_written() {
    check("hermes", r#"<tool_call>{"name": "f"}</tool_call>"#, "", &[("f", "{}")]);
    check("hermes", r#"<tool_call>{"arguments": "{\"a\": 1}", "name": "f"}</tool_call>"#, "", &[("f", r#"{"a": 1}"#)]);
    check(
        "hermes",
        r#"<tool_call>{"name": "f", "arguments": {"a": "}{\"\\"}}</tool_call>"#,
        "",
        &[("f", r#"{"a": "}{\"\\"}"#)],
    );
}

#[test]
fn what_is_no_call_leaves_as_text() {
    for text in [
        "plain text with <tool_ and < in it",
        "<tool_call> is what a call begins with",
        r#"<tool_call>{"name": "f", "arguments": }</tool_call>"#,
        r#"<tool_call>{"name": "unknown", "arguments": {}}</tool_call>"#,
        r#"<tool_call>{"name": "f", "arguments": [1]}</tool_call>"#,
        r#"<tool_call>{"name": "f", "arguments": {}, "parameters": {}}</tool_call>"#,
        r#"<tool_call>{"name": "f", "arguments": {"a": 1"#,
        "<tool_call>",
        "  \n",
    ] {
        check("hermes", text, text, &[]);
    }
    for text in [r#"{"answer": 7}"#, r#"{"name": "f", "parameters""#, "{", "  {}  ", "text {\"name\": \"f\"}"] {
        check("llama", text, text, &[]);
    }
    check("mistral", "[TOOL_CALLS] []", "[TOOL_CALLS] []", &[]);
    check("mistral", "[TOOL_CALLS]f", "[TOOL_CALLS]f", &[]);
}

#[test]
fn a_call_after_what_only_looked_like_one_is_read() {
    let call = r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#;
    check("hermes", &format!("<tool_call>nothing{call}"), "<tool_call>nothing", &[("f", "{}")]);
    check("hermes", &format!("{call} and text {call}"), "and text ", &[("f", "{}"), ("f", "{}")]);
}

#[test]
fn arguments_that_a_grammar_vouches_for_leave_as_they_come() {
    let mut parser = parser("hermes", true);
    let mut parts = Vec::new();
    parser.push("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": ", &mut parts);
    assert_eq!(parts, [Part::Begins(0, "f".into()), Part::Arguments(0, "{\"a\": ".into())]);
    parts.clear();
    parser.push("1", &mut parts);
    assert!(!parser.is_behind_a_call() && !parser.is_in_text());
    parser.push("}}", &mut parts);
    assert_eq!(parts, [Part::Arguments(0, "1".into()), Part::Arguments(0, "}".into())]);
    assert!(parser.is_behind_a_call());
    parser.push("\n</tool_call>", &mut parts);
    parser.finish(&mut parts);
    assert_eq!((parts.len(), parser.calls()), (2, 1));
}

#[test]
fn where_a_document_may_stand_instead_a_mark_within_it_is_no_call() {
    let call = r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#;
    let read = |text: &str| {
        let names: Arc<[String]> = ["f".to_owned()].into();
        read(Parser::new(family("hermes"), names, false, false), 3, text)
    };
    assert_eq!(read(call).1.len(), 1);
    let document = serde_json::json!({ "text": call }).to_string();
    assert_eq!(read(&document), (document, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_cut_of_an_answer_reads_as_the_whole(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "<tool_call>", "</tool_call>", "<tool_", "[TOOL_CALLS]", "<|tool_call|>", "<|/tool_call|>", "<|python_tag|>", "[", "]", ", ", ";",
            "{\"name\": \"f\", \"arguments\": {\"a\": \"é}\"}}", "{\"name\": \"f\", \"parameters\": {}}", "{\"name\": \"x\"}", "{", "}", "\"",
            "\\", "\n", " ", "text", "é", "{\"name\": \"f\", \"arguments\": ",
        ]), 0..12),
        size in 1..9usize,
        family in 0..4usize,
        sure: bool,
    ) {
        promises::any_cut_reads_as_the_whole(family, sure, size, &pieces.concat());
    }

    #[test]
    fn of_any_text_all_but_calls_and_blanks_leaves(text in "[a-z<>_{}\" ]{0,40}") {
        let (said, calls) = read(parser("hermes", false), 5, &text);
        prop_assert!(calls.is_empty());
        prop_assert_eq!(said, text);
    }
}
