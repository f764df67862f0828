//! Who asks, and may they.
//!
//! A key, or a token of a trusted issuer, comes in `Authorization: Bearer` or `x-api-key`, never in the address. It says the
//! team and the context, and the context says the use that licences are decided for: nothing in a request can change that. A
//! key that is missing, unknown, expired or revoked is refused, whatever else the request holds, and so is one for an endpoint
//! that it is not bound to. Knows nothing of bodies; models and routes are the plan's to hold.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header};

use crate::{
    config::Access,
    keys::{Endpoint, Grant},
    respond::error::ApiError,
    runtime::Runtime,
    tokens::TokenError,
};

/// The caller of a request with these headers.
///
/// # Errors
/// A 401; its message holds nothing of what was presented.
pub fn admit(runtime: &Runtime, headers: &HeaderMap) -> Result<Grant, ApiError> {
    match &runtime.config.access {
        Access::Open(grant) => from_this_machine(headers).map(|()| grant.clone()),
        Access::Keys(keys) => {
            let (presented, now) = (presented(headers)?, SystemTime::now());
            if runtime.tokens.judge(presented) {
                return runtime.tokens.verify(presented, now).map_err(|error| no_token(&error));
            }
            keys.verify(presented, now).cloned().map_err(|error| {
                ApiError::unauthorized(error.code(), error.to_string()).hint("ask your platform team for a key")
            })
        }
    }
}

/// How the bearer of a token is told why it is refused.
fn no_token(error: &TokenError) -> ApiError {
    /// An issuer's keys are there, or there again, after about so long.
    const SOON: Duration = Duration::from_secs(1);
    let (code, message) = (error.code(), error.to_string());
    match error {
        // The next one may be good: SDKs come back by themselves.
        TokenError::NoKeys { .. } | TokenError::UnknownKey { asked: true } => {
            ApiError { retry_after: Some(SOON), should_retry: Some(true), ..ApiError::unavailable(code, message) }
                .hint("the issuer's keys are being asked for; retry in a few seconds")
        }
        TokenError::NoTeam => ApiError::forbidden(code, message)
            .hint("ask your platform team for a rule of `tokens` that one of your token's claims fits"),
        TokenError::Expired | TokenError::NotYet => {
            ApiError::unauthorized(code, message).hint("get a new token from your issuer")
        }
        TokenError::Audience => ApiError::unauthorized(code, message)
            .hint("ask your issuer for a token whose `aud` is one of those that this gateway is configured with"),
        _ => {
            ApiError::unauthorized(code, message).hint("get a token from an issuer that this gateway trusts, or a key")
        }
    }
}

/// Whether what a caller came with may be asked for again later, as work that outlives a request needs: a key, and not a
/// token, which nobody could check again once it is over.
///
/// # Errors
/// A 403 that says so.
pub fn lasts(runtime: &Runtime, caller: &Grant) -> Result<(), ApiError> {
    match (&runtime.config.access, &caller.key) {
        (Access::Keys(keys), Some(key)) if keys.of_id(key, SystemTime::now()).is_err() => {
            Err(ApiError::forbidden("key_required", "a batch outlives a token, so it needs a key")
                .hint("make the batch with a key: `pointsman keys new --endpoint batches --endpoint files ...`"))
        }
        _ => Ok(()),
    }
}

/// The caller of a request to an endpoint, whose key is good for that endpoint.
///
/// # Errors
/// A 401, or a 403 that says what the key is good for.
pub fn admit_to(runtime: &Runtime, headers: &HeaderMap, endpoint: Endpoint) -> Result<Grant, ApiError> {
    let caller = admit(runtime, headers)?;
    reaches(&caller, endpoint).map(|()| caller)
}

/// Whether a caller's key is good for an endpoint.
///
/// # Errors
/// A 403 that says what it is good for.
pub fn reaches(caller: &Grant, endpoint: Endpoint) -> Result<(), ApiError> {
    if caller.reaches(endpoint) {
        return Ok(());
    }
    let own = caller.endpoints.as_deref().unwrap_or_default();
    let own: Vec<String> = own.iter().map(|endpoint| format!("`{}`", endpoint.as_str())).collect();
    let message =
        format!("this key is not good for the endpoint `{}`; it is good for {}", endpoint.as_str(), own.join(", "));
    Err(ApiError::forbidden(OUT_OF_SCOPE, message)
        .hint(format!("ask your platform team for a key with `--endpoint {}`", endpoint.as_str())))
}

/// The code of what a caller's key is bound not to reach.
pub const OUT_OF_SCOPE: &str = "key_scope";

/// Refuses what a page in a browser on this machine could send where no key is asked for: a request for another
/// host's name (a name that was made to point here), or from a page of another origin.
///
/// # Errors
/// A 403.
pub fn from_this_machine(headers: &HeaderMap) -> Result<(), ApiError> {
    let local = |authority: &str| {
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
        });
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let origin_host = origin.map(|origin| origin.split_once("://").map_or("", |(_, authority)| authority));
    if host.is_none_or(local) && origin_host.is_none_or(local) {
        return Ok(());
    }
    Err(ApiError::forbidden("not_local", "without keys only programs on this machine are served")
        .hint("call it by 127.0.0.1 or localhost, or configure keys"))
}

/// The key in the headers.
fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::unauthorized("missing_key", "no API key was sent")
            .hint("send `Authorization: Bearer YOUR_KEY` or `x-api-key: YOUR_KEY`")
    };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, key)) = bearer.and_then(|text| text.split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Ok(key.trim());
    }
    headers.get("x-api-key").and_then(|value| value.to_str().ok()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
        from_this_machine(&headers).is_ok()
    }

    #[test]
    fn without_keys_only_this_machine_is_served() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.1"] {
            assert!(checked(host, None) && checked(host, Some("http://localhost:3000")), "{host}");
            assert!(!checked(host, Some("https://example.com")) && !checked(host, Some("null")), "{host}");
        }
        for host in ["example.com", "127.0.0.1.example.com:8080", "10.0.0.1:8080", "localhost.example.com"] {
            assert!(!checked(host, None), "{host}");
        }
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(presented(&headers).unwrap_err().code, "missing_key");
        headers.insert("x-api-key", "k1".parse().unwrap());
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(presented(&headers).unwrap(), "k1");
        headers.insert(header::AUTHORIZATION, "bearer k2".parse().unwrap());
        assert_eq!(presented(&headers).unwrap(), "k2");
    }
}
