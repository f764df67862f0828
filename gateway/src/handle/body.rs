//! Reads a request body within its bound of bytes, counted as they come, and of silence.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::{config::Limits, respond::error::ApiError};

/// A body may pause for this long.
const SILENCE: Duration = Duration::from_secs(30);

/// A client that is still writing when the connection closes never reads why. So what is left of a body that is
/// refused is read and thrown away for this long.
const LINGER: Duration = Duration::from_secs(5);

/// Reads the whole body.
///
/// # Errors
/// 413 when it is larger than the limit, at once where its length says so; 408 when it stops coming; 400 when the
/// connection breaks or its framing is wrong.
pub async fn read(mut body: Incoming, headers: &HeaderMap, limits: &Limits) -> Result<Bytes, ApiError> {
    let limit = usize::try_from(limits.body_bytes).unwrap_or(usize::MAX);
    if body.size_hint().lower() > limits.body_bytes {
        discard(body, headers).await;
        return Err(ApiError::body_too_large(limit));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        discard(body, headers).await;
        return Err(
            ApiError::invalid(None, "a compressed request body is not read").hint("send it without `content-encoding`")
        );
    }
    let mut gathered = BytesMut::new();
    let mut first = Bytes::new();
    while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| ApiError::body_timeout(SILENCE))? {
        let frame = frame.map_err(|_| ApiError::malformed_json("the request body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + gathered.len() + data.len() > limit {
            discard(body, headers).await;
            return Err(ApiError::body_too_large(limit));
        }
        // Most bodies come as one piece, which needs no copy.
        if first.is_empty() && gathered.is_empty() {
            first = data;
            continue;
        }
        if gathered.is_empty() {
            let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
            gathered.reserve((first.len() + data.len() + expected).min(limit));
            gathered.extend_from_slice(&std::mem::take(&mut first));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}

/// Reads what is left of a body whose request is refused, so that the refusal can be read.
pub async fn discard(mut body: Incoming, headers: &HeaderMap) {
    // Who waits for `100 Continue` reads the refusal before it sends a byte.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let _ = timeout(LINGER, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}
