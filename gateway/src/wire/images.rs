//! `POST /v1/images/generations`: the request. Sizes, formats and the like stay in the bytes.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Decoded, task};
use crate::respond::error::ApiError;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ImageRequest")]
pub(super) struct Picture {
    model: String,
    prompt: String,
    #[serde(default)]
    stream: Option<bool>,
}

/// Reads the body of a request for pictures.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Picture = super::parse(object)?;
    let payload = super::payload(object)?;
    if asked.stream == Some(true) {
        let message = "`stream`: pictures come whole here, not piece by piece";
        return Err(ApiError::invalid("stream".to_owned(), message).hint("leave `stream` out"));
    }
    let input = Input::Texts(vec![asked.prompt]);
    Ok(task::decoded(id, (Api::Images, Task::Images), asked.model, payload, input, None))
}
