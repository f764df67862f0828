//! `POST /v1/completions`: the request.

use std::borrow::Cow;

use backends::{Api, Input, Object, Prompt, Request};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::json;

use super::{
    Decoded, Manner, asked,
    fields::{self, Fields, out_of_range},
};
use crate::respond::error::ApiError;

/// Most rivals a token that `logprobs` may ask for.
const MAX_LOGPROBS: i64 = 20;
/// Most answers of one request, over all prompts; each costs a slot.
const MAX_PROMPTS: usize = 256;

/// The fields of a completions request that the gateway reads.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CompletionFields")]
pub(super) struct Completion {
    prompt: Prompts<MAX_PROMPTS>,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    best_of: Option<i64>,
    #[serde(default)]
    logprobs: Option<i64>,
}

/// Reads the body of a completions request.
pub(super) fn decode(id: &str, object: &Object<'_>) -> Result<Decoded, ApiError> {
    let mut fields: Fields = super::parse(object)?;
    let completion: Completion = super::parse(object)?;
    let payload = super::payload(object)?;
    let prompts = completion.prompt.0;
    let choices = fields.choices()?;
    if prompts.is_empty() {
        return Err(out_of_range("prompt", "at least one prompt", "none"));
    }
    if prompts.len() * choices as usize > MAX_PROMPTS {
        return Err(out_of_range("n", &format!("at most {MAX_PROMPTS} answers over all prompts"), choices));
    }
    let best_of = completion
        .best_of
        .map(|best| u32::try_from(best).map_err(|_| out_of_range("best_of", "0 or more", best)))
        .transpose()?;
    let logprobs = match completion.logprobs {
        None => None,
        Some(top) => Some(
            u8::try_from(top)
                .ok()
                .filter(|_| top <= MAX_LOGPROBS)
                .ok_or_else(|| out_of_range("logprobs", &format!("between 0 and {MAX_LOGPROBS}"), top))?,
        ),
    };
    let shape = asked::shape(object)?;
    let needs = policies::Needs {
        completions: true,
        json_schema: shape.is_some(),
        logprobs: logprobs.is_some(),
        ..fields.needs()
    };
    let request = Request {
        // The default of this API is 16, not the rest of the window.
        max_tokens: Some(fields.max_tokens()?.unwrap_or(16)),
        stop: fields.stop()?,
        choices,
        sampling: fields.sampling()?,
        priority: fields::priority(fields.service_tier.as_deref()),
        stream: fields.stream.unwrap_or(false),
        include_usage: fields.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        logprobs,
        echo: completion.echo.unwrap_or(false),
        suffix: completion.suffix.is_some_and(|suffix| !suffix.is_empty()),
        best_of,
        shape,
        ..Request::new(id, Api::Completions, payload, Input::Prompts(prompts))
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

/// A string, strings, token ids, or lists of token ids: at most so many.
pub(super) struct Prompts<const MOST: usize>(pub(super) Vec<Prompt>);

/// One element of the `prompt` array.
enum Item {
    Id(u32),
    Text(String),
    Ids(Vec<u32>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl<'de> Visitor<'de> for One {
            type Value = Item;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, a token id of 0 or more, or an array of token ids")
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Item, E> {
                u32::try_from(id)
                    .map(Item::Id)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(id), &self))
            }

            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Item, A::Error> {
                let mut tokens = Vec::new();
                while let Some(id) = ids.next_element()? {
                    tokens.push(id);
                }
                Ok(Item::Ids(tokens))
            }
        }

        deserializer.deserialize_any(One)
    }
}

impl<const MOST: usize> JsonSchema for Prompts<MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("UpTo{MOST}TextsOrTokens").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let id = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
        let ids = json!({"type": "array", "items": id});
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "maxItems": MOST},
            ids,
            {"type": "array", "items": ids, "maxItems": MOST},
        ]})
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Prompts<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<const MOST: usize>;

        impl<'de, const MOST: usize> Visitor<'de> for Any<MOST> {
            type Value = Prompts<MOST>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, an array of strings, an array of token ids, or an array of those")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Prompts(vec![Prompt::Text(text.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut prompts = Vec::new();
                let mut ids = Vec::new();
                while let Some(item) = items.next_element()? {
                    match item {
                        Item::Id(id) if prompts.is_empty() => ids.push(id),
                        Item::Text(text) if ids.is_empty() => prompts.push(Prompt::Text(text)),
                        Item::Ids(tokens) if ids.is_empty() => prompts.push(Prompt::Tokens(tokens)),
                        _ => return Err(A::Error::custom("expected texts or token ids, found both in one array")),
                    }
                    // Counted while they come: millions of empty prompts fit into a body.
                    if prompts.len() > MOST {
                        return Err(A::Error::custom(format_args!("expected at most {MOST} texts")));
                    }
                }
                if !ids.is_empty() {
                    prompts.push(Prompt::Tokens(ids));
                }
                Ok(Prompts(prompts))
            }
        }

        deserializer.deserialize_any(Any::<MOST>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(prompt: &str) -> Result<Vec<Prompt>, ApiError> {
        let decoded = crate::wire::decode(
            crate::wire::ClientApi::Completions,
            "r",
            format!(r#"{{"model":"m","prompt":{prompt}}}"#).into(),
        )?;
        let Input::Prompts(prompts) = decoded.request.input else { panic!("prompts") };
        Ok(prompts)
    }

    #[test]
    fn every_form_of_prompt_is_read() {
        let text = |text: &str| Prompt::Text(text.to_owned());
        assert_eq!(prompts(r#""a""#).unwrap(), [text("a")]);
        assert_eq!(prompts(r#"["a","b"]"#).unwrap(), [text("a"), text("b")]);
        assert_eq!(prompts("[1,2]").unwrap(), [Prompt::Tokens(vec![1, 2])]);
        assert_eq!(prompts("[[1],[2,3]]").unwrap(), [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]);
    }

    #[test]
    fn mixed_and_negative_prompts_are_refused_by_name() {
        for prompt in [r#"[1,"a"]"#, r#"["a",1]"#, "[-1]", "[4294967296]", "{}", "[]", "null"] {
            let param = prompts(prompt).unwrap_err().param.unwrap();
            assert!(param.starts_with("prompt"), "{prompt}: {param}");
        }
    }
}
