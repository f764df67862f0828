//! What becomes of a request of the Responses API.

use backends::{Api, Priority};
use serde_json::{Value, json};

use super::*;
use crate::wire::{self, ClientApi};

fn decoded(body: &Value) -> Result<Decoded, ApiError> {
    wire::decode(ClientApi::Responses, "r", body.to_string().into())
}

/// The body that a backend of OpenAI's chat API gets.
fn sent(body: &Value) -> Value {
    let decoded = decoded(body).unwrap_or_else(|error| panic!("{}", error.message));
    assert_eq!(decoded.request.api, Api::Chat);
    serde_json::from_slice(decoded.request.payload.bytes()).unwrap()
}

#[test]
fn a_text_is_a_turn_of_the_user() {
    let body = json!({"model": "auto", "input": "hi"});
    assert_eq!(sent(&body), json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": false}));
}

#[test]
fn of_the_service_tiers_flex_gives_way_to_others_in_this_process_and_no_tier_is_passed_on() {
    for (tier, priority) in [("flex", Priority::Low), ("default", Priority::Usual), ("priority", Priority::Usual)] {
        let body = json!({"model": "auto", "input": "hi", "service_tier": tier});
        assert_eq!(decoded(&body).unwrap_or_else(|error| panic!("{}", error.message)).request.priority, priority);
        assert!(sent(&body).get("service_tier").is_none());
    }
}

#[test]
fn a_turn_of_an_agent_becomes_a_chat_with_every_part_in_its_place() {
    let body = json!({
        "model": "auto", "stream": true, "store": false, "instructions": "Be short.", "max_output_tokens": 50,
        "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": false, "user": "u", "metadata": {"team": "x"},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "reasoning": {"effort": "high"},
        "client_metadata": {"a": "b"}, "truncation": "auto", "service_tier": "auto",
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": false}},
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false},
            {"type": "custom", "name": "patch", "description": "p", "format": {"type": "text"}},
            {"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []}, {"type": "web_search"}],
        "tool_choice": "auto",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "In English."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"z\": 1}", "id": "fc_1"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "a\"b"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "one"}, {"type": "input_image", "image_url": "https://x/y"}]},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "two"},
            {"type": "message", "role": "system", "content": "later"},
            {"role": "user", "content": "go on"},
        ],
    });
    let one_text = json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"], "additionalProperties": false});
    let expected = json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be short.\n\nIn English."},
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "patch", "arguments": "{\"input\":\"a\\\"b\"}"}}]},
            {"role": "tool", "content": "one", "tool_call_id": "c1"},
            {"role": "tool", "content": "two", "tool_call_id": "c2"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}},
                {"type": "text", "text": "<system-reminder>\nlater\n</system-reminder>"}, {"type": "text", "text": "go on"}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false}},
            {"type": "function", "function": {"name": "patch", "description": "p", "parameters": one_text}}],
        "tool_choice": "auto", "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": false, "schema": {"type": "object"}}},
        "max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "user": "u", "stream": true,
    });
    assert_eq!(sent(&body), expected);
    let decoded = decoded(&body).unwrap();
    assert!(decoded.needs.tools && decoded.needs.image && decoded.needs.json_schema && decoded.request.stream);
    assert_eq!(decoded.left_out, ["tools.web_search", "tools.namespace", "reasoning.effort"]);
    let Manner::Responses(echo) = &decoded.manner else { panic!("{:?}", decoded.manner) };
    assert_eq!(
        (echo.custom_tools.as_slice(), echo.instructions.as_deref()),
        (["patch".to_owned()].as_slice(), Some("Be short."))
    );
    assert_eq!(decoded.metadata.as_ref().unwrap().get(), r#"{"team":"x"}"#);
}

#[test]
fn reasoning_without_a_turn_after_it_is_left_out_and_calls_end_a_turn() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "a"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": "said after it"},
        {"type": "reasoning", "summary": []},
        {"role": "user", "content": "b"},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "lost"}]},
    ]});
    let roles: Vec<Value> =
        sent(&body)["messages"].as_array().unwrap().iter().map(|turn| turn["role"].clone()).collect();
    assert_eq!(roles, ["user", "assistant", "assistant", "user"]);
}

#[test]
fn each_choice_of_tools_and_each_format_has_its_counterpart() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "input": "x"});
        body[key] = value;
        sent(&body)
    };
    for (choice, chosen) in [
        (json!("required"), json!("required")),
        (json!({"type": "function", "name": "f"}), json!({"type": "function", "function": {"name": "f"}})),
        (Value::Null, Value::Null),
    ] {
        assert_eq!(with("tool_choice", choice)["tool_choice"], chosen);
    }
    assert_eq!(with("text", json!({"format": {"type": "text"}}))["response_format"], Value::Null);
    assert_eq!(
        with("text", json!({"format": {"type": "json_object"}}))["response_format"],
        json!({"type": "json_object"})
    );
}

#[test]
fn what_is_wrong_or_is_not_kept_is_named_with_its_path() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "input": "x"});
        body[key] = value;
        body
    };
    let item = |item: Value| with("input", json!([item]));
    for (body, param) in [
        (with("input", json!([])), "input"),
        (with("input", json!(7)), "input"),
        (json!({"model": "m"}), "input"),
        (with("previous_response_id", json!("resp_1")), "previous_response_id"),
        (with("conversation", json!("conv_1")), "conversation"),
        (with("prompt", json!({"id": "p"})), "prompt"),
        (with("background", json!(true)), "background"),
        (with("max_output_tokens", json!(-1)), "max_output_tokens"),
        (with("temperature", json!(3)), "temperature"),
        (with("tool_choice", json!({"type": "web_search"})), "tool_choice"),
        (with("tool_choice", json!({"type": "function"})), "tool_choice.name"),
        (with("text", json!({"format": {"type": "json_schema"}})), "text.format.schema"),
        (with("text", json!({"format": {"type": "xml"}})), "text.format.type"),
        (with("tools", json!([{"type": "function"}])), "tools[0].name"),
        (item(json!({"type": "item_reference", "id": "x"})), "input[0]"),
        (item(json!({"type": "web_search_call"})), "input[0].type"),
        (item(json!({"content": "x"})), "input[0].role"),
        (item(json!({"role": "robot", "content": "x"})), "input[0].role"),
        (item(json!({"role": "user", "content": [{"type": "input_audio"}]})), "input[0].content[0].type"),
        (
            item(json!({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]})),
            "input[0].content[0].image_url",
        ),
        (
            item(json!({"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]})),
            "input[0].content",
        ),
        (item(json!({"type": "function_call", "name": "f", "arguments": "{}"})), "input[0].call_id"),
        (item(json!({"type": "function_call_output", "output": "x"})), "input[0].call_id"),
        (with("models", json!(["x"])), "models"),
    ] {
        let error = decoded(&body).unwrap_err();
        assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)), "{}", error.message);
    }
}
