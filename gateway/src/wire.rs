//! Wire formats, both ways: the JSON of OpenAI's chat, completions and models endpoints.
//!
//! Decoding reads a body once into a [`backends::Request`] and keeps the bytes. It is strict about what the
//! gateway uses (types, ranges) and silent about all else: unknown fields stay in the bytes and are forwarded.
//! Nothing here knows a key, a policy, a backend or HTTP.

pub mod chat;
pub mod completions;
mod fields;
pub mod models;

use backends::{Api, Payload, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::respond::error::ApiError;

/// A decoded generation request.
#[derive(Debug)]
pub struct Decoded {
    /// The `model` the caller wrote.
    pub model: String,
    /// The request.
    pub request: Request,
    /// What it asks of a model beyond text.
    pub needs: policies::Needs,
}

/// Decodes the body of a generation request.
///
/// # Errors
/// A 400 that names the field, what was expected and what was found.
pub fn decode(api: Api, id: &str, bytes: Bytes) -> Result<Decoded, ApiError> {
    match api {
        Api::Chat => chat::decode(id, bytes),
        Api::Completions => completions::decode(id, bytes),
    }
}

/// Reads JSON into `T`; on failure once more, slowly, to name the field.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    if let Err(utf8) = std::str::from_utf8(bytes) {
        return ApiError::malformed_json(format!(
            "the body is not UTF-8: byte {} begins no character",
            utf8.valid_up_to()
        ));
    }
    if !error.is_data() {
        return ApiError::malformed_json(format!("the body is not JSON: {error}"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return ApiError::malformed_json(error.to_string());
    };
    let path = error.path().to_string();
    let inner = error.into_inner().to_string();
    // A missing field is reported at its parent, with its name in the message.
    let missing = inner.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let param = match (path.as_str(), missing) {
        (".", None) => None,
        (".", Some(field)) => Some(field.to_owned()),
        (parent, Some(field)) => Some(format!("{parent}.{field}")),
        (path, None) => Some(path.to_owned()),
    };
    let message = match &param {
        Some(param) => format!("`{param}`: {inner}"),
        None => inner,
    };
    ApiError::invalid(param, message)
}

/// The payload of bytes that have parsed as a request.
fn payload(bytes: Bytes) -> Result<Payload, ApiError> {
    Payload::new(bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        ApiError::malformed_json(format!("{error}: {cause}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(api: Api, body: &'static [u8]) -> (u16, Option<String>, String) {
        let error = decode(api, "r", Bytes::from_static(body)).unwrap_err();
        (error.status.as_u16(), error.param, error.message)
    }

    #[test]
    fn a_wrong_field_is_named_with_its_path() {
        let (status, param, message) = error(Api::Chat, br#"{"model":"m","messages":[{"role":"user","content":7}]}"#);
        assert_eq!((status, param.as_deref()), (400, Some("messages[0].content")));
        assert!(message.contains("expected a string or an array of content parts"), "{message}");
        let (_, param, _) = error(Api::Chat, br#"{"model":"m","messages":[{"content":"hi"}]}"#);
        assert_eq!(param.as_deref(), Some("messages[0].role"));
        let (_, param, _) = error(Api::Chat, br#"{"messages":[{"role":"user","content":"hi"}]}"#);
        assert_eq!(param.as_deref(), Some("model"));
        let (_, param, _) = error(Api::Chat, br#"{"model":"m","messages":[]}"#);
        assert_eq!(param.as_deref(), Some("messages"));
        let (_, param, _) = error(Api::Completions, br#"{"model":"m"}"#);
        assert_eq!(param.as_deref(), Some("prompt"));
        let (_, param, _) =
            error(Api::Chat, br#"{"model":"m","temperature":"hot","messages":[{"role":"user","content":"x"}]}"#);
        assert_eq!(param.as_deref(), Some("temperature"));
    }

    #[test]
    fn what_is_not_json_or_not_utf8_is_said_to_be_so() {
        assert!(error(Api::Chat, b"{\"model\": \"m\"").2.contains("not JSON"));
        assert!(error(Api::Chat, b"").2.contains("not JSON"));
        assert!(error(Api::Chat, b"{\"model\":\"\xff\"}").2.contains("byte 10"));
    }

    #[test]
    fn a_key_that_stands_there_twice_is_refused() {
        let (status, ..) = error(Api::Chat, br#"{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"}"#);
        assert_eq!(status, 400);
    }

    #[test]
    fn deep_nesting_is_refused_without_a_stack_overflow() {
        let deep = [b"{\"model\":\"m\",\"messages\":".as_slice(), "[".repeat(100_000).as_bytes()].concat();
        assert_eq!(decode(Api::Chat, "r", deep.into()).unwrap_err().status.as_u16(), 400);
    }
}
