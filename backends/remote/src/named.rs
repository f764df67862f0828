//! What a host calls a request: the id that its support asks for.
//!
//! It stands in a header of the response, also of one that refuses, so it belongs to no event and to no error. Whoever
//! sends a request asks for it around that.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName};

/// The longest id that is kept, in bytes.
const LONGEST: usize = 128;

tokio::task_local! {
    /// What the host called the request that this task sends now.
    static NAME: RefCell<Option<String>>;
}

/// What `sending` gives, and what the host called the request that was sent in it: nothing where it said nothing, or only
/// repeated our own id.
pub async fn naming<F: Future>(sending: F) -> (F::Output, Option<String>) {
    let named = async {
        let output = sending.await;
        (output, NAME.with(RefCell::take))
    };
    NAME.scope(RefCell::default(), named).await
}

/// Keeps the id that a response has, in the first of these headers that has one. `ours` is the request's id here.
pub(crate) fn note(headers: &HeaderMap, names: &[HeaderName], ours: &str) {
    let id = |name: &HeaderName| headers.get(name)?.to_str().ok().filter(|id| is_id(id) && *id != ours);
    if let Some(id) = names.iter().find_map(id) {
        // Where nobody asks, nobody wants to know.
        let _ = NAME.try_with(|kept| kept.replace(Some(id.to_owned())));
    }
}

/// Whether a text can be an id: printable, of one word, and not long.
fn is_id(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_own_id_is_kept_and_ours_is_not_taken_for_one() {
        let names = [HeaderName::from_static("x-generation-id"), HeaderName::from_static("x-request-id")];
        let named = |pairs: &'static [(&'static str, &'static str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, id)| (HeaderName::from_static(name), id.parse().unwrap())).collect();
            let names = &names;
            async move { naming(async { note(&headers, names, "req_ours") }).await.1 }
        };
        assert_eq!(named(&[("x-request-id", "req_1"), ("x-generation-id", "gen-2")]).await.as_deref(), Some("gen-2"));
        assert_eq!(named(&[("x-request-id", "req_1")]).await.as_deref(), Some("req_1"));
        for none in [&[] as &[_], &[("x-request-id", "req_ours")], &[("x-request-id", "two words")], &[("other", "x")]]
        {
            assert_eq!(named(none).await, None);
        }
        note(&HeaderMap::new(), &names, "outside of any request");
    }
}
