//! What one JSON chunk of a stream, or one whole answer, says that the gateway needs to know.
//!
//! Everything else in it is skipped, not decoded: texts are neither copied nor unescaped. A chunk whose JSON is
//! good but whose fields have other types than expected is still the caller's to judge.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The parts of a chunk or an answer.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Chunk<'a> {
    /// An error object or text, in place of an answer.
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    /// The kind of the object; some servers send their errors flat, with `error` here.
    #[serde(borrow, default)]
    pub(crate) object: Option<Cow<'a, str>>,
    /// What its choices say; `None` if the key is missing.
    #[serde(default)]
    pub(crate) choices: Option<Choices>,
    /// Its token counts, unread; `None` also for null.
    #[serde(borrow, default)]
    pub(crate) usage: Option<&'a RawValue>,
}

/// What the choices of a chunk say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    /// How many there are.
    pub(crate) count: usize,
    /// Whether one carries content: text, a tool call, reasoning, a refusal.
    pub(crate) content: bool,
    /// The choices that end here, a bit for each index. An index above 127, more than the API allows, counts
    /// as 127.
    pub(crate) finished: u128,
    /// Whether one ends with the reason `error`.
    pub(crate) failed: bool,
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Summary;
        impl<'de> Visitor<'de> for Summary {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<Choices, A::Error> {
                let mut all = Choices::default();
                while let Some(choice) = choices.next_element::<Choice<'_>>()? {
                    all.count += 1;
                    let delta = choice.delta.or(choice.message).unwrap_or_default();
                    all.content |= delta.0 || choice.text.unwrap_or_default().0;
                    if let Some(reason) = choice.finish_reason {
                        all.finished |= 1 << choice.index.unwrap_or(0).min(127);
                        all.failed |= reason == "error";
                    }
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Summary)
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    text: Option<Present>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

/// Whether a delta or a message has anything in it but the role.
#[derive(Clone, Copy, Default)]
struct Content(bool);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta or a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
                let mut content = false;
                while let Some(Key { role }) = fields.next_key()? {
                    if role {
                        fields.next_value::<IgnoredAny>()?;
                    } else {
                        content |= fields.next_value::<Present>()?.0;
                    }
                }
                Ok(Content(content))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key of a delta: the role, or another one.
struct Key {
    role: bool,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key { role: name == "role" })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// Whether a value holds anything: not null, not false, not an empty text, list or object.
#[derive(Clone, Copy, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Present;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Present, E> {
                Ok(Present(false))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Present, E> {
                Ok(Present(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Present, E> {
                Ok(Present(true))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Present, E> {
                Ok(Present(true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Present, E> {
                Ok(Present(true))
            }

            fn visit_str<E>(self, text: &str) -> Result<Present, E> {
                Ok(Present(!text.is_empty()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Present, A::Error> {
                let mut any = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(Present(any))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Present, A::Error> {
                let mut any = false;
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(Present(any))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What reading a text as a chunk gave.
#[derive(Debug)]
pub(crate) enum Read<'a> {
    /// A chunk.
    Chunk(Chunk<'a>),
    /// Good JSON of another shape.
    Other,
    /// No JSON.
    Bad,
}

/// Reads the data of an event, or a body.
pub(crate) fn read(json: &[u8]) -> Read<'_> {
    match serde_json::from_slice(json) {
        Ok(chunk) if starts_object(json) => Read::Chunk(chunk),
        Ok(_) => Read::Other,
        Err(_) if serde_json::from_slice::<IgnoredAny>(json).is_ok() => Read::Other,
        Err(_) => Read::Bad,
    }
}

/// A derived struct would also read a list, field by field.
fn starts_object(json: &[u8]) -> bool {
    json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

impl Chunk<'_> {
    /// Whether it reports an error instead of carrying an answer.
    pub(crate) fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_deref() == Some("error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &str) -> Chunk<'_> {
        match read(json.as_bytes()) {
            Read::Chunk(chunk) => chunk,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn content_is_text_reasoning_or_a_tool_call_but_not_a_role_alone() {
        for (delta, content) in [
            (r#"{"role":"assistant"}"#, false),
            (r#"{"role":"assistant","content":""}"#, false),
            (r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[]}"#, false),
            ("{}", false),
            (r#"{"content":"a"}"#, true),
            (r#"{"content":"\u00e9\n"}"#, true),
            (r#"{"reasoning_content":"hm"}"#, true),
            (r#"{"content":null,"reasoning":"hm"}"#, true),
            (r#"{"tool_calls":[{"index":0}]}"#, true),
            (r#"{"c\u006fntent":"x"}"#, true),
        ] {
            let json = format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
            assert_eq!(chunk(&json).choices.unwrap().content, content, "{delta}");
        }
        assert!(chunk(r#"{"choices":[{"text":"x"}]}"#).choices.unwrap().content);
        assert!(!chunk(r#"{"choices":[{"text":""}]}"#).choices.unwrap().content);
    }

    #[test]
    fn each_choice_that_ends_is_told_apart() {
        let choices = chunk(
            r#"{"choices":[{"index":2,"delta":{},"finish_reason":"stop"},{"index":0,"delta":{}},{"finish_reason":"length"}]}"#,
        );
        assert_eq!(choices.choices.unwrap().finished, 0b101);
        assert!(chunk(r#"{"choices":[{"finish_reason":"error"}]}"#).choices.unwrap().failed);
        assert_eq!(
            chunk(r#"{"choices":[{"index":4000000000,"finish_reason":"stop"}]}"#).choices.unwrap().finished,
            1 << 127
        );
    }

    #[test]
    fn usage_is_found_and_its_null_is_none() {
        assert_eq!(
            chunk(r#"{"choices":[],"usage":{"prompt_tokens":5}}"#).usage.unwrap().get(),
            r#"{"prompt_tokens":5}"#
        );
        assert!(chunk(r#"{"choices":[],"usage":null}"#).usage.is_none());
    }

    #[test]
    fn an_error_is_seen_in_each_spelling() {
        assert!(chunk(r#"{"error":{"message":"x"}}"#).is_error());
        assert!(chunk(r#"{"error":"x"}"#).is_error());
        assert!(chunk(r#"{"object":"error","message":"x","code":400}"#).is_error());
        assert!(!chunk(r#"{"error":null,"choices":[]}"#).is_error());
    }

    #[test]
    fn good_json_of_another_shape_is_told_from_bad_json() {
        assert!(matches!(read(br#"{"choices":"none"}"#), Read::Other));
        assert!(matches!(read(b"[null,null,[],null]"), Read::Other));
        assert!(matches!(read(br#"{"choices":[{"#), Read::Bad));
        assert!(matches!(read(b""), Read::Bad));
        assert!(matches!(read(b"\xff\xfe"), Read::Bad));
    }

    #[test]
    fn a_deeply_nested_chunk_is_refused_not_followed() {
        assert!(matches!(read("[".repeat(1_000_000).as_bytes()), Read::Bad));
    }
}
