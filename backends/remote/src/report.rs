//! From what a host says went wrong to a [`BackendError`]: one place for statuses, error bodies and error events.
//!
//! | the host says | error | why |
//! | --- | --- | --- |
//! | 429, 498, 529; 503 with `retry-after` or an "overloaded" word | `Overloaded` | another host may have room |
//! | 400, 413, 422 with `context_length_exceeded` and both numbers | `PromptTooLong` | a longer context may hold it |
//! | the same with llama.cpp's `exceed_context_size_error` | `PromptTooLong` | likewise |
//! | 413 | `Unsupported` | the size limit is the host's, not the caller's |
//! | 405, any 3xx | `Internal` | the address is ours, not the caller's |
//! | any other | `Status` | its class says whose fault it is |
//!
//! A body is kept only where the caller is at fault: what a host says about our key, quota or failures is not
//! for callers. Messages of hosts never enter a reason, as they may quote prompts or keys.

use std::time::Duration;

use backends::{Api, BackendError, Class};
use bytes::Bytes;
use serde_json::Value;

/// The words of an error body, in any of the shapes that hosts use.
#[derive(Debug, Default)]
struct Report {
    /// A status inside the body.
    status: Option<u16>,
    kind: String,
    code: String,
    message: String,
    /// The tokens of the prompt and of the window, where they have fields of their own, as in llama.cpp.
    sizes: Option<(usize, usize)>,
}

impl Report {
    fn read(json: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(json).unwrap_or_default();
        // OpenAI nests the report under `error`; SGLang and Cerebras send it flat; TGI sends a text.
        let report = body.get("error").filter(|error| !error.is_null()).unwrap_or(&body);
        let word = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| report[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let status = ["code", "status", "status_code"].iter().find_map(|name| match &report[*name] {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        Self {
            status: status.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status)),
            kind: word("type"),
            code: word("code"),
            message: report.as_str().map_or_else(|| word("message"), str::to_owned),
            sizes: number("n_prompt_tokens").zip(number("n_ctx")),
        }
    }

    fn is(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.kind == *word || self.code == *word)
    }

    fn overloaded(&self) -> bool {
        self.is(&[
            "overloaded",
            "overloaded_error",
            "server_overloaded",
            "rate_limit_error",
            "rate_limit_exceeded",
            "too_many_requests",
            "queue_full",
        ])
    }

    /// The tokens of the prompt and of the window, from llama.cpp's fields or the sentence that OpenAI and vLLM share.
    fn too_long(&self) -> Option<BackendError> {
        if self.is(&["exceed_context_size_error"]) {
            // It refuses a prompt that fills the window, too: there is no room for an answer.
            let (got, limit) = self.sizes.filter(|(got, limit)| got >= limit)?;
            return Some(BackendError::PromptTooLong { got, limit });
        }
        if !self.is(&["context_length_exceeded"]) && !self.message.contains("maximum context length") {
            return None;
        }
        let (_, rest) = self.message.split_once("maximum context length is ")?;
        let mut numbers = rest.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        let (limit, got) = (numbers.next()?, numbers.next()?);
        (got > limit).then_some(BackendError::PromptTooLong { got, limit })
    }
}

/// The error for an answer with a status that is no success.
pub(crate) fn refused(status: u16, retry_after: Option<Duration>, body: Bytes, api: Api) -> BackendError {
    let report = Report::read(&body);
    match status {
        429 | 498 | 529 => BackendError::Overloaded { retry_after },
        503 if retry_after.is_some() || report.overloaded() => BackendError::Overloaded { retry_after },
        405 => BackendError::Internal {
            reason: "the host has no such API at this address (status 405); check `base_url`".into(),
        },
        300..400 => BackendError::Internal {
            reason: format!(
                "the host redirects to another address (status {status}), which is not followed; set `base_url` to the final one"
            ),
        },
        400 | 413 | 422 => report.too_long().unwrap_or_else(|| match status {
            413 => BackendError::Unsupported {
                param: api.input(),
                reason: "the host takes no request of this size".into(),
            },
            _ => BackendError::Status { status, body, retry_after },
        }),
        _ => {
            let mut error = BackendError::Status { status, body: Bytes::new(), retry_after };
            if error.class() == Class::Caller {
                error = BackendError::Status { status, body, retry_after };
            }
            error
        }
    }
}

/// The error for an error that came with status 200: as an event of a stream, or as the body.
pub(crate) fn inside(json: &[u8], api: Api) -> BackendError {
    let report = Report::read(json);
    if let Some(status) = report.status {
        return refused(status, None, Bytes::copy_from_slice(json), api);
    }
    if report.overloaded() {
        return BackendError::Overloaded { retry_after: None };
    }
    if let Some(error) = report.too_long() {
        return error;
    }
    if report.is(&["invalid_request_error", "BadRequestError"]) {
        return BackendError::Status { status: 400, body: Bytes::copy_from_slice(json), retry_after: None };
    }
    BackendError::BrokenStream { reason: format!("the host reports an error of type `{}`", safe_word(&report.kind)) }
}

/// The error for a choice that ended with the reason `error`, as a router says that its own upstream failed.
pub(crate) fn choice_failed() -> BackendError {
    BackendError::BrokenStream { reason: "the host ended a choice with `finish_reason` \"error\"".into() }
}

/// A word of the host, such as a media type, that is short and plain enough for a log line.
pub(crate) fn safe_word(word: &str) -> &str {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+/".contains(&byte));
    if plain && (1..=64).contains(&word.len()) { word } else { "unknown" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_told_with_its_numbers_whatever_the_host_adds() {
        let body = |message: &str| {
            format!(
                r#"{{"error":{{"message":"{message}","type":"invalid_request_error","code":"context_length_exceeded"}}}}"#
            )
        };
        for message in [
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
            "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens (8000 in the messages, 1001 in the completion).",
        ] {
            let error = refused(400, None, body(message).into(), Api::Chat);
            assert!(matches!(error, BackendError::PromptTooLong { got: 9001, limit: 8192 }), "{error:?}");
        }
        let error = refused(400, None, body("too long").into(), Api::Chat);
        assert!(matches!(error, BackendError::Status { status: 400, .. }), "no numbers, none made up: {error:?}");
    }

    /// Such a refusal counted as the caller's own mistake once, and no longer window was asked. The bodies are those of
    /// a server (that of `xllamacpp` 2026.10.11549) to prompts of 15004 and 512 tokens.
    #[test]
    fn a_prompt_that_is_too_long_for_llama_cpp_is_told_with_its_numbers_also_where_it_just_fills_the_window() {
        for got in [15004, 512] {
            let body = format!(
                r#"{{"error":{{"code":400,"message":"request ({got} tokens) exceeds the available context size (512 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":{got},"n_ctx":512}}}}"#
            );
            let whole = refused(400, None, body.clone().into(), Api::Chat);
            for error in [whole, inside(body.as_bytes(), Api::Chat)] {
                assert!(
                    matches!(error, BackendError::PromptTooLong { got: told, limit: 512 } if told == got),
                    "{error:?}"
                );
            }
        }
        let bare = r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}"#;
        let error = refused(400, None, bare.into(), Api::Chat);
        assert!(matches!(error, BackendError::Status { status: 400, .. }), "no numbers, none made up: {error:?}");
        assert!(error.try_next(), "and yet a longer window may hold it");
    }

    #[test]
    fn the_body_is_kept_for_the_callers_own_mistakes_only() {
        let kept = |status| match refused(status, None, Bytes::from_static(b"{}"), Api::Chat) {
            BackendError::Status { body, .. } => !body.is_empty(),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!([400, 422].map(kept), [true; 2]);
        assert_eq!([401, 402, 403, 408, 409, 500, 502, 503].map(kept), [false; 8]);
    }

    #[test]
    fn an_error_inside_a_success_is_sorted_by_its_code_or_its_type() {
        let of = |json: &str| inside(json.as_bytes(), Api::Chat);
        assert!(matches!(of(r#"{"error":{"message":"x","code":429}}"#), BackendError::Overloaded { .. }));
        assert!(matches!(of(r#"{"error":{"message":"x","code":"502"}}"#), BackendError::Status { status: 502, .. }));
        assert!(matches!(
            of(r#"{"object":"error","message":"x","code":400}"#),
            BackendError::Status { status: 400, .. }
        ));
        assert!(matches!(of(r#"{"error":{"type":"overloaded_error"}}"#), BackendError::Overloaded { .. }));
        assert!(matches!(
            of(r#"{"error":{"type":"invalid_request_error"}}"#),
            BackendError::Status { status: 400, .. }
        ));
        assert!(matches!(of(r#"{"error":"boom"}"#), BackendError::BrokenStream { .. }));
    }

    #[test]
    fn what_a_host_says_does_not_reach_the_reason() {
        let error = inside(br#"{"error":{"message":"bad key sk-123","type":"oops sk-123"}}"#, Api::Chat);
        assert_eq!(error.to_string(), "broken stream: the host reports an error of type `unknown`");
    }
}
