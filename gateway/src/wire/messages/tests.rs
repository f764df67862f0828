//! What becomes of a request of Anthropic's API.

use backends::{Api, Input};
use serde_json::{Value, json};

use super::*;
use crate::wire::{self, ClientApi};

fn decoded(body: &Value) -> Result<Decoded, ApiError> {
    wire::decode(ClientApi::Messages, "r", body.to_string().into())
}

/// The body that a backend of OpenAI's API gets.
fn sent(body: &Value) -> Value {
    let decoded = decoded(body).unwrap_or_else(|error| panic!("{}", error.message));
    assert_eq!(decoded.request.api, Api::Chat);
    serde_json::from_slice(decoded.request.payload.bytes()).unwrap()
}

fn error(body: &Value) -> (Option<String>, String) {
    let error = decoded(body).unwrap_err();
    assert_eq!(error.status.as_u16(), 400);
    (error.param, error.message)
}

#[test]
fn a_turn_of_an_agent_becomes_a_chat_with_every_part_in_its_place() {
    let body = json!({
        "model": "auto", "max_tokens": 100, "stream": true, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
        "stop_sequences": ["END"], "metadata": {"user_id": "u1"}, "thinking": {"type": "adaptive"},
        "context_management": {"edits": []}, "output_config": {"effort": "high"}, "service_tier": "auto",
        "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "In English."}],
        "tools": [{"name": "read", "description": "Reads.", "input_schema": {"type": "object", "properties": {"z": {}, "a": {}}}},
                  {"type": "custom", "name": "bare", "input_schema": {}, "strict": true}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "read", "input": {"a": "é", "z": 1}},
                {"type": "tool_use", "id": "t2", "name": "bare", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no such file", "is_error": true},
                {"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t3", "name": "read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t3"},
                {"type": "document", "title": "d.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
        ],
    });
    let expected = json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be short.\nIn English."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "read", "arguments": "{\"a\":\"é\",\"z\":1}"}},
                {"id": "t2", "type": "function", "function": {"name": "bare", "arguments": "{}"}}]},
            {"role": "tool", "content": "one\ntwo", "tool_call_id": "t1"},
            {"role": "tool", "content": "Error: no such file", "tool_call_id": "t2"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}, {"type": "text", "text": "go on"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "t3", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
            {"role": "tool", "content": "", "tool_call_id": "t3"},
            {"role": "user", "content": [
                {"type": "file", "file": {"filename": "d.pdf", "file_data": "data:application/pdf;base64,BB=="}},
                {"type": "text", "text": "plain"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}},
            {"type": "function", "function": {"name": "bare", "parameters": {}, "strict": true}}],
        "tool_choice": "required", "parallel_tool_calls": false,
        "max_tokens": 100, "stop": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 40, "user": "u1", "stream": true,
    });
    assert_eq!(sent(&body), expected);
    let decoded = decoded(&body).unwrap();
    assert!(decoded.needs.tools && decoded.needs.image && decoded.request.stream);
    assert!(matches!(decoded.manner, Manner::Messages { shows_reasoning: true }));
    assert!(matches!(&decoded.request.input, Input::Chat { messages, tools: Some(_), .. } if messages.len() == 9));
    assert_eq!(decoded.metadata.unwrap().get(), r#"{"user_id":"u1"}"#);
}

#[test]
fn turns_of_the_user_are_joined_and_a_later_word_of_the_system_stands_in_one() {
    let body = json!({"model": "m", "max_tokens": 1, "messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "assistant", "content": "c"}, {"role": "system", "content": "be short"}]});
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        sent(&body)["messages"],
        json!([
            {"role": "user", "content": [text("a"), text("b"), text("<system-reminder>\nbe kind\n</system-reminder>")]},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "<system-reminder>\nbe short\n</system-reminder>"}])
    );
}

#[test]
fn schemas_and_arguments_keep_their_bytes() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"z": 1.0, "a":[ ]}}]},
        {"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":{"z": 1.50,  "a":{}}}]}"#;
    let decoded = wire::decode(ClientApi::Messages, "r", body.into()).unwrap();
    let sent = std::str::from_utf8(decoded.request.payload.bytes()).unwrap().to_owned();
    assert!(sent.contains(r#""parameters":{"z": 1.50,  "a":{}}"#), "{sent}");
    assert!(sent.contains(r#""arguments":"{\"z\": 1.0, \"a\":[ ]}""#), "{sent}");
}

#[test]
fn each_choice_of_tools_and_each_format_has_its_counterpart() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
        body[key] = value;
        sent(&body)
    };
    for (choice, chosen) in [
        (json!({"type": "auto"}), json!("auto")),
        (json!({"type": "none"}), json!("none")),
        (json!({"type": "tool", "name": "f"}), json!({"type": "function", "function": {"name": "f"}})),
    ] {
        assert_eq!(with("tool_choice", choice)["tool_choice"], chosen);
    }
    let schema = json!({"type": "object"});
    let format = json!({"type": "json_schema", "schema": schema});
    let expected = json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": schema}});
    assert_eq!(with("output_config", json!({"format": format}))["response_format"], expected);
    assert_eq!(with("output_format", format)["response_format"], expected);
    let plain = decoded(&json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}));
    assert!(matches!(plain.unwrap().manner, Manner::Messages { shows_reasoning: false }));
}

#[test]
fn what_is_wrong_or_cannot_be_had_is_named_with_its_path() {
    let base = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
    let with = |key: &str, value: Value| {
        let mut body = base.clone();
        body[key] = value;
        body
    };
    let user = |content: Value| with("messages", json!([{"role": "user", "content": content}]));
    for (body, param) in [
        (with("max_tokens", json!(0)), "max_tokens"),
        (with("max_tokens", Value::Null), "max_tokens"),
        (with("messages", json!([])), "messages"),
        (with("messages", json!([{"role": "tool", "content": "x"}])), "messages[0].role"),
        (user(json!(7)), "messages[0].content"),
        (user(json!([{"type": "text"}])), "messages[0].content[0].text"),
        (user(json!([{"type": "video"}])), "messages[0].content[0].type"),
        (user(json!([{"type": "image"}])), "messages[0].content[0].source"),
        (user(json!([{"type": "image", "source": {"type": "file"}}])), "messages[0].content[0].source.type"),
        (
            user(json!([{"type": "image", "source": {"type": "base64", "data": "A"}}])),
            "messages[0].content[0].source.media_type",
        ),
        (user(json!([{"type": "tool_result", "content": "x"}])), "messages[0].content[0].tool_use_id"),
        (user(json!([{"type": "tool_use", "id": "a", "name": "b"}])), "messages[0].content[0].type"),
        (with("system", json!([{"type": "image"}])), "system[0].type"),
        (with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])), "tools[0].type"),
        (with("tools", json!([{"name": "f"}])), "tools[0].input_schema"),
        (with("tool_choice", json!({"type": "tool"})), "tool_choice.name"),
        (with("tool_choice", json!({"type": "some"})), "tool_choice.type"),
        (with("container", json!("c")), "container"),
        (with("mcp_servers", json!([{"url": "https://x"}])), "mcp_servers"),
        (with("temperature", json!(3)), "temperature"),
        (with("stop_sequences", json!(vec!["a"; 17])), "stop_sequences"),
        (with("provider", json!({"only": ["x"]})), "provider"),
    ] {
        let (found, message) = error(&body);
        assert_eq!(found.as_deref(), Some(param), "{message}");
    }
}

#[test]
fn tokens_are_counted_without_a_limit_on_the_answer() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    assert!(decoded(&body).is_err());
    assert!(wire::decode_to_count("r", body.to_string().into()).is_ok());
}
