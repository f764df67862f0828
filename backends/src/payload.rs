//! The caller's bytes, with the few places in them that policy may change.
//!
//! An upstream's prompt cache matches bytes, and fields we do not know must survive: so the caller's JSON is
//! never written anew, only spliced. Keys keep their order, numbers their spelling.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::Error as _;

use crate::Object;

/// A JSON object as the caller sent it, with the places of the values that may be replaced.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Bytes,
    model: Range<usize>,
    stream_options: Option<Range<usize>>,
    cache_salt: Option<Range<usize>>,
    prompt_cache_key: Option<Range<usize>>,
}

/// What a place is told otherwise than the caller wrote it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// The model's name there.
    pub model: &'a str,
    /// Sets `stream_options.include_usage` on.
    pub usage: bool,
    /// Stands in place of any `cache_salt` that the caller gave.
    pub cache_salt: Option<&'a str>,
    /// A field that names an adapter, which no caller may give, and its value as JSON.
    pub adapter: Option<(&'a str, &'a str)>,
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
const OURS: [&str; 4] = ["model", "stream", "stream_options", "cache_salt"];
/// Keys by which routers and servers are told to use another model, provider, adapter or address.
const CHOOSERS: [&str; 13] = [
    "models",
    "provider",
    "route",
    "plugins",
    "fallbacks",
    "lora_path",
    "lora_request",
    "adapter_id",
    "adapters",
    "lora",
    "api_base",
    "base_url",
    "user_config",
];

/// Whether a field of this name could make an upstream serve something else than was decided.
pub fn chooses(name: &str) -> bool {
    CHOOSERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl Payload {
    /// Finds the places of a request body.
    ///
    /// # Errors
    /// When the bytes are no JSON object, `model` is missing or one of the replaced keys stands there twice, or a key
    /// could make an upstream serve something else than was decided.
    pub fn new(bytes: Bytes) -> Result<Self, PayloadError> {
        Self::of(&Object::read(&bytes).map_err(PayloadError::Shape)?)
    }

    /// The same for a body that has been walked.
    ///
    /// # Errors
    /// Those of [`Payload::new`], but for the first.
    pub fn of(object: &Object<'_>) -> Result<Self, PayloadError> {
        let bytes = object.bytes();
        let (mut model, mut stream_options, mut cache_salt) = (None, None, None);
        let mut prompt_cache_key = None;
        for (key, value) in object.entries() {
            let start = value.get().as_ptr() as usize - bytes.as_ptr() as usize;
            let range = start..start + value.get().len();
            let (place, name) = match key {
                "model" => (&mut model, "model"),
                "stream_options" => (&mut stream_options, "stream_options"),
                "cache_salt" => (&mut cache_salt, "cache_salt"),
                // Read and never replaced, so it may stand there as it likes.
                "prompt_cache_key" => {
                    prompt_cache_key = Some(range);
                    continue;
                }
                other => {
                    let like = |known: &&&str| known.eq_ignore_ascii_case(other);
                    if let Some(key) = OURS.iter().find(|ours| **ours != other && like(ours)) {
                        return Err(PayloadError::Spelling { key });
                    }
                    if let Some(key) = CHOOSERS.iter().find(like) {
                        return Err(PayloadError::Chooses { key });
                    }
                    continue;
                }
            };
            if place.replace(range).is_some() {
                return Err(PayloadError::Shape(serde_json::Error::duplicate_field(name)));
            }
        }
        let model = model.ok_or_else(|| PayloadError::Shape(serde_json::Error::missing_field("model")))?;
        Ok(Self { bytes: bytes.clone(), model, stream_options, cache_salt, prompt_cache_key })
    }

    /// The bytes as the caller sent them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The model that the caller names.
    pub fn model(&self) -> String {
        serde_json::from_slice(&self.bytes[self.model.clone()]).unwrap_or_default()
    }

    /// What the caller says that prompts with one prefix have in common, where it is a text.
    pub fn prompt_cache_key(&self) -> Option<String> {
        serde_json::from_slice(&self.bytes[self.prompt_cache_key.clone()?]).ok()
    }

    /// The body with what a place wants otherwise. All other bytes stay as they are; with nothing to change it is the
    /// caller's own buffer.
    pub fn rewritten(&self, to: &Rewrite<'_>) -> Bytes {
        let Rewrite { model, usage, cache_salt, adapter } = *to;
        let name = serde_json::Value::from(model).to_string();
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::with_capacity(3);
        if self.bytes[self.model.clone()] != *name.as_bytes() {
            edits.push((self.model.clone(), name.into_bytes()));
        }
        if usage {
            edits.extend(self.usage_edit());
        }
        if let Some(salt) = cache_salt {
            let value = serde_json::Value::from(salt).to_string();
            edits.push(match &self.cache_salt {
                Some(place) => (place.clone(), value.into_bytes()),
                None => (self.model.end..self.model.end, format!(r#","cache_salt":{value}"#).into_bytes()),
            });
        }
        if let Some((field, value)) = adapter {
            edits.push((self.model.end..self.model.end, format!(r#","{field}":{value}"#).into_bytes()));
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

    /// The object without the members of these names; all that is left keeps its bytes and its order.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let Some(bytes) = left(&self.bytes, names) else { return self.clone() };
        // The members that are looked for are never among those left out.
        Self::new(bytes).unwrap_or_else(|_| self.clone())
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

/// The text of an object without some members; `None` where it has none of them.
fn left(bytes: &Bytes, names: &[&str]) -> Option<Bytes> {
    let object = Object::read(bytes).ok()?;
    if object.entries().all(|(key, _)| !names.contains(&key)) {
        return None;
    }
    let open = bytes.iter().position(|byte| *byte == b'{')? + 1;
    let mut out = BytesMut::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..open]);
    let (mut from, mut first) = (open, true);
    for (key, value) in object.entries() {
        let end = value.get().as_ptr() as usize - bytes.as_ptr() as usize + value.get().len();
        // What stands between two values: a comma but for the first, the key, a colon.
        let member = &bytes[from..end];
        from = end;
        if names.contains(&key) {
            continue;
        }
        // One that comes first now and did not before leaves its comma.
        let comma = member.iter().position(|byte| *byte == b',' || *byte == b'"').filter(|_| first);
        let key = comma.map_or(0, |at| if member[at] == b',' { at + 1 } else { 0 });
        out.extend_from_slice(&member[key..]);
        first = false;
    }
    out.extend_from_slice(&bytes[from..]);
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn without(body: &str, names: &[&str]) -> String {
        let payload = Payload::new(Bytes::copy_from_slice(body.as_bytes())).unwrap().without(names);
        String::from_utf8(payload.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_callers_cache_key_is_read_and_never_changed() {
        let key = |body: &str| {
            let payload = Payload::new(Bytes::copy_from_slice(body.as_bytes())).unwrap();
            let to = Rewrite { model: "m", ..Rewrite::default() };
            assert_eq!(payload.rewritten(&to), body);
            payload.prompt_cache_key()
        };
        assert_eq!(key(r#"{"prompt_cache_key":"a\nb","model":"m"}"#).as_deref(), Some("a\nb"));
        assert_eq!(key(r#"{"model":"m","prompt_cache_key":"a","prompt_cache_key":"b"}"#).as_deref(), Some("b"));
        for none in
            [r#"{"model":"m"}"#, r#"{"model":"m","prompt_cache_key":null}"#, r#"{"model":"m","prompt_cache_key":7}"#]
        {
            assert_eq!(key(none), None);
        }
    }

    #[test]
    fn members_are_left_out_wherever_they_stand_and_all_else_keeps_its_bytes() {
        for (body, left) in [
            (r#"{"seed":1,"model":"m"}"#, r#"{"model":"m"}"#),
            (r#"{ "model" : "m" , "seed" : 1.50 }"#, r#"{ "model" : "m" }"#),
            (r#"{"a":{"seed":1}, "seed":{"b":[1,"}"]},  "model":"m","seed":2}"#, r#"{"a":{"seed":1},  "model":"m"}"#),
            (r#"{ "s\u0065ed" : null, "model":"m", "x":"seed"}"#, r#"{ "model":"m", "x":"seed"}"#),
            (r#"{"model":"m","n":1}"#, r#"{"model":"m","n":1}"#),
        ] {
            assert_eq!(without(body, &["seed", "logit_bias"]), left);
        }
    }

    #[test]
    fn what_is_left_can_still_be_rewritten() {
        let body = Bytes::from_static(br#"{"seed":1,"stream_options":{},"model":"m"}"#);
        let out = Payload::new(body).unwrap().without(&["seed"]).rewritten(&Rewrite {
            model: "n",
            usage: true,
            ..Rewrite::default()
        });
        assert_eq!(out, r#"{"stream_options":{"include_usage":true},"model":"n"}"#);
    }

    proptest! {
        #[test]
        fn an_object_without_members_reads_as_the_same_object_without_them(
            keys in prop::collection::vec("[a-d\"\\\\{},:é ]{0,3}", 0..8), gap in "[ \n\t]{0,2}", gone in prop::collection::vec("[a-d]", 0..3),
        ) {
            let quoted = |key: &String| format!("{}{gap}:{gap}[{}]", serde_json::Value::from(key.as_str()), keys.len());
            let members: Vec<String> = keys.iter().map(quoted).chain([r#""model":"m""#.to_owned()]).collect();
            let body = format!("{gap}{{{gap}{}{gap}}}{gap}", members.join(&format!("{gap},{gap}")));
            let names: Vec<&str> = gone.iter().map(String::as_str).collect();
            let read = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap();
            let mut expected = read(&body);
            expected.retain(|key, _| !names.contains(&&**key));
            prop_assert_eq!(read(&without(&body, &names)), expected);
        }
    }

    fn rewritten(body: &'static str, model: &str, usage: bool) -> String {
        String::from_utf8(
            Payload::new(Bytes::from_static(body.as_bytes()))
                .unwrap()
                .rewritten(&Rewrite { model, usage, ..Rewrite::default() })
                .to_vec(),
        )
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
        let out = Payload::new(bytes.clone()).unwrap().rewritten(&Rewrite { model: "m", ..Rewrite::default() });
        assert_eq!(out.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_salt_takes_the_place_of_any_that_the_caller_gave() {
        for (body, salted) in [
            (r#"{"model":"m"}"#, r#"{"model":"n","stream_options":{"include_usage":true},"cache_salt":"s"}"#),
            (
                r#"{"cache_salt":"of another","model":"m","stream_options":null}"#,
                r#"{"cache_salt":"s","model":"n","stream_options":{"include_usage":true}}"#,
            ),
        ] {
            let payload = Payload::new(Bytes::from_static(body.as_bytes())).unwrap();
            let to = Rewrite { model: "n", usage: true, cache_salt: Some("s"), adapter: None };
            assert_eq!(payload.rewritten(&to), salted);
        }
        assert!(Payload::new(Bytes::from_static(br#"{"model":"m","Cache_Salt":"x"}"#)).is_err());
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
