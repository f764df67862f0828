//! `POST /v1/chat/completions`: the request.

use std::{fmt, sync::Arc};

use backends::{Api, Input, Message, Object, Part, Request, ToolUse};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Decoded, Manner, asked,
    fields::{self, Fields, out_of_range},
    text_or_list::{Entry, TextOr, text_or_list},
};
use crate::respond::error::ApiError;

/// Most rivals a token that `top_logprobs` may ask for.
const MAX_TOP_LOGPROBS: i64 = 20;

/// The fields of a chat request that the gateway reads.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatFields")]
pub(super) struct Chat {
    messages: Vec<Turn>,
    #[serde(default)]
    tools: Option<Box<RawValue>>,
    #[serde(default)]
    chat_template_kwargs: Option<Box<RawValue>>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<i64>,
}

/// One message as it stands on the wire.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
struct Turn {
    role: String,
    #[serde(default, deserialize_with = "text_or_list")]
    #[schemars(with = "TextOr<WirePart>")]
    content: Vec<Part>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatToolCall")]
struct Call {
    #[serde(default)]
    id: String,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatFunctionCall")]
struct Function {
    name: String,
    #[serde(default)]
    arguments: String,
}

/// A part of a content array. Only text is read; of what else it holds, which stays in the payload, a hash, and a picture's
/// place as it is written.
#[derive(JsonSchema)]
#[schemars(rename = "ChatContentPart")]
pub(super) struct WirePart {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[schemars(skip)]
    digest: u64,
    #[schemars(skip)]
    held: Option<Arc<str>>,
}

impl<'de> Deserialize<'de> for WirePart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Key {
            Type,
            Text,
            #[serde(rename = "image_url")]
            Picture,
            #[serde(other)]
            Other,
        }

        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = WirePart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part, an object with a `type`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WirePart, A::Error> {
                let (mut kind, mut text, mut held, mut others) = (None, None, None, Vec::new());
                while let Some(key) = members.next_key()? {
                    match key {
                        Key::Type if kind.is_some() => return Err(A::Error::duplicate_field("type")),
                        Key::Text if text.is_some() => return Err(A::Error::duplicate_field("text")),
                        Key::Type => kind = Some(members.next_value()?),
                        Key::Text => text = Some(members.next_value::<Option<String>>()?),
                        Key::Picture if held.is_some() => return Err(A::Error::duplicate_field("image_url")),
                        Key::Picture => {
                            let picture = members.next_value::<&RawValue>()?.get();
                            others.push(picture.as_bytes());
                            held = Some(Arc::from(picture));
                        }
                        Key::Other => others.push(members.next_value::<&RawValue>()?.get().as_bytes()),
                    }
                }
                let kind = kind.ok_or_else(|| A::Error::missing_field("type"))?;
                Ok(WirePart { r#type: kind, text: text.flatten(), digest: backends::digest(others), held })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Reads the body of a chat request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let mut fields: Fields = super::parse(object)?;
    let chat: Chat = super::parse(object)?;
    let payload = super::payload(object)?;
    if chat.messages.is_empty() {
        return Err(out_of_range("messages", "at least one message", "none"));
    }
    let logprobs = logprobs(chat.logprobs, chat.top_logprobs)?;
    let messages: Vec<Message> = chat.messages.into_iter().map(Message::from).collect();
    let (asked, shape) = (asked::tools(object)?, asked::shape(object)?);
    let tools = chat.tools.filter(|tools| !matches!(tools.get(), "null" | "[]"));
    let has = |kind: &str| {
        messages
            .iter()
            .flat_map(|message| &message.content)
            .any(|part| matches!(part, Part::Other { kind: other, .. } if other.contains(kind)))
    };
    let needs = policies::Needs {
        tools: !asked.offered.is_empty(),
        json_schema: shape.is_some(),
        image: has("image"),
        audio: has("audio"),
        logprobs: logprobs.is_some(),
        ..fields.needs()
    };
    let input = Input::Chat {
        messages,
        tools: tools.map(|tools| tools.get().to_owned()),
        template_kwargs: chat.chat_template_kwargs.filter(|k| k.get() != "null").map(|k| k.get().to_owned()),
    };
    let request = Request {
        max_tokens: fields.max_tokens()?,
        stop: fields.stop()?,
        choices: fields.choices()?,
        sampling: fields.sampling()?,
        priority: fields::priority(fields.service_tier.as_deref()),
        stream: fields.stream.unwrap_or(false),
        include_usage: fields.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        logprobs,
        tools: asked,
        shape,
        ..Request::new(id, Api::Chat, payload, input)
    };
    Ok(Decoded {
        model: fields.model,
        request,
        needs,
        metadata: fields.metadata,
        manner: Manner::OpenAi,
        left_out: Vec::new(),
    })
}

fn logprobs(on: Option<bool>, top: Option<i64>) -> Result<Option<u8>, ApiError> {
    match (on.unwrap_or(false), top) {
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid("top_logprobs".to_owned(), "`top_logprobs` needs `logprobs: true`")),
        (true, top) => {
            let top = top.unwrap_or(0);
            match u8::try_from(top) {
                Ok(count) if top <= MAX_TOP_LOGPROBS => Ok(Some(count)),
                _ => Err(out_of_range("top_logprobs", &format!("between 0 and {MAX_TOP_LOGPROBS}"), top)),
            }
        }
    }
}

impl From<Turn> for Message {
    fn from(turn: Turn) -> Self {
        let calls = turn.tool_calls.unwrap_or_default();
        Self {
            role: turn.role,
            content: turn.content,
            name: turn.name,
            reasoning: turn.reasoning_content.or(turn.reasoning),
            tool_calls: calls
                .into_iter()
                .filter_map(|call| {
                    call.function.map(|function| ToolUse {
                        id: call.id,
                        name: function.name,
                        arguments: function.arguments,
                    })
                })
                .collect(),
            tool_call_id: turn.tool_call_id,
        }
    }
}

impl Entry for Part {
    type Wire<'de> = WirePart;

    const EXPECTED: &'static str = "a string or an array of content parts";

    fn of_text(text: String) -> Self {
        Self::Text(text)
    }

    fn of_wire(part: WirePart) -> Self {
        match part.text {
            // `refusal` and `thinking` parts carry their text under other keys.
            Some(text) => Self::Text(text),
            None => Self::Other { kind: part.r#type, digest: part.digest, held: part.held },
        }
    }
}

#[cfg(test)]
mod tests {
    use backends::Priority;

    use super::*;
    use crate::wire::ClientApi;

    fn decoded(body: &str) -> Decoded {
        crate::wire::decode(ClientApi::Chat, "r", body.to_owned().into()).unwrap()
    }

    #[test]
    fn a_request_of_a_real_client_is_read_whole() {
        let decoded = decoded(
            r#"{"model":"auto","messages":[{"role":"system","content":"Be short."},
                {"role":"user","content":[{"type":"text","text":"What is "},{"type":"image_url","image_url":{"url":"data:x"}},{"type":"text","text":"this?"}]},
                {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"c1","content":"4"}],
                "stream":true,"stream_options":{"include_usage":true},"max_tokens":9,"max_completion_tokens":7,
                "stop":["\n",""],"seed":-1,"logprobs":true,"top_logprobs":2,"tools":[{"type":"custom"}],"x_unknown":{"a":[1]}}"#,
        );
        let Input::Chat { messages, tools, .. } = &decoded.request.input else { panic!("a chat") };
        assert_eq!(messages[1].text(), "What is this?");
        assert_eq!(messages[2].tool_calls[0].name, "f");
        assert_eq!(tools.as_deref(), Some(r#"[{"type":"custom"}]"#));
        assert!(decoded.needs.tools && decoded.needs.image && !decoded.needs.audio && decoded.needs.logprobs);
        assert_eq!((decoded.request.max_tokens, decoded.request.logprobs), (Some(7), Some(2)));
        assert_eq!(
            decoded.request.stop,
            ["
"]
        );
        assert!(decoded.request.stream && decoded.request.include_usage);
    }

    #[test]
    fn of_the_service_tiers_flex_gives_way_to_others_and_its_bytes_stay_as_they_are() {
        for (tier, priority) in [
            (r#""flex""#, Priority::Low),
            (r#""default""#, Priority::Usual),
            (r#""priority""#, Priority::Usual),
            ("null", Priority::Usual),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"service_tier":{tier}}}"#);
            let request = decoded(&body).request;
            assert_eq!((request.priority, &request.payload.bytes()[..]), (priority, body.as_bytes()));
        }
    }

    #[test]
    fn two_pictures_are_two_parts_however_alike_their_wrapping_is() {
        let part = |held: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{held}]}}]}}"#);
            let Input::Chat { messages, .. } = decoded(&body).request.input else { panic!("a chat") };
            messages[0].content[0].clone()
        };
        let one = part(r#"{"type":"image_url","image_url":{"url":"data:1"}}"#);
        assert_eq!(one, part(r#"{"image_url":{"url":"data:1"},"type":"image_url"}"#));
        assert_ne!(one, part(r#"{"type":"image_url","image_url":{"url":"data:2"}}"#));
        assert_eq!(part(r#"{"type":"text","text":"x","cache_control":{}}"#), Part::Text("x".into()));
    }

    #[test]
    fn ranges_are_those_of_the_api() {
        for (field, param) in [
            (r#""temperature":2.1"#, "temperature"),
            (r#""top_p":-0.1"#, "top_p"),
            (r#""n":0"#, "n"),
            (r#""n":17"#, "n"),
            (r#""max_tokens":-1"#, "max_tokens"),
            (r#""logit_bias":{"a":1}"#, "logit_bias"),
            (r#""logit_bias":{"1":101}"#, "logit_bias"),
            (r#""top_logprobs":3"#, "top_logprobs"),
            (r#""logprobs":true,"top_logprobs":21"#, "top_logprobs"),
            (r#""frequency_penalty":3"#, "frequency_penalty"),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{field}}}"#);
            let error = crate::wire::decode(ClientApi::Chat, "r", body.into()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
        }
    }
}
