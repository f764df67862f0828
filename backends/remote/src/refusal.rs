//! A request that was not taken: from a connection that failed, or a response whose status is no success, to an error.

use std::time::{Duration, SystemTime};

use backends::{Api, BackendError, Phase};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::{
    body::{Source, collect},
    client::{NotSent, is_timeout, root},
    quota::Quota,
    report,
    retry_after::retry_after,
};

/// The most that is read of a body that reports an error.
const ERROR_BODY: usize = 64 << 10;

/// How long the body of an error may take: its status is known, and nobody should wait for its words.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(1);

/// The error of a request that got no response.
pub(crate) fn not_sent(error: NotSent) -> BackendError {
    if !error.is_connect() {
        let reason = format!("the connection broke before the response: {}", root(&error));
        return BackendError::BrokenStream { reason };
    }
    match is_timeout(&error) {
        true => BackendError::Timeout { phase: Phase::Connect },
        false => BackendError::Connect(Box::new(error)),
    }
}

/// The error of a response whose status is no success. What it says of limits is kept in `quota`; `inside` is where its
/// body repeats the headers that tell them.
pub(crate) async fn refused(
    response: Response<impl Source>,
    api: Api,
    quota: &Quota,
    inside: Option<&str>,
) -> BackendError {
    let status = response.status().as_u16();
    let wait = retry_after(response.headers(), SystemTime::now());
    quota.take(response.headers());
    let body = words(response.into_body()).await;
    if let Some(pointer) = inside {
        quota.take(&headers_inside(&body, pointer));
    }
    let mut error = report::refused(status, wait, body, api);
    if let BackendError::Overloaded { retry_after } = &mut error {
        if let Some(wait) = wait {
            quota.pause(wait);
        }
        *retry_after = wait.or_else(|| quota.standing().closed);
    }
    error
}

/// The body of an error; nothing if it is too long, too slow or broken.
pub(crate) async fn words(body: impl Source) -> Bytes {
    match tokio::time::timeout(ERROR_BODY_WAIT, collect(body, ERROR_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

/// Headers that the body of a refusal repeats; what cannot be one is left out.
fn headers_inside(body: &[u8], pointer: &str) -> HeaderMap {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(fields) = body.pointer(pointer).and_then(|fields| fields.as_object()) else { return HeaderMap::new() };
    let header = |(name, value): (&String, &serde_json::Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(&value).ok()?))
    };
    fields.iter().filter_map(header).collect()
}
