//! `POST /v1/completions`: the request.

use backends::{Api, Input, Prompt, Request};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{Decoded, fields::Fields, fields::out_of_range};
use crate::respond::error::ApiError;

/// Most rivals a token that `logprobs` may ask for.
const MAX_LOGPROBS: i64 = 20;
/// Most prompts of one request; each costs a slot.
const MAX_PROMPTS: usize = 256;

/// The fields of a completions request that the gateway reads.
#[derive(Deserialize)]
struct Completion {
    prompt: Prompts,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    logprobs: Option<i64>,
}

/// Reads the body of a completions request.
pub(super) fn decode(id: &str, bytes: Bytes) -> Result<Decoded, ApiError> {
    let mut fields: Fields = super::parse(&bytes)?;
    let completion: Completion = super::parse(&bytes)?;
    let payload = super::payload(bytes)?;
    let prompts = completion.prompt.0;
    if prompts.is_empty() || prompts.len() > MAX_PROMPTS {
        return Err(out_of_range("prompt", &format!("between 1 and {MAX_PROMPTS} prompts"), prompts.len()));
    }
    let logprobs = match completion.logprobs {
        None => None,
        Some(top) => Some(
            u8::try_from(top)
                .ok()
                .filter(|_| top <= MAX_LOGPROBS)
                .ok_or_else(|| out_of_range("logprobs", &format!("between 0 and {MAX_LOGPROBS}"), top))?,
        ),
    };
    let needs = policies::Needs { completions: true, logprobs: logprobs.is_some(), ..fields.needs() };
    let request = Request {
        id: id.to_owned(),
        api: Api::Completions,
        payload,
        // The default of this API is 16, not the rest of the window.
        max_tokens: Some(fields.max_tokens()?.unwrap_or(16)),
        stop: fields.stop()?,
        choices: fields.choices()?,
        sampling: fields.sampling()?,
        stream: fields.stream.unwrap_or(false),
        include_usage: fields.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        logprobs,
        echo: completion.echo.unwrap_or(false),
        input: Input::Prompts(prompts),
    };
    Ok(Decoded { model: fields.model, request, needs })
}

/// `prompt`: a string, strings, token ids, or lists of token ids.
struct Prompts(Vec<Prompt>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Id(u32),
    Text(String),
    Ids(Vec<u32>),
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Prompts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, an array of strings, an array of token ids, or an array of those")
            }

            fn visit_str<E>(self, text: &str) -> Result<Prompts, E> {
                Ok(Prompts(vec![Prompt::Text(text.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompts, A::Error> {
                let mut prompts = Vec::new();
                let mut ids = Vec::new();
                while let Some(item) = items.next_element()? {
                    match item {
                        Item::Id(id) if prompts.is_empty() => ids.push(id),
                        Item::Text(text) if ids.is_empty() => prompts.push(Prompt::Text(text)),
                        Item::Ids(tokens) if ids.is_empty() => prompts.push(Prompt::Tokens(tokens)),
                        _ => return Err(A::Error::custom("expected texts or token ids, found both in one array")),
                    }
                }
                if !ids.is_empty() {
                    prompts.push(Prompt::Tokens(ids));
                }
                Ok(Prompts(prompts))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(prompt: &str) -> Result<Vec<Prompt>, ApiError> {
        let decoded = decode("r", format!(r#"{{"model":"m","prompt":{prompt}}}"#).into())?;
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
        for prompt in [r#"[1,"a"]"#, r#"["a",1]"#, "[-1]", "{}", "[]", "null"] {
            let param = prompts(prompt).unwrap_err().param.unwrap();
            assert!(param.starts_with("prompt"), "{prompt}: {param}");
        }
    }
}
