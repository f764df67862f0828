//! The prompt of a request as places may have it cached: its chain of hashes, its session, and who was sent it before.
//!
//! A caller may say itself what a request goes on with: by `prompt_cache_key` in the body, or by a header in which its
//! program names a session. Policies see nothing of it but how much of the prompt each deployment has. A host that asks for the
//! name of a session gets one that no other team of ours can give.

use std::{sync::Arc, time::Instant};

use backends::{Asker, Prefix, Request, conversation};
use http::HeaderMap;

use crate::{keys::Grant, runtime::Runtime};

/// The headers in which programs name a session: the gateway's callers by any name, Claude Code, Codex, others.
const SESSION_HEADERS: [&str; 4] = ["x-session-affinity", "x-claude-code-session-id", "session_id", "x-session-id"];

/// What is known of a request's prompt of about `tokens`: which places were sent how much of it, and a name for its
/// conversation where some host wants one. Nothing where no place is elsewhere.
pub fn of(
    runtime: &Runtime,
    request: &Request,
    caller: &Grant,
    headers: &HeaderMap,
    tokens: u64,
) -> (Option<Arc<Prefix>>, Option<String>) {
    if runtime.places.iter().all(|place| place.local) || !request.api.generates() {
        return (None, None);
    }
    let key = cache_key(request);
    let header = || SESSION_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
    let asker = Asker { team: caller.team.as_deref(), session: key.as_deref().or_else(header) };
    let chain = runtime.prefixes.chain(asker, &request.input, tokens);
    let prefix = chain.map(|chain| Arc::new(Arc::clone(&runtime.prefixes).look_up(chain, Instant::now())));
    let session = runtime.names_sessions.then(|| conversation(asker, &request.input)).flatten();
    (prefix, session)
}

/// What the caller wrote, in the API that it speaks.
fn cache_key(request: &Request) -> Option<String> {
    let payload = request.own.as_ref().map_or(&request.payload, |(_, payload)| payload);
    payload.prompt_cache_key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, ClientApi};

    #[test]
    fn the_key_that_a_caller_gives_is_read_in_the_api_that_it_speaks() {
        let key = |api, body: &str| cache_key(&wire::decode(api, "r", body.to_owned().into()).unwrap().request);
        let chat = |key: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{key}}}"#);
        assert_eq!(key(ClientApi::Chat, &chat(r#","prompt_cache_key":"k-1""#)).as_deref(), Some("k-1"));
        assert_eq!(key(ClientApi::Chat, &chat("")), None);
        assert_eq!(key(ClientApi::Chat, &chat(r#","prompt_cache_key":null"#)), None);
        let response = r#"{"model":"m","input":"x","store":false,"prompt_cache_key":"k-2"}"#;
        assert_eq!(key(ClientApi::Responses, response).as_deref(), Some("k-2"));
    }
}
