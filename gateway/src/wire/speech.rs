//! `POST /v1/audio/speech`: the request. Voices, formats and the like stay in the bytes; the sound comes whole.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Decoded, fields::unknown, task};
use crate::respond::error::ApiError;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SpeechRequest")]
pub(super) struct Speech {
    model: String,
    input: String,
    #[serde(default)]
    stream_format: Option<String>,
}

/// Reads the body of a request for speech.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Speech = super::parse(object)?;
    let payload = super::payload(object)?;
    if let Some(format) = asked.stream_format.filter(|format| format != "audio") {
        return Err(unknown("stream_format", &format, "`audio`: sound comes whole here"));
    }
    let input = Input::Texts(vec![asked.input]);
    Ok(task::decoded(id, (Api::Speech, Task::Speech), asked.model, payload, input, None))
}
