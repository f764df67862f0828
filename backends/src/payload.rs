//! The caller's bytes, with the few places in them that policy may change.
//!
//! An upstream's prompt cache matches bytes, and fields we do not know must survive: so the caller's JSON is
//! never written anew, only spliced. Keys keep their order, numbers their spelling.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON object as the caller sent it, with the places of the values that may be replaced.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Bytes,
    model: Range<usize>,
    stream_options: Option<Range<usize>>,
}

/// The bytes are no JSON object with a `model`.
#[derive(Debug, thiserror::Error)]
#[error("expected a JSON object with a `model`")]
pub struct PayloadError(#[source] serde_json::Error);

#[derive(Deserialize)]
struct Places<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
}

/// Keeps a `null` as a value, which `Option` would take for a missing key.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Payload {
    /// Finds the places of a request body.
    ///
    /// # Errors
    /// When the bytes are no JSON object, `model` is missing, or one of the two keys stands there twice.
    pub fn new(bytes: Bytes) -> Result<Self, PayloadError> {
        // A derived struct would also read an array, field by field.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(PayloadError(serde::de::Error::custom("not a JSON object")));
        }
        let places: Places<'_> = serde_json::from_slice(&bytes).map_err(PayloadError)?;
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + raw.get().len()
        };
        Ok(Self { model: place(places.model), stream_options: places.stream_options.map(place), bytes })
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
        String::from_utf8(Payload::new(Bytes::from_static(body.as_bytes())).unwrap().rewritten(model, usage).to_vec()).unwrap()
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
        assert_eq!(rewritten(r#"{"model":"m"}"#, "m", true), r#"{"model":"m","stream_options":{"include_usage":true}}"#);
        assert_eq!(rewritten(r#"{"stream_options":null,"model":"m"}"#, "n", true), r#"{"stream_options":{"include_usage":true},"model":"n"}"#);
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
}
