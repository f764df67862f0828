//! `POST /v1/moderations`: the request.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Decoded,
    fields::out_of_range,
    task,
    text_or_list::{Entry, TextOr, text_or_list},
};
use crate::respond::error::ApiError;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ModerationRequest")]
pub(super) struct Moderation {
    model: String,
    #[serde(deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<Written>")]
    input: Vec<Judged>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

/// What is to be judged: a text, or nothing that is one.
struct Judged(Option<String>);

/// A text, or a part as in a chat.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a content part")]
#[schemars(rename = "ModerationInput")]
enum Written {
    Text(String),
    Part {
        #[serde(default)]
        text: Option<String>,
    },
}

impl Entry for Judged {
    type Wire<'de> = Written;

    const EXPECTED: &'static str = "a string, an array of strings, or an array of content parts";

    fn of_text(text: String) -> Self {
        Self(Some(text))
    }

    fn of_wire(wire: Written) -> Self {
        match wire {
            Written::Text(text) => Self(Some(text)),
            Written::Part { text } => Self(text),
        }
    }
}

/// Reads the body of a moderation request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Moderation = super::parse(object)?;
    let payload = super::payload(object)?;
    if asked.input.is_empty() {
        return Err(out_of_range("input", "at least one text", "none"));
    }
    let input = Input::Texts(asked.input.into_iter().filter_map(|judged| judged.0).collect());
    Ok(task::decoded(id, (Api::Moderations, Task::Moderations), asked.model, payload, input, asked.metadata))
}
