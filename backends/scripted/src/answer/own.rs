//! The good answers of a host that speaks Anthropic's Messages API and OpenAI's Responses API too.

use serde_json::{Value, json};

use super::{Api, CREATED, Event, Kind, arguments, split, text};
use crate::ask::Ask;

/// The body of an answer that is not streamed. `finish`: why the model stopped; none where the fault leaves it out.
pub(super) fn whole(api: Api, ask: &Ask, chunks: usize, finish: Option<&str>) -> Value {
    match api {
        Api::Responses => response(ask, finish.map_or("in_progress", |_| "completed"), vec![item(ask)], Some(chunks)),
        _ => message(ask, &[block(ask)], finish.map(|_| stop_reason(ask)), chunks),
    }
}

/// The events of a streamed answer.
pub(super) fn events(api: Api, ask: &Ask, chunks: usize) -> Vec<Event> {
    let pieces = match ask.tool() {
        Some(_) => split(&arguments(ask), chunks),
        None => split(&text(ask), chunks),
    };
    let mut events = Vec::new();
    if api == Api::Responses {
        events.push(named(
            Kind::Role,
            json!({"type": "response.created", "response": response(ask, "in_progress", vec![], None)}),
        ));
        let begun = match ask.tool() {
            Some(tool) => {
                json!({"id": "it_1", "type": "function_call", "call_id": "call_scripted_1", "name": tool, "arguments": ""})
            }
            None => {
                json!({"id": "it_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []})
            }
        };
        events.push(named(Kind::Role, json!({"type": "response.output_item.added", "output_index": 0, "item": begun})));
        events.extend(pieces.iter().map(|piece| content(api, ask, piece)));
        let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item(ask)});
        events.push(named(Kind::Role, done));
        let whole = response(ask, "completed", vec![item(ask)], Some(chunks));
        events.push(named(Kind::Finish, json!({"type": "response.completed", "response": whole})));
        return numbered(events);
    }
    let empty = match ask.tool() {
        Some(tool) => json!({"type": "tool_use", "id": "call_scripted_1", "name": tool, "input": {}}),
        None => json!({"type": "text", "text": ""}),
    };
    events.push(named(Kind::Role, json!({"type": "message_start", "message": message(ask, &[], None, 0)})));
    events.push(named(Kind::Role, json!({"type": "content_block_start", "index": 0, "content_block": empty})));
    events.push(named(Kind::Role, json!({"type": "ping"})));
    events.extend(pieces.iter().map(|piece| content(api, ask, piece)));
    events.push(named(Kind::Role, json!({"type": "content_block_stop", "index": 0})));
    let end = json!({"stop_reason": stop_reason(ask), "stop_sequence": null});
    events
        .push(named(Kind::Finish, json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": chunks}})));
    events.push(named(Kind::Done, json!({"type": "message_stop"})));
    events
}

/// An event with this piece of the answer.
pub(super) fn content(api: Api, ask: &Ask, piece: &str) -> Event {
    let call = ask.tool().is_some();
    let data = match (api, call) {
        (Api::Responses, true) => {
            json!({"type": "response.function_call_arguments.delta", "item_id": "it_1", "output_index": 0, "delta": piece})
        }
        (Api::Responses, false) => json!({"type": "response.output_text.delta", "item_id": "it_1", "output_index": 0,
            "content_index": 0, "delta": piece, "logprobs": []}),
        (_, true) => json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": piece}}),
        (_, false) => {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        }
    };
    named(Kind::Content, data)
}

/// What reports a failure, as a body or as the data of an event.
pub(super) fn error(api: Api, message: &str, code: Value) -> Value {
    match api {
        Api::Responses => json!({"type": "error", "code": code, "message": message, "param": null}),
        _ => json!({"type": "error", "error": {"type": "api_error", "message": message, "code": code}}),
    }
}

fn named(kind: Kind, data: Value) -> Event {
    Event { name: data["type"].as_str().map(str::to_owned), ..Event::new(kind, data) }
}

/// Events of the Responses API count themselves.
fn numbered(events: Vec<Event>) -> Vec<Event> {
    let number = |(at, event): (usize, Event)| {
        let mut data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        data["sequence_number"] = at.into();
        Event { data: data.to_string(), ..event }
    };
    events.into_iter().enumerate().map(number).collect()
}

fn stop_reason(ask: &Ask) -> &'static str {
    if ask.tool().is_some() { "tool_use" } else { "end_turn" }
}

fn block(ask: &Ask) -> Value {
    match ask.tool() {
        Some(tool) => {
            json!({"type": "tool_use", "id": "call_scripted_1", "name": tool, "input": {"text": ask.last_text()}})
        }
        None => json!({"type": "text", "text": text(ask)}),
    }
}

fn message(ask: &Ask, content: &[Value], stop_reason: Option<&str>, chunks: usize) -> Value {
    json!({
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": ask.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        // Anthropic counts what came from a cache beside the rest.
        "usage": {"input_tokens": ask.prompt_tokens(), "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0,
            "output_tokens": chunks},
    })
}

fn item(ask: &Ask) -> Value {
    match ask.tool() {
        Some(tool) => {
            json!({"id": "it_1", "type": "function_call", "status": "completed", "call_id": "call_scripted_1",
            "name": tool, "arguments": arguments(ask)})
        }
        None => json!({"id": "it_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text(ask), "annotations": []}]}),
    }
}

fn response(ask: &Ask, status: &str, output: Vec<Value>, chunks: Option<usize>) -> Value {
    let prompt = ask.prompt_tokens();
    let usage = chunks.map(|chunks| {
        json!({"input_tokens": prompt, "input_tokens_details": {"cached_tokens": ask.cached}, "output_tokens": chunks,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt + chunks})
    });
    json!({
        "id": "resp_scripted", "object": "response", "created_at": CREATED, "status": status, "model": ask.model,
        "error": null, "incomplete_details": null, "output": output, "usage": usage, "store": false,
    })
}
