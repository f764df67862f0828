//! `POST /v1/messages`, Anthropic's API: the request, as one of OpenAI's chat API.
//!
//! | of the caller | becomes |
//! | --- | --- |
//! | `system` | the first message, of the role `system` |
//! | a later turn of the role `system` | a `<system-reminder>` in a turn of the user, as templates take such a message first alone |
//! | `text`, `image`, `document` | parts of a message; one that is only text stays a plain text |
//! | `thinking` | `reasoning_content` of the turn; `redacted_thinking`, which only its maker can read, is left out |
//! | `tool_use` | `tool_calls` of the turn |
//! | `tool_result` | a message of the role `tool` before the rest of its turn; images in it follow as a turn of the user |
//! | `tools`, `tool_choice`, `disable_parallel_tool_use` | `tools`, `tool_choice`, `parallel_tool_calls` |
//! | `max_tokens`, `stop_sequences`, `temperature`, `top_p`, `top_k` | `max_tokens`, `stop`, the same |
//! | `output_config.format`, `output_format` | `response_format` |
//! | `metadata.user_id` | `user` |
//!
//! A deployment that speaks this API itself (`speaks`) gets the caller's own bytes. For all others: arguments and schemas keep
//! their bytes. `cache_control`, `thinking`, `output_config.effort`, `context_management` and
//! `service_tier` are hints to Anthropic's own service and are not passed on; whether `thinking` is asked for says whether
//! the answer shows reasoning, and the effort that is left out is named to the caller. What would need that service (tools
//! that run there, containers, MCP servers) is refused by its name. Fields that nobody knows are not passed on: they are of another API than the backend's.

mod chat;
mod content;

use backends::{Api, Object};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::content::Block;
use super::{
    Decoded, Manner,
    text_or_list::{TextOr, text_or_list},
};
use crate::respond::error::ApiError;

/// The fields that the gateway reads.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesRequest")]
pub(super) struct Messages {
    model: String,
    messages: Vec<Turn>,
    #[serde(default)]
    max_tokens: Option<i64>,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Block>")]
    system: Vec<Block>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<ToolChoice>,
    #[serde(default)]
    thinking: Option<Thinking>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
    #[serde(default)]
    output_format: Option<Format>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    container: Option<Box<RawValue>>,
    #[serde(default)]
    mcp_servers: Option<Box<RawValue>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesTurn")]
struct Turn {
    role: String,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Block>")]
    content: Vec<Block>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesTool")]
struct Tool {
    #[serde(default)]
    r#type: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Box<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesToolChoice")]
struct ToolChoice {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesThinking")]
struct Thinking {
    r#type: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesOutputConfig")]
struct OutputConfig {
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    effort: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessagesFormat")]
struct Format {
    r#type: String,
    #[serde(default)]
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Answer,
    /// The number of its tokens; it has no `max_tokens`.
    Count,
}

/// Reads the body of a request.
pub(super) fn decode(id: &str, object: &Object<'_>, what: For) -> Result<Decoded, ApiError> {
    let mut asked: Messages = super::parse(object)?;
    if what == For::Answer && asked.max_tokens.is_none() {
        return Err(ApiError::invalid("max_tokens".to_owned(), "`max_tokens` is missing; this API needs it"));
    }
    // Keys that could choose another model or place are refused here as in every API.
    let payload = super::payload(object)?;
    let shows_reasoning = asked.thinking.as_ref().is_some_and(|thinking| thinking.r#type != "disabled");
    let metadata = asked.metadata.take();
    let effort = asked.output_config.as_ref().is_some_and(|config| config.effort.is_some());
    let left_out = if effort { vec!["output_config.effort".to_owned()] } else { Vec::new() };
    let mut decoded = chat::of(asked, metadata.as_deref())?.decoded(id, ["stop", "stop_sequences"])?;
    decoded.request.own = Some((Api::Messages, payload));
    Ok(Decoded { metadata, manner: Manner::Messages { shows_reasoning }, left_out, ..decoded })
}

#[cfg(test)]
mod tests;
