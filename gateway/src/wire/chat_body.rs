//! A request body of OpenAI's chat API, as the gateway writes it for callers that speak another API.
//!
//! Keys come in one order, and values that the caller wrote as JSON keep their bytes, so that the same conversation makes
//! the same prompt, and a cache of prefixes finds it again.

use backends::Object;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Decoded;
use crate::respond::error::ApiError;

/// The body.
#[derive(Default, Serialize)]
pub(super) struct Body {
    pub(super) model: String,
    pub(super) messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<Schema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    pub(super) stream: bool,
}

/// A message.
#[derive(Serialize)]
pub(super) struct Turn {
    pub(super) role: &'static str,
    pub(super) content: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    Text { text: String },
    ImageUrl { image_url: Url },
    File { file: File },
}

#[derive(Serialize)]
pub(super) struct Url {
    url: String,
}

#[derive(Serialize)]
pub(super) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    file_data: String,
}

#[derive(Serialize)]
pub(super) struct Call {
    id: String,
    r#type: &'static str,
    function: Called,
}

#[derive(Serialize)]
struct Called {
    name: String,
    arguments: String,
}

#[derive(Serialize)]
pub(super) struct Tool {
    r#type: &'static str,
    function: Function,
}

#[derive(Serialize)]
struct Function {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// A `response_format`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Schema {
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Serialize)]
pub(super) struct JsonSchema {
    name: String,
    strict: bool,
    schema: Box<RawValue>,
}

impl Body {
    /// What it says, as the chat API is read; an error about `ours` names the caller's own field, `theirs`.
    pub(super) fn decoded(&self, id: &str, [ours, theirs]: [&str; 2]) -> Result<Decoded, ApiError> {
        let text = Bytes::from(serde_json::to_vec(self).expect("strings and numbers serialise"));
        let object = Object::read(&text).map_err(|error| ApiError::malformed_json(error.to_string()))?;
        super::chat::decode(id, &object).map_err(|mut error| {
            if error.param.as_deref() == Some(ours) {
                error.param = Some(theirs.to_owned());
                error.message = error.message.replace(&format!("`{ours}`"), &format!("`{theirs}`"));
            }
            error
        })
    }
}

impl Turn {
    pub(super) fn new(role: &'static str, content: Content) -> Self {
        let content = Some(content);
        Self { role, content, reasoning_content: None, tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// Adds what the user says: to the last turn, if that is the user's, as many templates want turns to alternate.
pub(super) fn user_says(turns: &mut Vec<Turn>, parts: Vec<Part>) {
    if parts.is_empty() {
        return;
    }
    match turns.last_mut() {
        Some(Turn { role: "user", content: Some(content), .. }) => content.add(parts),
        _ => turns.push(Turn::new("user", Content::of(parts))),
    }
}

/// Adds what the system says after the conversation has begun. It stands in a turn of the user, marked as agents mark it:
/// templates of many models take such a message at the beginning alone.
pub(super) fn system_says(turns: &mut Vec<Turn>, text: &str) {
    user_says(turns, vec![Part::text(format!("<system-reminder>\n{text}\n</system-reminder>"))]);
}

impl Content {
    fn add(&mut self, more: Vec<Part>) {
        let mut parts = match std::mem::replace(self, Self::Parts(Vec::new())) {
            Self::Text(text) => vec![Part::text(text)],
            Self::Parts(parts) => parts,
        };
        parts.extend(more);
        *self = Self::Parts(parts);
    }

    /// One text by itself is a plain text, which every host reads.
    pub(super) fn of(mut parts: Vec<Part>) -> Self {
        match parts.as_mut_slice() {
            [Part::Text { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Parts(parts),
        }
    }
}

impl Part {
    pub(super) fn text(text: String) -> Self {
        Self::Text { text }
    }

    pub(super) fn image(url: String) -> Self {
        Self::ImageUrl { image_url: Url { url } }
    }

    pub(super) fn file(filename: Option<String>, file_data: String) -> Self {
        Self::File { file: File { filename, file_data } }
    }
}

impl Call {
    pub(super) fn new(id: String, name: String, arguments: String) -> Self {
        Self { id, r#type: "function", function: Called { name, arguments } }
    }
}

impl Tool {
    pub(super) fn function(
        name: String,
        description: Option<String>,
        parameters: Option<Box<RawValue>>,
        strict: Option<bool>,
    ) -> Self {
        Self { r#type: "function", function: Function { name, description, parameters, strict } }
    }
}

impl Schema {
    /// Some object.
    pub(super) fn any_object() -> Self {
        Self::JsonObject
    }

    pub(super) fn named(name: String, strict: bool, schema: Box<RawValue>) -> Self {
        Self::JsonSchema { json_schema: JsonSchema { name, strict, schema } }
    }
}

/// A `tool_choice` of one word.
pub(super) fn word(word: &str) -> Box<RawValue> {
    to_raw_value(word).expect("a string serialises")
}

/// A `tool_choice` of one function.
pub(super) fn named(name: &str) -> Box<RawValue> {
    to_raw_value(&serde_json::json!({"type": "function", "function": {"name": name}})).expect("strings serialise")
}
