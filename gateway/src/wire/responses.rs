//! `POST /v1/responses`, OpenAI's newer API: the request, as one of the chat API.
//!
//! | of the caller | becomes |
//! | --- | --- |
//! | `instructions`, items of the roles `system` and `developer` before all others | the first message, of the role `system` |
//! | later ones | a `<system-reminder>` in a turn of the user, as templates take such a message first alone |
//! | items of the assistant: `message`, `reasoning`, `function_call`, `custom_tool_call` | one turn, `reasoning_content` and `tool_calls` in it |
//! | `function_call_output`, `custom_tool_call_output` | a message of the role `tool`; images in it follow as a turn of the user |
//! | tools of the types `function` and `custom` | functions; a `custom` one has one text, `input` |
//! | `text.format` | `response_format` |
//! | `max_output_tokens` | `max_tokens` |
//!
//! A deployment that speaks this API itself (`speaks`) gets the caller's own bytes where nothing is to be kept
//! (`store: false`), it goes on from no earlier response, and no tool is left out.
//!
//! Tools that run at OpenAI (`web_search`, `namespace` and so on) are left out and named to the caller, as agents offer them
//! whatever they talk to; a choice that forces one is refused. `reasoning.effort` is left out and named likewise.
//! `reasoning.summary`, `include`, `truncation`, `text.verbosity` and `prompt_cache_key` are hints to OpenAI's own service and are
//! not passed on; no more is `service_tier`, of which `flex` holds in this process. A request that goes on from an earlier one
//! (`previous_response_id`) is that one's conversation with its own items behind it. What the gateway does not keep
//! (`conversation`, `background`, a stored `prompt`, an `item_reference`) is refused by its name.

mod chat;

use std::sync::Arc;

use backends::{Api, Object, Priority};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Decoded, Manner, fields,
    text_or_list::{Entry, TextOr, text_or_list},
};
use crate::{
    kept::Items,
    respond::error::{ApiError, clip},
};

/// The conversation up to and with an earlier response, by its id.
pub type Before<'a> = dyn Fn(&str) -> Option<Items> + 'a;

/// The fields that the gateway reads.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesRequest")]
pub(super) struct Responses {
    model: String,
    #[serde(deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Item>")]
    input: Vec<Item>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<Box<RawValue>>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    max_output_tokens: Option<i64>,
    #[serde(default)]
    text: Option<Text>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    conversation: Option<Box<RawValue>>,
    #[serde(default)]
    prompt: Option<Box<RawValue>>,
    #[serde(default)]
    service_tier: Option<String>,
}

/// An item of the input: the fields of every kind, of which each kind has its own.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseItem")]
struct Item {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Part>")]
    content: Vec<Part>,
    #[serde(default)]
    summary: Vec<Part>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    input: Option<String>,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Part>")]
    output: Vec<Part>,
}

/// A part of an item's content.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseContentPart")]
struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    image_url: Option<String>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    file_data: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ResponseTool")]
struct Tool {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ResponseText")]
struct Text {
    #[serde(default)]
    format: Option<Format>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ResponseFormat")]
struct Format {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    schema: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

/// What an answer repeats of its request, as JSON, and what it has to know of it.
#[derive(Debug, Default)]
pub struct Echo {
    /// `instructions`.
    pub instructions: Option<String>,
    /// `max_output_tokens`.
    pub max_output_tokens: Option<i64>,
    /// `temperature`.
    pub temperature: Option<f32>,
    /// `top_p`.
    pub top_p: Option<f32>,
    /// `parallel_tool_calls`.
    pub parallel_tool_calls: bool,
    /// `user`.
    pub user: Option<String>,
    /// The values of these fields as the caller wrote them.
    pub written: Written,
    /// The tools of the type `custom`: calls of them are told otherwise than those of functions.
    pub custom_tools: Vec<String>,
    /// What its `service_tier` comes to.
    pub priority: Priority,
    /// `previous_response_id`.
    pub previous: Option<String>,
    /// All that it is an answer to, where that is to be kept.
    pub kept: Option<Items>,
}

/// Fields that are repeated as they were written.
#[derive(Debug, Default, Deserialize)]
pub struct Written {
    /// `metadata`.
    #[serde(default)]
    pub metadata: Option<Box<RawValue>>,
    /// `tools`.
    #[serde(default)]
    pub tools: Option<Box<RawValue>>,
    /// `tool_choice`.
    #[serde(default)]
    pub tool_choice: Option<Box<RawValue>>,
    /// `text`.
    #[serde(default)]
    pub text: Option<Box<RawValue>>,
    /// `reasoning`.
    #[serde(default)]
    pub reasoning: Option<Box<RawValue>>,
}

/// Reads the body of a request. `before` is `None` where nothing is kept.
pub(super) fn decode(id: &str, object: &Object<'_>, before: Option<&Before<'_>>) -> Result<Decoded, ApiError> {
    let mut asked: Responses = super::parse(object)?;
    let earlier = match (&asked.previous_response_id, before) {
        (None, _) => Items::default(),
        (Some(_), None) => {
            return Err(ApiError::invalid(
                "previous_response_id".to_owned(),
                "`previous_response_id`: this gateway keeps no answers",
            )
            .hint("send the whole conversation as `input`"));
        }
        (Some(previous), Some(before)) => before(previous).ok_or_else(|| unknown_response(previous))?,
    };
    let keeps = before.is_some() && asked.store != Some(false);
    let kept = keeps.then(|| with_input(&earlier, object)).transpose()?;
    if !earlier.is_empty() {
        let items = earlier.iter().map(|item| serde_json::from_str(item.get()));
        let items: Vec<Item> = items.collect::<Result<_, _>>().map_err(|_| unreadable())?;
        asked.input.splice(0..0, items);
    }
    let written: Written = super::parse(object)?;
    // Keys that could choose another model or place are refused here as in every API.
    let payload = super::payload(object)?;
    let metadata = asked.metadata.take();
    let custom =
        asked.tools.iter().flatten().filter(|tool| tool.r#type == "custom").filter_map(|tool| tool.name.clone());
    let priority = fields::priority(asked.service_tier.as_deref());
    let echo = Echo {
        priority,
        instructions: asked.instructions.clone(),
        max_output_tokens: asked.max_output_tokens,
        temperature: asked.temperature,
        top_p: asked.top_p,
        parallel_tool_calls: asked.parallel_tool_calls.unwrap_or(true),
        user: asked.user.clone(),
        written,
        custom_tools: custom.collect(),
        previous: asked.previous_response_id.clone(),
        kept,
    };
    let effort = asks_effort(echo.written.reasoning.as_deref());
    let alone = asked.store == Some(false) && asked.previous_response_id.is_none();
    let (chat, mut left_out) = chat::of(asked)?;
    // What is kept goes by ids of the gateway, and tools that run elsewhere are nothing that a policy has decided on.
    let own = (alone && left_out.is_empty()).then_some((Api::Responses, payload));
    if effort {
        left_out.push("reasoning.effort".to_owned());
    }
    let mut decoded = chat.decoded(id, ["max_tokens", "max_output_tokens"])?;
    (decoded.request.own, decoded.request.priority) = (own, priority);
    Ok(Decoded { metadata, manner: Manner::Responses(Arc::new(echo)), left_out, ..decoded })
}

/// Whether `reasoning` says how much of it is wanted.
fn asks_effort(reasoning: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Reasoning {
        #[serde(default)]
        effort: Option<String>,
    }
    let read = reasoning.map(|reasoning| serde_json::from_str::<Option<Reasoning>>(reasoning.get()));
    matches!(read, Some(Ok(Some(Reasoning { effort: Some(_) }))))
}

/// The items of a conversation so far with those of a request behind them.
fn with_input(earlier: &Items, object: &Object<'_>) -> Result<Items, ApiError> {
    #[derive(Deserialize)]
    struct Written {
        input: Box<RawValue>,
    }
    let Written { input } = super::parse(object)?;
    let items: Vec<Box<RawValue>> = match serde_json::from_str::<String>(input.get()) {
        Ok(text) => {
            let turn = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
            vec![RawValue::from_string(turn.to_string()).map_err(|_| unreadable())?]
        }
        Err(_) => serde_json::from_str(input.get()).unwrap_or_default(),
    };
    Ok(earlier.iter().cloned().chain(items.into_iter().map(Arc::from)).collect())
}

/// 400 for an earlier response that is not there, in OpenAI's words for it.
fn unknown_response(id: &str) -> ApiError {
    let message = format!("there is no response `{}` of yours here to go on from", clip(id, 100));
    ApiError {
        code: "previous_response_not_found".into(),
        ..ApiError::invalid("previous_response_id".to_owned(), message)
    }
    .hint("responses are kept in memory, for a time, unless `store` is false; send the whole conversation as `input`")
}

fn unreadable() -> ApiError {
    ApiError::invalid("previous_response_id".to_owned(), "the earlier conversation cannot be read any more")
}

impl Entry for Part {
    type Wire<'de> = Self;

    const EXPECTED: &'static str = "a string or a list of content parts";

    fn of_text(text: String) -> Self {
        Self { r#type: "input_text".to_owned(), text: Some(text), ..Self::default() }
    }

    fn of_wire(part: Self) -> Self {
        part
    }
}

impl Entry for Item {
    type Wire<'de> = Self;

    const EXPECTED: &'static str = "a string or a list of items";

    fn of_text(text: String) -> Self {
        Self { role: Some("user".to_owned()), content: vec![Part::of_text(text)], ..Self::default() }
    }

    fn of_wire(item: Self) -> Self {
        item
    }
}

#[cfg(test)]
mod tests;
