//! Gives fields of a request the names that a host knows them by, in place: no other byte changes.

use std::{fmt, ops::Range};

use bytes::{Bytes, BytesMut};
use serde::{
    Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The body with top-level fields renamed. A field whose new name stands there already keeps its own: the
/// caller has said both, and the host reads the one it knows.
pub(crate) fn renamed(body: Bytes, renames: &[(String, String)]) -> Bytes {
    if renames.is_empty() {
        return body;
    }
    let Ok(keys) = serde_json::Deserializer::from_slice(&body).deserialize_map(Keys(&body)) else {
        // The gateway has read it as an object; whatever this is, the host may judge it.
        return body;
    };
    let mut out = BytesMut::new();
    let mut from = 0;
    for place in &keys {
        let new =
            renames.iter().find(|(old, new)| is(&body, place, old) && !keys.iter().any(|key| is(&body, key, new)));
        if let Some((_, new)) = new {
            out.extend_from_slice(&body[from..place.start]);
            out.extend_from_slice(serde_json::Value::from(new.as_str()).to_string().as_bytes());
            from = place.end;
        }
    }
    if from == 0 {
        return body;
    }
    out.extend_from_slice(&body[from..]);
    out.freeze()
}

/// Whether the key at a place, quotes included, is `name`. A key that is spelled with escapes is not.
fn is(body: &[u8], place: &Range<usize>, name: &str) -> bool {
    body[place.clone()].strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(name.as_bytes())
}

/// Finds the places of the keys of an object.
struct Keys<'a>(&'a [u8]);

impl<'de> Visitor<'de> for Keys<'de> {
    type Value = Vec<Range<usize>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = fields.next_key::<&'de RawValue>()? {
            let start = (key.get().as_ptr() as usize)
                .checked_sub(self.0.as_ptr() as usize)
                .ok_or_else(|| A::Error::custom("a key outside the body"))?;
            keys.push(start..start + key.get().len());
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(body: &'static str) -> String {
        let renames = [("max_completion_tokens".to_owned(), "max_tokens".to_owned())];
        String::from_utf8(renamed(Bytes::from_static(body.as_bytes()), &renames).to_vec()).unwrap()
    }

    #[test]
    fn only_the_name_of_a_top_level_field_changes() {
        assert_eq!(
            rename(
                r#"{ "a":{"max_completion_tokens":1},  "max_completion_tokens" : 1.0, "b":"max_completion_tokens" }"#
            ),
            r#"{ "a":{"max_completion_tokens":1},  "max_tokens" : 1.0, "b":"max_completion_tokens" }"#
        );
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_twice() {
        let both = r#"{"max_tokens":5,"max_completion_tokens":6}"#;
        assert_eq!(rename(both), both);
    }

    #[test]
    fn a_body_without_the_field_is_the_callers_own_buffer() {
        let body = Bytes::from_static(br#"{"model":"m"}"#);
        assert_eq!(renamed(body.clone(), &[("x".into(), "y".into())]).as_ptr(), body.as_ptr());
    }
}
