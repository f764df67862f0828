//! The caller's bytes, with the few places in them that policy may change.
//!
//! An upstream's prompt cache matches bytes, and fields we do not know must survive: so the caller's JSON is
//! never written anew, only spliced. Keys keep their order, numbers their spelling.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::{Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON object as the caller sent it, with the places of the values that may be replaced.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Bytes,
    model: Range<usize>,
    stream_options: Option<Range<usize>>,
}

/// Why bytes are no payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// They are no JSON object with one `model`.
    #[error("expected a JSON object with a `model`")]
    Shape(#[source] serde_json::Error),
    /// A key that some upstreams would read as one that we replace.
    #[error("`{key}` is written otherwise than the API does")]
    Spelling {
        /// The key.
        key: &'static str,
    },
    /// A key by which some hosts and routers let the caller choose another model or place.
    #[error("`{key}` would choose a model or a place past the policies")]
    Chooses {
        /// The key.
        key: &'static str,
    },
}

/// Keys that we read and replace. Upstreams that compare keys without case would see both.
const OURS: [&str; 3] = ["model", "stream", "stream_options"];
/// Keys by which routers and servers are told to use another model, provider, adapter or address.
const CHOOSERS: [&str; 9] =
    ["models", "provider", "route", "plugins", "fallbacks", "lora_path", "api_base", "base_url", "user_config"];

/// What one walk over the keys of an object finds.
#[derive(Default)]
struct Places<'a> {
    model: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    misspelt: Option<&'static str>,
    chooser: Option<&'static str>,
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Places<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Places<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Places<'de>, A::Error> {
                let mut places = Places::default();
                let once = |place: &mut Option<&'de RawValue>, name, value| match place.replace(value) {
                    Some(_) => Err(A::Error::duplicate_field(name)),
                    None => Ok(()),
                };
                while let Some(Key(key)) = map.next_key()? {
                    match &*key {
                        "model" => once(&mut places.model, "model", map.next_value()?)?,
                        "stream_options" => once(&mut places.stream_options, "stream_options", map.next_value()?)?,
                        other => {
                            let like = |known: &&&str| known.eq_ignore_ascii_case(other);
                            places.misspelt =
                                places.misspelt.or(OURS.iter().find(|ours| **ours != other && like(ours)).copied());
                            places.chooser = places.chooser.or(CHOOSERS.iter().find(like).copied());
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(places)
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

impl Payload {
    /// Finds the places of a request body.
    ///
    /// # Errors
    /// When the bytes are no JSON object, `model` is missing or one of the replaced keys stands there twice, or a key
    /// could make an upstream serve something else than was decided.
    pub fn new(bytes: Bytes) -> Result<Self, PayloadError> {
        let places: Places<'_> = serde_json::from_slice(&bytes).map_err(PayloadError::Shape)?;
        if let Some(key) = places.misspelt {
            return Err(PayloadError::Spelling { key });
        }
        if let Some(key) = places.chooser {
            return Err(PayloadError::Chooses { key });
        }
        let model = places.model.ok_or_else(|| PayloadError::Shape(serde::de::Error::missing_field("model")))?;
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + raw.get().len()
        };
        Ok(Self { model: place(model), stream_options: places.stream_options.map(place), bytes })
    }

    /// The bytes as the caller sent them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body with another model name and, if `usage` is set, with `stream_options.include_usage` on.
    /// All other bytes stay as they are; with nothing to change it is the caller's own buffer.
    pub fn rewritten(&self, model: &str, usage: bool) -> Bytes {
        let name = serde_json::Value::from(model).to_string();
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::with_capacity(2);
        if self.bytes[self.model.clone()] != *name.as_bytes() {
            edits.push((self.model.clone(), name.into_bytes()));
        }
        if usage {
            edits.extend(self.usage_edit());
        }
        if edits.is_empty() {
            return self.bytes.clone();
        }
        edits.sort_by_key(|(range, _)| range.start);
        let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = BytesMut::with_capacity(self.bytes.len() + grown);
        let mut from = 0;
        for (range, text) in edits {
            out.extend_from_slice(&self.bytes[from..range.start]);
            out.extend_from_slice(&text);
            from = range.end;
        }
        out.extend_from_slice(&self.bytes[from..]);
        out.freeze()
    }

    fn usage_edit(&self) -> Option<(Range<usize>, Vec<u8>)> {
        const ON: &[u8] = br#"{"include_usage":true}"#;
        let Some(place) = &self.stream_options else {
            // Right after `model`, which every body has.
            let end = self.model.end;
            return Some((end..end, [br#","stream_options":"#.as_slice(), ON].concat()));
        };
        let text = &self.bytes[place.clone()];
        let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).unwrap_or_default();
        if options.get("include_usage") == Some(&serde_json::Value::Bool(true)) {
            return None;
        }
        options.insert("include_usage".into(), true.into());
        Some((place.clone(), serde_json::Value::from(options).to_string().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(body: &'static str, model: &str, usage: bool) -> String {
        String::from_utf8(Payload::new(Bytes::from_static(body.as_bytes())).unwrap().rewritten(model, usage).to_vec())
            .unwrap()
    }

    #[test]
    fn only_the_model_changes_and_every_other_byte_stays() {
        assert_eq!(
            rewritten(r#"{ "b":1.50,  "model" : "fast","a":{"z":1,"model":"x"} }"#, "llama \"3\"", false),
            r#"{ "b":1.50,  "model" : "llama \"3\"","a":{"z":1,"model":"x"} }"#
        );
    }

    #[test]
    fn the_same_model_gives_back_the_callers_own_buffer() {
        let bytes = Bytes::from_static(br#"{"model":"m","stream":false}"#);
        let out = Payload::new(bytes.clone()).unwrap().rewritten("m", false);
        assert_eq!(out.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn usage_is_asked_for_where_the_caller_did_not() {
        assert_eq!(
            rewritten(r#"{"model":"m"}"#, "m", true),
            r#"{"model":"m","stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            rewritten(r#"{"stream_options":null,"model":"m"}"#, "n", true),
            r#"{"stream_options":{"include_usage":true},"model":"n"}"#
        );
        assert_eq!(
            rewritten(r#"{"stream_options":{"include_obfuscation":false},"model":"m"}"#, "m", true),
            r#"{"stream_options":{"include_obfuscation":false,"include_usage":true},"model":"m"}"#
        );
        let asked = r#"{"model":"m","stream_options":{"include_usage":true}}"#;
        assert_eq!(rewritten(asked, "m", true), asked);
    }

    #[test]
    fn a_model_that_stands_there_twice_is_refused() {
        assert!(Payload::new(Bytes::from_static(br#"{"model":"a","model":"b"}"#)).is_err());
        assert!(Payload::new(Bytes::from_static(br"[1]")).is_err());
    }

    #[test]
    fn keys_that_could_choose_another_model_are_refused() {
        let error = |body: &'static str| Payload::new(Bytes::from_static(body.as_bytes())).unwrap_err();
        assert!(matches!(error(r#"{"model":"a","MODEL":"b"}"#), PayloadError::Spelling { key: "model" }));
        assert!(matches!(error(r#"{"model":"a","\u004dodel":"b"}"#), PayloadError::Spelling { key: "model" }));
        assert!(matches!(error(r#"{"model":"a","models":["b"]}"#), PayloadError::Chooses { key: "models" }));
        assert!(matches!(error(r#"{"model":"a","Provider":{}}"#), PayloadError::Chooses { key: "provider" }));
        let nested = Bytes::from_static(br#"{"model":"a","metadata":{"models":1,"MODEL":2}}"#);
        assert!(Payload::new(nested).is_ok(), "what stands deeper is the caller's own");
    }
}
