//! The one table from what went wrong to what the caller sees.
//!
//! The body is OpenAI's: `{"error": {"message", "type", "param", "code"}}`, all four keys present, with two of
//! ours beside them: `hint` (the next step) and `request_id`. A status says whose fault it is; `x-should-retry`
//! keeps SDKs from repeating what we already tried, or what cannot succeed.

use std::{borrow::Cow, time::Duration};

use backends::{BackendError, Class};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{body::Body, messages};
use crate::wire::ClientApi;

/// SDKs sleep for as long as `retry-after` says, some without a cap of their own.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// When a client may come back while every backend rests: about as long as a breaker first stays open.
const RESTING: Duration = Duration::from_secs(5);

/// An error as the caller sees it.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`: the class.
    pub kind: &'static str,
    /// Stable code.
    pub code: Cow<'static, str>,
    /// What happened, in one sentence without a full stop.
    pub message: String,
    /// The request field at fault.
    pub param: Option<String>,
    /// The next step.
    pub hint: Option<String>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Whether an SDK's automatic retry makes sense; `None` leaves it to the SDK's own rule.
    pub should_retry: Option<bool>,
    /// More headers: what is left of the caller's limits, the receipt of a recorded decision.
    pub headers: Option<Box<http::HeaderMap>>,
    /// The methods that the path takes, where that is what is wrong.
    pub allow: Option<&'static str>,
    /// More facts for the reader, under their own key beside the four.
    pub details: Option<Box<(&'static str, serde_json::Value)>>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<std::collections::BTreeMap<&'static str, &'a serde_json::Value>>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: Cow::Borrowed(code),
            message: message.into(),
            param: None,
            hint: None,
            retry_after: None,
            headers: None,
            should_retry: None,
            allow: None,
            details: None,
        }
    }

    /// 400: a field is missing, has the wrong type, or a value out of range.
    pub fn invalid(param: impl Into<Option<String>>, message: impl Into<String>) -> Self {
        Self {
            param: param.into(),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_value", message)
        }
    }

    /// 400: the body is not JSON.
    pub fn malformed_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_json", message)
            .hint("send a JSON object encoded as UTF-8")
    }

    /// 401: no key, or one that is not known.
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self { should_retry: Some(false), ..Self::new(StatusCode::UNAUTHORIZED, "authentication_error", code, message) }
    }

    /// 403: policy or a licence forbids it.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { should_retry: Some(false), ..Self::new(StatusCode::FORBIDDEN, "permission_error", code, message) }
    }

    /// 404: no such model or path.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message)
    }

    /// 405: the path takes another method.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self {
            allow: Some(allowed),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request_error",
                "method_not_allowed",
                "the path does not take this method",
            )
        }
        .hint(format!("use {allowed}"))
    }

    /// 408: the body did not arrive in time.
    pub fn body_timeout(after: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            "body_timeout",
            format!("no byte of the request body arrived for {} s", after.as_secs()),
        )
    }

    /// 413: the body is larger than the limit.
    pub fn body_too_large(limit: usize) -> Self {
        Self {
            should_retry: Some(false),
            ..Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request_error",
                "body_too_large",
                format!("the request body is larger than {limit} bytes"),
            )
        }
        .hint("send less, or raise `limits.body_bytes` in the configuration")
    }

    /// 429: as much was asked for as may be, and the caller may come back after this time. The code is OpenAI's.
    pub fn limited(message: impl Into<String>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            should_retry: Some(true),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded", message)
        }
        .hint("wait as long as `retry-after` says, or ask your platform team for more")
    }

    /// 429: a budget is used up, and trying again soon is of no use. The code is OpenAI's.
    pub fn out_of_budget(message: impl Into<String>) -> Self {
        Self {
            should_retry: Some(false),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "insufficient_quota", message)
        }
        .hint("ask your platform team for a larger budget, or wait until it begins anew")
    }

    /// 503: nothing can serve this now.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", code, message)
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// Adds facts under their own key.
    #[must_use]
    pub fn details(mut self, key: &'static str, value: serde_json::Value) -> Self {
        self.details = Some(Box::new((key, value)));
        self
    }

    /// The last error of a plan whose candidates all failed. `model` is the name the caller asked for.
    ///
    /// The gateway has tried what policy allows, so SDKs are told not to repeat a failure at once.
    pub fn exhausted(error: &BackendError, model: &str, tried: usize) -> Self {
        if tried == 0 {
            return Self::no_healthy_backend(model, "", None);
        }
        let tries = if tried == 1 { "1 attempt".to_owned() } else { format!("{tried} attempts") };
        let mut api = match error.class() {
            // Nothing is wrong with it, and no limit of the caller's was met.
            _ if matches!(error, BackendError::Loading { .. }) => {
                Self::unavailable(error.code(), format!("model `{model}` cannot answer yet: {error}"))
                    .hint("come back after `retry-after`, when it is likely to be loaded")
            }
            // The host's own words say more.
            Class::ContextTooLong if matches!(error, BackendError::Status { .. }) => Self::caller(error),
            Class::ContextTooLong => Self {
                param: Some("messages".into()),
                ..Self::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_request_error",
                    "context_length_exceeded",
                    error.to_string(),
                )
            }
            .hint("shorten the prompt, or ask for a model with a larger context window"),
            Class::Caller | Class::ContentFilter => Self::caller(error),
            Class::TooManyRequests => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "backend.overloaded",
                format!("model `{model}` is at capacity on every allowed backend ({tries})"),
            ),
            Class::Timeout => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "unavailable",
                error.code(),
                format!("model `{model}` did not answer in time ({tries}; last: {error})"),
            ),
            Class::Auth => Self::new(
                StatusCode::BAD_GATEWAY,
                "unavailable",
                error.code(),
                format!("the host refused the gateway's own credentials for model `{model}`"),
            )
            .hint("the operator has to check the key of the deployment"),
            Class::Connect | Class::ServerError | Class::BadStream => Self::new(
                StatusCode::BAD_GATEWAY,
                "unavailable",
                error.code(),
                format!("model `{model}` failed on every allowed backend ({tries}; last: {error})"),
            ),
        };
        api.retry_after = error.retry_after();
        // SDKs do not wait longer than this, so a retry that is told to wait longer would come too early.
        let soon = api.retry_after.is_none_or(|after| after <= MAX_RETRY_AFTER);
        api.should_retry = Some(error.class() == Class::TooManyRequests && soon);
        api
    }

    /// 503: everything that may serve the model rests after failures, or is at a limit. `which` names the models, or
    /// nothing; `again` is when the first of them says that it takes requests again.
    pub fn no_healthy_backend(model: &str, which: &str, again: Option<Duration>) -> Self {
        let message = format!("nothing that may serve `{model}` is available now{which}");
        Self {
            retry_after: Some(again.unwrap_or(RESTING)),
            ..Self::unavailable("no_healthy_backend", message).hint("retry in a few seconds")
        }
    }

    /// An upstream that says the request itself is wrong: its own words and status, in our frame.
    fn caller(error: &BackendError) -> Self {
        let BackendError::Status { status, body, .. } = error else {
            let param =
                if let BackendError::Unsupported { param, .. } = error { Some((*param).to_owned()) } else { None };
            return Self::invalid(param, error.to_string());
        };
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
        let said = UpstreamError::read(body);
        Self {
            code: said.code.map_or(Cow::Borrowed("backend.refused"), Cow::Owned),
            param: said.param,
            ..Self::new(
                status,
                "invalid_request_error",
                "backend.refused",
                said.message
                    .unwrap_or_else(|| format!("the upstream refused the request with status {}", status.as_u16())),
            )
        }
    }

    /// An error that ends a stream whose answer has begun.
    pub fn broken_stream(error: &BackendError) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream_error", error.code(), format!("the answer broke off: {error}"))
            .hint("what came before is incomplete; send the request again")
    }

    /// The JSON body of OpenAI's APIs.
    pub fn json(&self, request_id: &str) -> Bytes {
        let details = self.details.as_deref().map(|(key, value)| std::collections::BTreeMap::from([(*key, value)]));
        let body = ErrorBody {
            error: Inner {
                message: &self.message,
                r#type: self.kind,
                param: self.param.as_deref(),
                code: &self.code,
                hint: self.hint.as_deref(),
                request_id,
                details,
            },
        };
        serde_json::to_vec(&body).expect("strings and numbers serialise").into()
    }

    /// The whole response, in the shape of the caller's API.
    pub fn response(&self, client: ClientApi, request_id: &str) -> Response<Body> {
        let body = match client {
            ClientApi::Messages => messages::error(self, request_id).into(),
            _ => self.json(request_id),
        };
        let mut response = Response::new(Body::whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let more = self.headers.iter().flat_map(|more| more.iter());
        headers.extend(more.map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: coming back early would fail again.
            let seconds = after.min(MAX_RETRY_AFTER).as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        if let Some(retry) = self.should_retry {
            headers.insert("x-should-retry", HeaderValue::from_static(if retry { "true" } else { "false" }));
        }
        response
    }
}

/// The start of a text that somebody else wrote.
pub fn clip(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// The error body of an upstream, nested as OpenAI's or flat as some servers send it; codes may be numbers.
#[derive(Default)]
struct UpstreamError {
    message: Option<String>,
    code: Option<String>,
    param: Option<String>,
}

impl UpstreamError {
    /// Bounds what is passed on of an upstream's text.
    const MAX_MESSAGE: usize = 2_000;

    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return Self::default() };
        let error = value.get("error").filter(|error| error.is_object()).unwrap_or(&value);
        let text = |key: &str| match error.get(key) {
            Some(serde_json::Value::String(text)) if !text.is_empty() => {
                Some(text.chars().take(Self::MAX_MESSAGE).collect())
            }
            // Some routers repeat the status as the code, which says nothing more.
            Some(serde_json::Value::Number(number)) if !(400..600).contains(&number.as_u64().unwrap_or(0)) => {
                Some(number.to_string())
            }
            _ => None,
        };
        let bare = || value.get("error").and_then(|error| error.as_str()).map(|text| clip(text, Self::MAX_MESSAGE));
        let message = text("message").or_else(bare);
        Self { message, code: text("code"), param: text("param") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: &ApiError) -> serde_json::Value {
        serde_json::from_slice(&error.json("req_1")).unwrap()
    }

    #[test]
    fn every_error_has_openais_four_keys_and_ours() {
        let value = json(&ApiError::invalid("n".to_owned(), "`n` must be at least 1"));
        assert_eq!(
            value,
            serde_json::json!({"error": {"message": "`n` must be at least 1", "type": "invalid_request_error",
                "param": "n", "code": "invalid_value", "request_id": "req_1"}})
        );
    }

    #[test]
    fn an_upstreams_400_keeps_its_words_and_is_not_retried() {
        for body in [
            r#"{"error":{"message":"bad tool","code":17,"param":"tools"}}"#,
            r#"{"object":"error","message":"bad tool","code":17,"param":"tools"}"#,
        ] {
            let error =
                BackendError::Status { status: 422, body: Bytes::copy_from_slice(body.as_bytes()), retry_after: None };
            let api = ApiError::exhausted(&error, "m", 1);
            assert_eq!((api.status.as_u16(), api.message.as_str(), &*api.code), (422, "bad tool", "17"));
            assert_eq!(api.response(ClientApi::Chat, "r").headers()["x-should-retry"], "false");
        }
    }

    #[test]
    fn a_status_that_an_upstream_repeats_as_its_code_is_no_code() {
        let body = Bytes::from_static(br#"{"error":{"message":"bad tool","code":400}}"#);
        let api = ApiError::exhausted(&BackendError::Status { status: 400, body, retry_after: None }, "m", 1);
        assert_eq!((&*api.code, api.message.as_str()), ("backend.refused", "bad tool"));
    }

    #[test]
    fn a_model_that_is_being_loaded_is_told_as_such_with_how_far_it_is_and_when_to_come_back() {
        let error = BackendError::Loading { percent: Some(40), retry_after: Some(Duration::from_millis(2_500)) };
        let api = ApiError::exhausted(&error, "m", 1);
        assert_eq!((api.status.as_u16(), &*api.code), (503, "backend.loading"));
        assert_eq!(api.message, "model `m` cannot answer yet: its model is being loaded, 40 % done");
        let response = api.response(ClientApi::Chat, "r");
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(response.headers()["x-should-retry"], "true");
    }

    #[test]
    fn retry_after_is_capped_and_rounded_up() {
        let error = BackendError::Overloaded { retry_after: Some(Duration::from_millis(1_001)) };
        assert_eq!(ApiError::exhausted(&error, "m", 2).response(ClientApi::Chat, "r").headers()["retry-after"], "2");
        let error = BackendError::Overloaded { retry_after: Some(Duration::from_secs(9_999)) };
        assert_eq!(ApiError::exhausted(&error, "m", 2).response(ClientApi::Chat, "r").headers()["retry-after"], "60");
    }

    #[test]
    fn a_hosts_401_is_our_fault_not_the_callers() {
        let error = BackendError::Status {
            status: 401,
            body: Bytes::from_static(b"{\"error\":\"bad key sk-1\"}"),
            retry_after: None,
        };
        let api = ApiError::exhausted(&error, "m", 1);
        assert_eq!(api.status.as_u16(), 502);
        assert!(!api.message.contains("sk-1"));
    }
}
