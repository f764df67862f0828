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
//! Tools that run at OpenAI (`web_search`, `namespace` and so on) are left out and named to the caller, as agents offer them
//! whatever they talk to; a choice that forces one is refused. `reasoning`, `include`, `truncation`, `service_tier`, `text.verbosity` and
//! `prompt_cache_key` are hints to OpenAI's own service and are not passed on. What the gateway does not keep
//! (`previous_response_id`, `conversation`, `background`, a stored `prompt`, an `item_reference`) is refused by its name.

mod chat;

use std::sync::Arc;

use backends::Object;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Decoded, Manner,
    text_or_list::{Entry, text_or_list},
};
use crate::respond::error::ApiError;

/// The fields that the gateway reads.
#[derive(Deserialize)]
struct Responses {
    model: String,
    #[serde(deserialize_with = "text_or_list")]
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
    conversation: Option<Box<RawValue>>,
    #[serde(default)]
    prompt: Option<Box<RawValue>>,
}

/// An item of the input: the fields of every kind, of which each kind has its own.
#[derive(Default, Deserialize)]
struct Item {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, deserialize_with = "text_or_list")]
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
    output: Vec<Part>,
}

/// A part of an item's content.
#[derive(Default, Deserialize)]
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

#[derive(Deserialize)]
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

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    format: Option<Format>,
}

#[derive(Deserialize)]
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

/// Reads the body of a request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let mut asked: Responses = super::parse(object)?;
    let written: Written = super::parse(object)?;
    // Keys that could choose another model or place are refused here as in every API.
    super::payload(object)?;
    let metadata = asked.metadata.take();
    let custom =
        asked.tools.iter().flatten().filter(|tool| tool.r#type == "custom").filter_map(|tool| tool.name.clone());
    let echo = Echo {
        instructions: asked.instructions.clone(),
        max_output_tokens: asked.max_output_tokens,
        temperature: asked.temperature,
        top_p: asked.top_p,
        parallel_tool_calls: asked.parallel_tool_calls.unwrap_or(true),
        user: asked.user.clone(),
        written,
        custom_tools: custom.collect(),
    };
    let (chat, left_out) = chat::of(asked)?;
    let decoded = chat.decoded(id, ["max_tokens", "max_output_tokens"])?;
    Ok(Decoded { metadata, manner: Manner::Responses(Arc::new(echo)), left_out, ..decoded })
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
