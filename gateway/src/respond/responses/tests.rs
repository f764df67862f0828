//! Answers as the Responses API tells them.

use serde_json::{Value, json};

use super::*;

fn writer(echo: Echo) -> Writer {
    Writer::new("req_1", "m", 7, Arc::new(echo))
}

/// The events of what was written, each with its name, numbered from 0.
fn events(out: Vec<u8>) -> Vec<Value> {
    let text = String::from_utf8(out).unwrap();
    let event = |(number, event): (usize, &str)| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let mut data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        assert_eq!(data["sequence_number"], number, "{data}");
        data.as_object_mut().unwrap().remove("sequence_number");
        data
    };
    text.split_terminator("\n\n").enumerate().map(event).collect()
}

fn streamed(mut writer: Writer, pieces: Vec<Piece<'_>>) -> Vec<Value> {
    let mut out = Vec::new();
    pieces.into_iter().for_each(|piece| writer.piece(piece, &mut out));
    writer.usage(USAGE);
    writer.end(&mut out);
    events(out)
}

fn whole(mut writer: Writer, pieces: Vec<Piece<'_>>) -> Value {
    pieces.into_iter().for_each(|piece| writer.piece(piece, &mut Vec::new()));
    writer.usage(USAGE);
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
    cache_write_tokens: 0,
    reasoning_tokens: 5,
    cost_usd: None,
};

#[test]
fn a_stream_has_the_whole_life_of_each_item_and_the_response_at_its_end() {
    let echo = Echo { custom_tools: vec!["patch".to_owned()], parallel_tool_calls: true, ..Echo::default() };
    let pieces = vec![
        Piece::Reasoning("hm".into()),
        Piece::Text("Hel".into()),
        Piece::Text("lo".into()),
        call(0, Some("c1"), Some("f"), "{\"a\""),
        call(1, None, Some("patch"), "{\"inp"),
        call(0, None, None, ":1}"),
        call(1, None, None, "ut\":\"x\\ny\"}"),
        finish("tool_calls"),
    ];
    let found = streamed(writer(echo), pieces);
    let kinds: Vec<&str> = found.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(
        found[8]["item"],
        json!({"type": "message", "id": "msg_1_1", "status": "in_progress", "role": "assistant", "content": []})
    );
    assert_eq!(
        found[11],
        json!({"type": "response.output_text.delta", "item_id": "msg_1_1", "output_index": 1, "content_index": 0, "delta": "lo", "logprobs": []})
    );
    assert_eq!(found[12]["text"], "Hello");
    assert_eq!(found[19]["arguments"], "{\"a\":1}");
    assert_eq!(found[22]["input"], "x\ny");
    let of_items: Vec<(&Value, &Value)> = found
        .iter()
        .filter(|event| event["item_id"] != Value::Null)
        .map(|event| (&event["output_index"], &event["item_id"]))
        .collect();
    for index in 0..4 {
        let mut ids: Vec<&Value> = of_items.iter().filter(|(at, _)| **at == json!(index)).map(|(_, id)| *id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "one id an item: {ids:?}");
    }
    let response = &found[24]["response"];
    assert_eq!(
        response["output"],
        json!([
            {"type": "reasoning", "id": "rs_1_0", "status": "completed", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "id": "msg_1_1", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "id": "fc_1_2", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "custom_tool_call", "id": "ctc_1_3", "status": "completed", "call_id": "call_1_1", "name": "patch", "input": "x\ny"},
        ])
    );
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0}, "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 120})
    );
}

#[test]
fn a_whole_response_has_every_key_and_repeats_its_request() {
    let written = serde_json::from_str(
        r#"{"metadata":{"b":1,"a":2},"tools":[{"type":"web_search"}],"tool_choice":"none","text":{"verbosity":"low"},"reasoning":null}"#,
    );
    let echo = Echo {
        instructions: Some("i".into()),
        max_output_tokens: Some(9),
        temperature: Some(0.5),
        top_p: None,
        parallel_tool_calls: false,
        user: Some("u".into()),
        written: written.unwrap(),
        custom_tools: Vec::new(),
        priority: backends::Priority::Usual,
        previous: None,
        kept: None,
    };
    assert_eq!(
        whole(writer(echo), vec![Piece::Text("a".into()), Piece::Refusal("no".into()), finish("stop")]),
        json!({
            "id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "background": false, "error": null,
            "incomplete_details": null, "instructions": "i", "max_output_tokens": 9, "max_tool_calls": null, "model": "m",
            "output": [
                {"type": "message", "id": "msg_1_0", "status": "completed", "role": "assistant",
                    "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]},
                {"type": "message", "id": "msg_1_1", "status": "completed", "role": "assistant",
                    "content": [{"type": "refusal", "refusal": "no"}]}],
            "parallel_tool_calls": false, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
            "service_tier": "default", "store": false, "temperature": 0.5, "text": {"verbosity": "low"}, "tool_choice": "none",
            "tools": [{"type": "web_search"}], "top_logprobs": 0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
            "truncation": "disabled", "user": "u", "metadata": {"a": 2, "b": 1},
            "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0}, "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 120},
        })
    );
}

#[test]
fn an_answer_that_was_cut_short_says_so() {
    for (reason, status, details) in [
        ("length", "incomplete", json!({"reason": "max_output_tokens"})),
        ("content_filter", "incomplete", json!({"reason": "content_filter"})),
        ("stop", "completed", Value::Null),
        ("eos", "completed", Value::Null),
    ] {
        let response = whole(writer(Echo::default()), vec![Piece::Text("a".into()), finish(reason)]);
        assert_eq!((&response["status"], &response["incomplete_details"]), (&json!(status), &details));
        let last = streamed(writer(Echo::default()), vec![finish(reason)]).pop().unwrap();
        assert_eq!(last["type"], format!("response.{status}"));
    }
}

#[test]
fn an_end_without_a_reason_is_not_called_complete() {
    let response = whole(writer(Echo::default()), vec![Piece::Text("a".into())]);
    assert_eq!((&response["status"], &response["incomplete_details"]), (&json!("incomplete"), &Value::Null));
}

#[test]
fn an_answer_that_breaks_off_ends_as_failed_with_what_was_there() {
    let (mut writer, mut out) = (writer(Echo::default()), Vec::new());
    writer.piece(Piece::Text("half".into()), &mut out);
    writer.heartbeat(&mut out);
    writer.fail(&ApiError::unavailable("x", "it broke"), false, &mut out);
    let found = events(out);
    let [.., beat, last] = &found[..] else { panic!("{found:?}") };
    assert_eq!(beat["type"], "response.in_progress");
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(last["response"]["error"], json!({"code": "x", "message": "it broke"}));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "half");
    assert_eq!(last["response"]["output"][0]["status"], "in_progress");
}
