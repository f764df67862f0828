//! Calls as the published templates of model families write them, and what only looks like one.

use proptest::prelude::*;

use crate::calls::{
    format::{self, NEUTRAL},
    promises::{self, read},
};

use super::*;

/// A template that a family is known by.
fn family(name: &str) -> &'static Format {
    let template = match name {
        "neutral" => return NEUTRAL,
        "hermes" => "tools <tool_call> \"arguments\"",
        "qwen-coder" => "tools <tool_call> <function=",
        "glm" => "tools <tool_call> <arg_key>",
        "mistral" => "tools [TOOL_CALLS]",
        "mistral-args" => "tools [TOOL_CALLS] [ARGS]",
        "phi" => "tools <|tool_call|>",
        _ => "tools <|python_tag|> \"parameters\"",
    };
    let format = Format::of(template).unwrap();
    assert_eq!(format.name, name);
    format
}

fn parser(name: &str, sure: bool) -> Parser {
    Parser::new(family(name), promises::functions(), sure, true)
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
fn calls_in_tags_have_values_of_the_kinds_that_the_tools_schema_says() {
    let call = "<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\n 7\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>";
    let read = ("get_weather", r#"{"city": "New\n 7", "days": 3}"#);
    check("qwen-coder", call, "", &[read]);
    check("qwen-coder", &format!("Sure.\n\n{call}\n{call}\n"), "Sure.\n\n", &[read, read]);
    // The first mark is left out now and then; the name of no argument, too.
    check("qwen-coder", call.strip_prefix("<tool_call>\n").unwrap(), "", &[read]);
    check("qwen-coder", "<tool_call>\n<function=f>\n</function>\n</tool_call>", "", &[("f", "{}")]);
    check("qwen-coder", "<function=f></function> and so", "and so", &[("f", "{}")]);
    // Code is a string, whatever it looks like.
    let code = "<tool_call><function=f><parameter=a>\n<b>\n\n{}</b\n</parameter></function></tool_call>";
    check("qwen-coder", code, "", &[("f", r#"{"a": "<b>\n\n{}</b"}"#)]);
    // As Hermes writes it, and as it must where a call is asked for.
    check("qwen-coder", r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#, "", &[("f", r#"{"a": 1}"#)]);

    let call = "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>12</arg_value>\n<arg_key>days</arg_key>\n<arg_value> 3 </arg_value>\n</tool_call>";
    let read = ("get_weather", r#"{"city": "12", "days": 3}"#);
    check("glm", call, "", &[read]);
    check("glm", &format!("Sure.\n{call}\n{call}"), "Sure.\n", &[read, read]);
    // GLM 4.7 has no line breaks.
    check("glm", &call.replace('\n', ""), "", &[read]);
    check("glm", "<tool_call>f</tool_call>", "", &[("f", "{}")]);
    check(
        "glm",
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x\ny</arg_value></tool_call>!",
        "!",
        &[("f", r#"{"a": "x\ny"}"#)],
    );
    check("glm", r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#, "", &[("f", r#"{"a": 1}"#)]);
}

#[test]
fn an_argument_that_is_written_twice_is_what_it_was_last() {
    let call = "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>a</arg_key><arg_value>2</arg_value></tool_call>";
    check("glm", call, "", &[("f", r#"{"a": 2}"#)]);
}

#[test]
fn calls_by_name_are_read_with_an_id_and_without() {
    let paris = ("get_weather", r#"{"city": "Paris"}"#);
    let call = r#"[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}"#;
    check("mistral-args", call, "", &[paris]);
    check("mistral-args", &format!("Sure.{call}{call}"), "Sure.", &[paris, paris]);
    let call = r#"[TOOL_CALLS]get_weather[CALL_ID]abc12DEF3[ARGS]{"city": "Paris"}"#;
    check("mistral-args", &format!("{call}{call}"), "", &[paris, paris]);
    check("mistral-args", "[TOOL_CALLS] f [ARGS] {}", "", &[("f", "{}")]);
}

#[test]
fn calls_in_blocks_of_code_are_read_where_the_model_has_no_marks_of_its_own() {
    let paris = ("get_weather", r#"{"city": "Paris"}"#);
    check("neutral", "```tool_code\nget_weather(city=\"Paris\")\n```", "", &[paris]);
    check("neutral", "```tool_code\nprint(get_weather(city='Paris'))\n```\n", "", &[paris]);
    check(
        "neutral",
        "Sure.\n```tool_code\nget_weather(city='Paris')\nf()\n```\nSo.",
        "Sure.\nSo.",
        &[paris, ("f", "{}")],
    );
    check("neutral", "```json\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}\n```", "", &[paris]);
    check("neutral", "```json\n{\n  \"name\": \"f\",\n  \"arguments\": {}\n}\n```", "", &[("f", "{}")]);
    check("neutral", r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#, "", &[("f", "{}")]);
    for text in [
        "```json\n{\"name\": \"Paris\", \"arguments\": {}}\n```",
        "```json\n{\"city\": \"f\"}\n```",
        "```json\n[1]\n```\n",
        "```tool_code\nopen(path='f')\n```",
        "```tool_code\nf(1)\n```",
        "```python\nf(a=1)\n```",
        "``` ```js f() `f(a=1)`",
        "```tool_code",
    ] {
        check("neutral", text, text, &[]);
    }
    for other in ["hermes", "mistral-args"] {
        let text = "```tool_code\nf()\n```";
        check(other, text, text, &[]);
    }
}

#[test]
fn a_document_in_a_block_of_code_leaves_as_soon_as_it_can_be_no_call() {
    let mut parser = parser("neutral", false);
    let mut parts = Vec::new();
    parser.push("```json\n{\n  \"n", &mut parts);
    assert_eq!(parts, []);
    parser.push("umber\": [1,", &mut parts);
    assert_eq!(parts, [Part::Text("```json\n{\n  \"number\": [1,".into())]);
}

#[test]
fn a_model_that_stops_without_the_end_mark_has_called_all_the_same() {
    check("hermes", r#"<tool_call>{"name": "f", "arguments": {}}"#, "", &[("f", "{}")]);
    check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool", "", &[("f", "{}")]);
    check("phi", r#"<|tool_call|>[{"name": "f"}"#, "", &[("f", "{}")]);
    check("qwen-coder", "<tool_call>\n<function=f>\n</function>\n</tool", "", &[("f", "{}")]);
    check("neutral", "```tool_code\nf()\n``", "", &[("f", "{}")]);
}

#[test]
fn a_call_in_tags_that_breaks_off_is_none_as_arguments_may_be_missing() {
    for text in
        ["<tool_call>f", "<tool_call>f\n<arg_key>a</arg_key><arg_value>1</arg_value>\n", "<tool_call>f\n</tool_cal"]
    {
        check("glm", text, text, &[]);
    }
    let text = "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</func";
    check("qwen-coder", text, text, &[]);
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
    for text in [
        "<tool_call>\n<function=unknown>\n</function>\n</tool_call>",
        "<tool_call>\n<function=f\n>\n</function>",
        "<tool_call>\n<function=f>\n<parameter=a\n>1</parameter></function>",
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</function>\n</tool_call>",
        "<tool_call>\n<function=f> text </function>",
        "<function=unknown> is how a <function= begins",
    ] {
        check("qwen-coder", text, text, &[]);
    }
    for text in [
        "<tool_call>unknown\n</tool_call>",
        "<tool_call>f and more</tool_call>",
        "<tool_call>f\n<arg_key>a</arg_key>\n</tool_call>",
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</tool_call>",
        "<tool_call>f\n<arg_value>1</arg_value></tool_call>",
        "<tool_call></tool_call>",
    ] {
        check("glm", text, text, &[]);
    }
    for text in [
        "[TOOL_CALLS]f",
        "[TOOL_CALLS]f[ARGS]",
        "[TOOL_CALLS]f[ARGS][1]",
        "[TOOL_CALLS]f[ARGS]{\"a\": }",
        "[TOOL_CALLS]unknown[ARGS]{}",
        "[TOOL_CALLS]f[CALL_ID]{}",
        "[TOOL_CALLS][ARGS]{}",
        "[TOOL_CALLS][{\"name\": \"unknown\"}]",
    ] {
        check("mistral-args", text, text, &[]);
    }
    let id = "1".repeat(100);
    let text = format!("[TOOL_CALLS]f[CALL_ID]{id}[ARGS]{{}}");
    check("mistral-args", &text, &text, &[]);
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
fn arguments_by_name_that_a_grammar_vouches_for_leave_as_they_come() {
    let mut parser = parser("mistral-args", true);
    let mut parts = Vec::new();
    parser.push("[TOOL_CALLS]f[ARGS]{\"a\": ", &mut parts);
    assert_eq!(parts, [Part::Begins(0, "f".into()), Part::Arguments(0, "{\"a\": ".into())]);
    parser.push("{}", &mut parts);
    assert!(!parser.is_behind_a_call());
    parser.push("}", &mut parts);
    assert!(parser.is_behind_a_call());
    parser.push("[TOOL_CALLS]f[ARGS]{}", &mut parts);
    parser.finish(&mut parts);
    assert_eq!((parts.len(), parser.calls()), (6, 2));
}

#[test]
fn where_a_document_may_stand_instead_a_mark_within_it_is_no_call() {
    let call = r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#;
    let read = |text: &str| read(Parser::new(family("hermes"), promises::functions(), false, false), 3, text);
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
            "\\", "\n", " ", "text", "é", "{\"name\": \"f\", \"arguments\": ", "<function=", "<function=get_weather>", "<function=f>", "</function>",
            "<parameter=city>", "</parameter>", "get_weather", "f", "<arg_key>", "days", "</arg_key>", "<arg_value>", "</arg_value>", "7",
            "[ARGS]", "[CALL_ID]", "{\"a\": 1}", "```json", "```tool_code", "```", "``", "f(a=1)", "print(", "f(a='", "')", ")",
        ]), 0..12),
        size in 1..9usize,
        family in 0..format::COUNT,
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
