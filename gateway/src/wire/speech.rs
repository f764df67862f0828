//! `POST /v1/audio/speech`: the request. Voices, formats and the like stay in the bytes; the sound goes out as it comes.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Decoded, task};
use crate::respond::error::ApiError;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SpeechRequest")]
pub(super) struct Speech {
    model: String,
    input: String,
}

/// Reads the body of a request for speech.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Speech = super::parse(object)?;
    let payload = super::payload(object)?;
    let input = Input::Texts(vec![asked.input]);
    let mut decoded = task::decoded(id, (Api::Speech, Task::Speech), asked.model, payload, input, None);
    decoded.request.stream = true;
    Ok(decoded)
}
