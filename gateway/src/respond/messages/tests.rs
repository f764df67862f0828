//! Answers as Anthropic's API tells them.

use serde_json::{Value, json};

use super::*;

fn writer() -> Writer {
    Writer::new("req_1", "m", 7, true)
}

/// The events of pieces that come one by one, each with its name.
fn streamed(mut writer: Writer, pieces: Vec<Piece<'_>>, usage: Option<Usage>) -> Vec<Value> {
    let mut out = Vec::new();
    pieces.into_iter().for_each(|piece| writer.piece(piece, &mut out));
    usage.into_iter().for_each(|usage| writer.usage(usage));
    writer.end(&mut out);
    let text = String::from_utf8(out).unwrap();
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    text.split_terminator("\n\n").map(event).collect()
}

fn whole(mut writer: Writer, pieces: Vec<Piece<'_>>, usage: Usage) -> Value {
    pieces.into_iter().for_each(|piece| writer.piece(piece, &mut Vec::new()));
    writer.usage(usage);
    serde_json::from_slice(&writer.whole()).unwrap()
}

fn call<'a>(index: u32, id: Option<&'a str>, name: Option<&'a str>, arguments: &'a str) -> Piece<'a> {
    Piece::Call { index, id: id.map(Into::into), name: name.map(Into::into), arguments: arguments.into() }
}

fn finish(reason: &str) -> Piece<'_> {
    Piece::Finish { reason: reason.into(), stop_sequence: None }
}

const USAGE: Usage = Usage {
    prompt_tokens: 100,
    completion_tokens: 20,
    cached_tokens: 60,
    cache_write_tokens: 10,
    reasoning_tokens: 5,
    cost_usd: None,
};

#[test]
fn a_stream_has_every_event_of_its_blocks_in_order_and_its_counts_at_the_end() {
    let pieces = vec![
        Piece::Reasoning("let".into()),
        Piece::Reasoning(" me".into()),
        Piece::Text("Hello".into()),
        call(0, Some("c1"), Some("read"), ""),
        call(0, None, None, "{\"a\""),
        call(1, None, Some("list"), "{}"),
        call(0, None, None, ":1}"),
        finish("stop"),
    ];
    let start =
        |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let zero =
        json!({"input_tokens": 7, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0});
    let expected = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": zero}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "let"})),
        delta(0, json!({"type": "thinking_delta", "thinking": " me"})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Hello"})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "c1", "name": "read", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"a\""})),
        start(3, json!({"type": "tool_use", "id": "toolu_1_1", "name": "list", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "{}"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": ":1}"})),
        stop(2),
        stop(3),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(streamed(writer(), pieces, Some(USAGE)), expected);
}

#[test]
fn a_whole_message_says_the_same() {
    let pieces = vec![
        Piece::Reasoning("hm".into()),
        Piece::Text("a".into()),
        call(0, Some("c1"), Some("f"), "{\"z\": 1,"),
        call(0, None, None, "\"a\":2}"),
        call(1, Some("c2"), Some("g"), ""),
        call(2, Some("c3"), Some("h"), "not json"),
        finish("tool_calls"),
    ];
    assert_eq!(
        whole(writer().keeping(), pieces, USAGE),
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"z": 1, "a": 2}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            {"type": "tool_use", "id": "c3", "name": "h", "input": {"unparsed": "not json"}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 20}})
    );
}

#[test]
fn reasoning_is_shown_only_to_those_who_asked_for_it() {
    let quiet = Writer::new("r", "m", 1, false);
    let events =
        streamed(quiet, vec![Piece::Reasoning("secret".into()), Piece::Text("a".into()), finish("stop")], None);
    assert!(!events.iter().any(|event| event.to_string().contains("secret")), "{events:?}");
    assert_eq!(events[1]["index"], 0);
}

#[test]
fn every_reason_has_its_word_and_none_is_made_up() {
    for (pieces, word) in [
        (vec![finish("stop")], json!("end_turn")),
        (vec![finish("eos")], json!("end_turn")),
        (vec![finish("length")], json!("max_tokens")),
        (vec![finish("content_filter")], json!("refusal")),
        (vec![finish("function_call")], json!("tool_use")),
        (vec![finish("insufficient_system_resource")], json!("insufficient_system_resource")),
        (vec![], Value::Null),
    ] {
        let message = whole(writer().keeping(), pieces, Usage::default());
        assert_eq!(message["stop_reason"], word);
    }
    let stopped = Piece::Finish { reason: "stop".into(), stop_sequence: Some("END".into()) };
    let message = whole(writer().keeping(), vec![stopped], Usage::default());
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
}

#[test]
fn an_error_has_the_shape_and_the_words_that_clients_look_for() {
    let shape = |api: &ApiError| serde_json::from_slice::<Value>(&error(api, "req_1")).unwrap();
    let found = shape(&ApiError::not_found("model_not_found", "no model is called `x`").hint("look"));
    let expected = json!({"type": "error", "request_id": "req_1", "error": {"type": "not_found_error",
        "message": "no model is called `x`", "code": "model_not_found", "hint": "look"}});
    assert_eq!(found, expected);
    let too_long = ApiError { code: "context_length_exceeded".into(), ..ApiError::invalid(None, "9 tokens, 8 fit") };
    assert_eq!(shape(&too_long)["error"]["message"], "prompt is too long: 9 tokens, 8 fit");
    let mut out = Vec::new();
    error_event(&ApiError::unavailable("x", "y"), "r", &mut out);
    assert!(out.starts_with(b"event: error\ndata: {\"type\":\"error\""));
}
