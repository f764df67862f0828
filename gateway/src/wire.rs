//! Wire formats, both ways: the JSON of OpenAI's chat, completions, responses, embeddings, moderations, images and models
//! endpoints, of Anthropic's messages, of Cohere's and Jina's rerank, and of vLLM's tokenize.
//!
//! Decoding reads a body into a [`backends::Request`] and keeps the bytes. It is strict about what the gateway uses
//! (types, ranges, keys that could choose a model past the policies) and silent about all else: unknown fields stay in
//! the bytes and are forwarded. Nothing here knows a key, a policy or a backend.

mod asked;
pub mod chat;
mod chat_body;
mod client_api;
pub mod completions;
pub mod embeddings;
mod fields;
pub(crate) mod form;
pub mod images;
pub mod messages;
pub mod models;
pub mod moderations;
pub mod rerank;
pub mod responses;
pub mod speech;
mod task;
mod text_or_list;
pub mod tokens;
pub mod transcriptions;

use std::sync::Arc;

use backends::{Object, Payload, PayloadError, Request};
use bytes::Bytes;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

pub use client_api::ClientApi;

use crate::respond::error::{ApiError, clip};

/// A decoded request.
#[derive(Debug)]
pub struct Decoded {
    /// The `model` the caller wrote.
    pub model: String,
    /// The request.
    pub request: Request,
    /// What it asks of a model beyond text.
    pub needs: policies::Needs,
    /// The JSON of its `metadata`, not read yet: policies match values of it only where the configuration declares them.
    pub metadata: Option<Box<RawValue>>,
    /// How the caller is answered.
    pub manner: Manner,
    /// What of the request is not passed on and might be missed, as paths of fields.
    pub left_out: Vec<String>,
}

/// How a caller is answered: the API, and what of its request the answer depends on.
#[derive(Debug, Default)]
pub enum Manner {
    /// In the API that backends answer in.
    #[default]
    OpenAi,
    /// In Anthropic's.
    Messages {
        /// Whether the caller takes the model's reasoning.
        shows_reasoning: bool,
    },
    /// In the Responses API.
    Responses(Arc<responses::Echo>),
}

/// Characters of a model's name; the longest that a host has are half as long.
const MAX_MODEL: usize = 256;
/// Characters of a parser's complaint, which may quote what the caller wrote.
const MAX_CAUSE: usize = 300;

/// Decodes the body of a request.
///
/// # Errors
/// A 400 that names the field, what was expected and what was found.
pub fn decode(api: ClientApi, id: &str, bytes: Bytes) -> Result<Decoded, ApiError> {
    with(bytes, |object| match api {
        ClientApi::Chat => chat::decode(id, object),
        ClientApi::Completions => completions::decode(id, object),
        ClientApi::Messages => messages::decode(id, object, messages::For::Answer),
        ClientApi::Responses => responses::decode(id, object, None),
        ClientApi::Embeddings => embeddings::decode(id, object),
        ClientApi::Rerank => rerank::decode(id, object),
        ClientApi::Moderations => moderations::decode(id, object),
        ClientApi::Images => images::decode(id, object),
        ClientApi::Speech => speech::decode(id, object),
        ClientApi::Transcriptions => Err(ApiError::invalid(None, "sound comes as a form, not as JSON")),
        ClientApi::Tokenize => tokens::decode(id, object),
        ClientApi::Detokenize => tokens::decode_ids(id, object),
        ClientApi::TokenizerInfo => tokens::decode_info(id, object),
    })
}

/// The fields of a request that are read, as a JSON schema.
pub fn schema(api: ClientApi, generator: &mut SchemaGenerator) -> Schema {
    let mut all: Vec<Schema> = Vec::new();
    match api {
        ClientApi::Chat => {
            all.push(generator.subschema_for::<chat::Chat>());
            all.push(generator.subschema_for::<asked::ToolFields>());
        }
        ClientApi::Completions => all.push(generator.subschema_for::<completions::Completion>()),
        ClientApi::Messages => return generator.subschema_for::<messages::Messages>(),
        ClientApi::Responses => return generator.subschema_for::<responses::Responses>(),
        ClientApi::Embeddings => return generator.subschema_for::<embeddings::Embeddings>(),
        ClientApi::Rerank => return generator.subschema_for::<rerank::Rerank>(),
        ClientApi::Moderations => return generator.subschema_for::<moderations::Moderation>(),
        ClientApi::Images => return generator.subschema_for::<images::Picture>(),
        ClientApi::Speech => return generator.subschema_for::<speech::Speech>(),
        ClientApi::Transcriptions | ClientApi::TokenizerInfo => return json_schema!({"type": "object"}),
        ClientApi::Tokenize => {
            let turns = generator.subschema_for::<chat::Chat>();
            let text = generator.subschema_for::<tokens::Tokenize>();
            return json_schema!({"anyOf": [text, turns]});
        }
        ClientApi::Detokenize => return generator.subschema_for::<tokens::Detokenize>(),
    }
    all.push(generator.subschema_for::<fields::Fields>());
    all.push(generator.subschema_for::<asked::ShapeFields>());
    json_schema!({"allOf": all})
}

/// Decodes the body of a request of the Responses API, whose caller may go on from what `before` tells of an earlier one.
///
/// # Errors
/// Those of [`decode`], and a 400 for an earlier response that is not known.
pub fn decode_response(id: &str, bytes: Bytes, before: &responses::Before<'_>) -> Result<Decoded, ApiError> {
    with(bytes, |object| responses::decode(id, object, Some(before)))
}

/// Decodes the body of a request to count the tokens of a prompt, in Anthropic's API.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_to_count(id: &str, bytes: Bytes) -> Result<Decoded, ApiError> {
    with(bytes, |object| messages::decode(id, object, messages::For::Count))
}

fn with(bytes: Bytes, decode: impl FnOnce(&Object<'_>) -> Result<Decoded, ApiError>) -> Result<Decoded, ApiError> {
    // A derived struct would also read an array, field by field, and complain in its own terms.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
        return Err(ApiError::malformed_json("the body is no JSON object"));
    }
    let object = Object::read(&bytes).map_err(|error| explain::<IgnoredAny>(&bytes, &error))?;
    let decoded = decode(&object)?;
    let length = decoded.model.chars().count();
    if length > MAX_MODEL {
        return Err(fields::out_of_range("model", &format!("at most {MAX_MODEL} characters"), length));
    }
    Ok(decoded)
}

/// Reads the fields of `T`; on failure the whole body once more, slowly, to name the field.
fn parse<T: DeserializeOwned>(object: &Object<'_>) -> Result<T, ApiError> {
    object.decode().map_err(|error| explain::<T>(object.bytes(), &error))
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
    let path = clip(&error.path().to_string(), MAX_CAUSE);
    let inner = clip(&error.into_inner().to_string(), MAX_CAUSE);
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

/// The payload of a body that has parsed as a request.
fn payload(object: &Object<'_>) -> Result<Payload, ApiError> {
    Payload::of(object).map_err(|error| match &error {
        PayloadError::Spelling { key } => {
            ApiError::invalid(Some((*key).to_owned()), error.to_string()).hint(format!("write it `{key}`, and once"))
        }
        PayloadError::Chooses { key } => ApiError::invalid(Some((*key).to_owned()), error.to_string())
            .hint("leave it out: `model` names what you want, and policy chooses where it runs"),
        _ => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            ApiError::malformed_json(format!("{error}: {}", clip(&cause, MAX_CAUSE)))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::Value;

    use super::*;

    fn error(api: ClientApi, body: &'static [u8]) -> (u16, Option<String>, String) {
        let error = decode(api, "r", Bytes::from_static(body)).unwrap_err();
        (error.status.as_u16(), error.param, error.message)
    }

    #[test]
    fn a_wrong_field_is_named_with_its_path() {
        let (status, param, message) =
            error(ClientApi::Chat, br#"{"model":"m","messages":[{"role":"user","content":7}]}"#);
        assert_eq!((status, param.as_deref()), (400, Some("messages[0].content")));
        assert!(message.contains("expected a string or an array of content parts"), "{message}");
        let (_, param, _) = error(ClientApi::Chat, br#"{"model":"m","messages":[{"content":"hi"}]}"#);
        assert_eq!(param.as_deref(), Some("messages[0].role"));
        let (_, param, _) = error(ClientApi::Chat, br#"{"messages":[{"role":"user","content":"hi"}]}"#);
        assert_eq!(param.as_deref(), Some("model"));
        let (_, param, _) = error(ClientApi::Chat, br#"{"model":"m","messages":[]}"#);
        assert_eq!(param.as_deref(), Some("messages"));
        let (_, param, _) = error(ClientApi::Completions, br#"{"model":"m"}"#);
        assert_eq!(param.as_deref(), Some("prompt"));
        let (_, param, _) =
            error(ClientApi::Chat, br#"{"model":"m","temperature":"hot","messages":[{"role":"user","content":"x"}]}"#);
        assert_eq!(param.as_deref(), Some("temperature"));
    }

    #[test]
    fn what_is_not_json_or_not_utf8_is_said_to_be_so() {
        assert!(error(ClientApi::Chat, b"[]").2.contains("no JSON object"));
        assert!(error(ClientApi::Chat, b"{\"model\": \"m\"").2.contains("not JSON"));
        assert!(error(ClientApi::Chat, b"").2.contains("not JSON"));
        assert!(error(ClientApi::Chat, b"{\"model\":\"\xff\"}").2.contains("byte 10"));
    }

    #[test]
    fn a_key_that_stands_there_twice_is_refused() {
        let (status, ..) =
            error(ClientApi::Chat, br#"{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"}"#);
        assert_eq!(status, 400);
    }

    #[test]
    fn what_a_caller_wrote_is_not_thrown_back_whole() {
        let long = "x".repeat(100_000);
        let model = format!(r#"{{"model":"{long}","messages":[{{"role":"user","content":"x"}}]}}"#);
        let wrong = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"temperature":"{long}"}}"#);
        for body in [model, wrong] {
            let error = decode(ClientApi::Chat, "r", body.into()).unwrap_err();
            assert!(error.message.len() < 1_000 && error.status.as_u16() == 400, "{}", error.message.len());
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_stack_overflow() {
        let deep = [b"{\"model\":\"m\",\"messages\":".as_slice(), "[".repeat(100_000).as_bytes()].concat();
        assert_eq!(decode(ClientApi::Chat, "r", deep.into()).unwrap_err().status.as_u16(), 400);
    }

    /// Some JSON, with the keys and words that the APIs know among others.
    fn json() -> impl Strategy<Value = Value> {
        const WORDS: [&str; 24] = [
            "user",
            "assistant",
            "system",
            "tool",
            "text",
            "image",
            "document",
            "tool_use",
            "tool_result",
            "thinking",
            "base64",
            "url",
            "function",
            "custom",
            "function_call",
            "function_call_output",
            "reasoning",
            "message",
            "input_text",
            "input_image",
            "json_schema",
            "auto",
            "\u{1f980}",
            "",
        ];
        const KEYS: [&str; 22] = [
            "type",
            "role",
            "content",
            "text",
            "source",
            "media_type",
            "data",
            "url",
            "id",
            "name",
            "input",
            "tool_use_id",
            "call_id",
            "arguments",
            "output",
            "summary",
            "image_url",
            "input_schema",
            "parameters",
            "format",
            "schema",
            "thinking",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            select(WORDS.to_vec()).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((select(KEYS.to_vec()), inner), 0..6).prop_map(object),
            ]
        })
    }

    fn object(pairs: Vec<(&'static str, Value)>) -> Value {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    }

    /// A turn as it mostly is, with blocks of any kind.
    fn turn() -> impl Strategy<Value = Value> {
        let block = prop_oneof![
            "[a-z\u{1f980}]{0,3}".prop_map(|text| object(vec![("type", "text".into()), ("text", text.into())])),
            json(),
        ];
        let content = prop_oneof!["[a-z]{0,3}".prop_map(Value::from), vec(block, 0..3).prop_map(Value::from)];
        let role = select(vec!["user", "assistant", "system"]);
        (role, content).prop_map(|(role, content)| object(vec![("role", role.into()), ("content", content)]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_a_body_holds_it_is_refused_with_a_400_or_becomes_a_body_that_hosts_can_read(
            fields in vec((select(vec![
                "messages", "input", "system", "tools", "tool_choice", "max_tokens", "max_output_tokens", "instructions", "text",
                "metadata", "stop_sequences", "thinking", "output_config", "stream", "temperature", "prompt", "container",
            ]), json()), 0..8),
            turns in vec(prop_oneof![1 => json(), 5 => turn()], 1..4),
        ) {
            let mut body = object(fields);
            body["model"] = "m".into();
            // Otherwise most would be refused for the first thing that is missing.
            for (key, value) in [("max_tokens", Value::from(5)), ("messages", turns.clone().into()), ("input", turns.into())] {
                if body.get(key).is_none() {
                    body[key] = value;
                }
            }
            let apis = [ClientApi::Chat, ClientApi::Completions, ClientApi::Messages, ClientApi::Responses];
            for api in apis {
                match decode(api, "r", body.to_string().into()) {
                    Err(error) => prop_assert_eq!(error.status.as_u16(), 400),
                    Ok(decoded) => {
                        let sent: Value = serde_json::from_slice(decoded.request.payload.bytes()).unwrap();
                        prop_assert_eq!(&sent["model"], "m");
                        let input = if decoded.request.api == backends::Api::Chat { "messages" } else { "prompt" };
                        prop_assert!(sent.get(input).is_some(), "{sent}");
                    }
                }
            }
        }
    }
}
