//! Who asks, and may they.
//!
//! A key comes in `Authorization: Bearer` or `x-api-key`, never in the address. It says the team and the context,
//! and the context says the use that licences are decided for: nothing in a request can change that. A key that is
//! missing, unknown, expired or revoked is refused, whatever else the request holds. Knows nothing of bodies.

use std::time::SystemTime;

use http::{HeaderMap, header};

use crate::{config::Access, keys::Grant, respond::error::ApiError};

/// The caller of a request with these headers.
///
/// # Errors
/// A 401; its message holds nothing of what was presented.
pub fn admit(access: &Access, headers: &HeaderMap) -> Result<Grant, ApiError> {
    match access {
        Access::Open(grant) => Ok(grant.clone()),
        Access::Keys(keys) => keys.verify(presented(headers)?, SystemTime::now()).cloned().map_err(|error| {
            ApiError::unauthorized(error.code(), error.to_string()).hint("ask your platform team for a key")
        }),
    }
}

/// The key in the headers.
fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::unauthorized("missing_key", "no API key was sent")
            .hint("send `Authorization: Bearer YOUR_KEY` or `x-api-key: YOUR_KEY`")
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| missing())?;
        let (scheme, key) = text.split_once(' ').ok_or_else(missing)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(missing()) };
    }
    headers.get("x-api-key").and_then(|value| value.to_str().ok()).ok_or_else(missing)
}
