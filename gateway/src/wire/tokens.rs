//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, in the shape of vLLM: the requests.

use backends::{Api, Input, Object};
use policies::Task;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Decoded, chat, fields::out_of_range, task};
use crate::respond::error::ApiError;

/// Most tokens whose text is asked for: more than any window holds.
const MAX_TOKENS: usize = 1 << 20;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "TokenizeText")]
pub(super) struct Tokenize {
    model: String,
    prompt: String,
    #[serde(default)]
    add_special_tokens: Option<bool>,
}

#[derive(Deserialize)]
struct Info {
    model: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "DetokenizeRequest")]
pub(super) struct Detokenize {
    model: String,
    tokens: Vec<u32>,
}

/// Reads the body of a request for the tokens of a text, or of a conversation.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let what = (Api::Tokenize, Task::Tokens);
    if object.has("messages") {
        let chat = chat::decode(id, object)?;
        let (model, payload, input) = (chat.model, chat.request.payload, chat.request.input);
        return Ok(task::decoded(id, what, model, payload, input, chat.metadata));
    }
    let asked: Tokenize = super::parse(object)?;
    let payload = super::payload(object)?;
    let input = Input::Tokenize { text: asked.prompt, special: asked.add_special_tokens.unwrap_or(true) };
    Ok(task::decoded(id, what, asked.model, payload, input, None))
}

/// A question for what a model's tokenizer is.
pub(super) fn decode_info(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Info = super::parse(object)?;
    let payload = super::payload(object)?;
    Ok(task::decoded(id, (Api::TokenizerInfo, Task::Tokens), asked.model, payload, Input::TokenizerInfo, None))
}

/// Reads the body of a request for the text of tokens.
pub(super) fn decode_ids(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let asked: Detokenize = super::parse(object)?;
    let payload = super::payload(object)?;
    if asked.tokens.len() > MAX_TOKENS {
        return Err(out_of_range("tokens", &format!("at most {MAX_TOKENS}"), asked.tokens.len()));
    }
    let input = Input::Detokenize(asked.tokens);
    Ok(task::decoded(id, (Api::Detokenize, Task::Tokens), asked.model, payload, input, None))
}
