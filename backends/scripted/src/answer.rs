//! The good answers: JSON bodies and the events of a stream, without any transport.

use serde_json::{Value, json};

use crate::ask::Ask;

mod own;

/// When every answer claims to have been made, so that answers can be compared.
const CREATED: u64 = 1_700_000_000;

/// The API that an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completions,
    /// Anthropic's.
    Messages,
    Responses,
}

impl Api {
    fn is_own(self) -> bool {
        matches!(self, Self::Messages | Self::Responses)
    }
}

/// What an event of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Role,
    Content,
    Finish,
    Usage,
    Done,
    /// Put in by a fault.
    Odd,
}

/// One event of a stream: its data, not yet framed.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    /// Its name, in APIs whose events have one.
    pub(crate) name: Option<String>,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn new(kind: Kind, data: impl ToString) -> Self {
        Self { kind, name: None, data: data.to_string() }
    }

    pub(crate) fn done() -> Self {
        Self::new(Kind::Done, "[DONE]")
    }
}

/// What reports a failure in the place of an answer.
pub(crate) fn failure(api: Api, code: Value) -> Value {
    let message = "scripted failure";
    if api.is_own() { own::error(api, message, code) } else { error(message, "server_error", code) }
}

/// A body that reports an error.
pub(crate) fn error(message: &str, kind: &str, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// The text of every answer to `ask`.
pub(crate) fn text(ask: &Ask) -> String {
    format!("scripted answer to: {}", ask.last_text())
}

/// The body of an answer that is not streamed.
pub(crate) fn whole(api: Api, ask: &Ask, chunks: usize, finish: Option<&str>) -> Value {
    if api.is_own() {
        return own::whole(api, ask, chunks, finish);
    }
    let choices: Vec<Value> = (0..ask.choices())
        .map(|index| match (api, ask.tool()) {
            (Api::Completions, _) => json!({"index": index, "text": text(ask), "logprobs": null, "finish_reason": finish}),
            (_, None) => json!({
                "index": index,
                "message": {"role": "assistant", "content": text(ask), "refusal": null},
                "logprobs": null,
                "finish_reason": finish,
            }),
            (_, Some(tool)) => json!({
                "index": index,
                "message": {"role": "assistant", "content": null, "refusal": null, "tool_calls": [call(tool, &arguments(ask))]},
                "logprobs": null,
                "finish_reason": finish.map(|_| "tool_calls"),
            }),
        })
        .collect();
    let object = if api == Api::Chat { "chat.completion" } else { "text_completion" };
    json!({
        "id": "scripted-1", "object": object, "created": CREATED, "model": ask.model,
        "choices": choices, "usage": usage(ask, chunks),
    })
}

/// The events of a streamed answer, the last of all (`[DONE]`) included.
pub(crate) fn events(api: Api, ask: &Ask, chunks: usize) -> Vec<Event> {
    if api.is_own() {
        return own::events(api, ask, chunks);
    }
    let mut events = Vec::new();
    for index in 0..ask.choices() {
        match (api, ask.tool()) {
            (Api::Completions, _) => {
                events.extend(split(&text(ask), chunks).into_iter().map(|piece| {
                    chunk(
                        Kind::Content,
                        api,
                        ask,
                        json!({"index": index, "text": piece, "logprobs": null, "finish_reason": null}),
                    )
                }));
                events.push(chunk(
                    Kind::Finish,
                    api,
                    ask,
                    json!({"index": index, "text": "", "logprobs": null, "finish_reason": "stop"}),
                ));
            }
            (_, None) => {
                events.push(delta(Kind::Role, ask, index, json!({"role": "assistant", "content": ""}), None));
                events.extend(
                    split(&text(ask), chunks)
                        .into_iter()
                        .map(|piece| delta(Kind::Content, ask, index, json!({"content": piece}), None)),
                );
                events.push(delta(Kind::Finish, ask, index, json!({}), Some("stop")));
            }
            (_, Some(tool)) => {
                events.push(delta(Kind::Role, ask, index, json!({"role": "assistant", "content": null}), None));
                let mut first = call(tool, "");
                first["index"] = 0.into();
                events.push(delta(Kind::Content, ask, index, json!({"tool_calls": [first]}), None));
                events.extend(split(&arguments(ask), chunks).into_iter().map(|piece| {
                    delta(
                        Kind::Content,
                        ask,
                        index,
                        json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
                        None,
                    )
                }));
                events.push(delta(Kind::Finish, ask, index, json!({}), Some("tool_calls")));
            }
        }
    }
    if ask.include_usage() {
        events.push(usage_event(api, ask, chunks));
    }
    events.push(Event::done());
    events
}

/// An event of the stream with this text, of the first choice.
pub(crate) fn content(api: Api, ask: &Ask, text: &str) -> Event {
    match api {
        Api::Chat => delta(Kind::Content, ask, 0, json!({"content": text}), None),
        Api::Completions => {
            chunk(Kind::Content, api, ask, json!({"index": 0, "text": text, "logprobs": null, "finish_reason": null}))
        }
        Api::Messages | Api::Responses => own::content(api, ask, text),
    }
}

fn usage_event(api: Api, ask: &Ask, chunks: usize) -> Event {
    let mut data = envelope(api, ask, json!([]));
    data["usage"] = usage(ask, chunks);
    Event::new(Kind::Usage, data)
}

fn delta(kind: Kind, ask: &Ask, index: u32, delta: Value, finish: Option<&str>) -> Event {
    chunk(kind, Api::Chat, ask, json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}))
}

fn chunk(kind: Kind, api: Api, ask: &Ask, choice: Value) -> Event {
    Event::new(kind, envelope(api, ask, json!([choice])))
}

fn envelope(api: Api, ask: &Ask, choices: Value) -> Value {
    let object = if api == Api::Chat { "chat.completion.chunk" } else { "text_completion" };
    let mut data =
        json!({"id": "scripted-1", "object": object, "created": CREATED, "model": ask.model, "choices": choices});
    if ask.include_usage() {
        data["usage"] = Value::Null;
    }
    data
}

fn call(tool: &str, arguments: &str) -> Value {
    json!({"id": "call_scripted_1", "type": "function", "function": {"name": tool, "arguments": arguments}})
}

fn arguments(ask: &Ask) -> String {
    json!({"text": ask.last_text()}).to_string()
}

fn usage(ask: &Ask, chunks: usize) -> Value {
    let (prompt, completion) = (ask.prompt_tokens(), chunks * ask.choices() as usize);
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": ask.cached},
    })
}

/// Cuts a text into `pieces` parts of whole characters, or one a character if it has fewer.
fn split(text: &str, pieces: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let pieces = pieces.clamp(1, letters.len().max(1));
    (0..pieces)
        .map(|at| letters[at * letters.len() / pieces..(at + 1) * letters.len() / pieces].iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_stream_join_to_the_whole_answer() {
        let ask: Ask =
            serde_json::from_str(r#"{"model":"m","messages":[{"role":"user","content":"日本 ok"}]}"#).unwrap();
        let streamed: String = events(Api::Chat, &ask, 5)
            .iter()
            .filter(|event| event.kind == Kind::Content)
            .map(|event| {
                serde_json::from_str::<Value>(&event.data).unwrap()["choices"][0]["delta"]["content"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(streamed, "scripted answer to: 日本 ok");
        assert_eq!(whole(Api::Chat, &ask, 5, Some("stop"))["choices"][0]["message"]["content"], streamed);
    }

    #[test]
    fn a_text_is_cut_into_exactly_as_many_pieces_as_it_can_be() {
        assert_eq!(split("héllo", 3), ["h", "él", "lo"]);
        assert_eq!(split("ab", 5), ["a", "b"]);
        assert_eq!(split("", 4), [""]);
    }

    #[test]
    fn an_offered_tool_is_called_until_its_result_comes_back() {
        let offered = |last: &str| -> Ask {
            serde_json::from_value(json!({
                "model": "m", "tools": [{"type": "function", "function": {"name": "look"}}],
                "messages": [{"role": last, "content": "hi"}],
            }))
            .unwrap()
        };
        assert_eq!(offered("user").tool(), Some("look"));
        assert_eq!(offered("tool").tool(), None);
        let finish = &whole(Api::Chat, &offered("user"), 1, Some("stop"))["choices"][0]["finish_reason"];
        assert_eq!(finish, "tool_calls");
    }
}
