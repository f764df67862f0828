//! What one JSON chunk of a stream, or one whole answer, says that the gateway needs to know.
//!
//! Everything else in it is skipped, not decoded: texts are neither copied nor unescaped. A chunk whose JSON is
//! good but whose fields have other types than expected is still the caller's to judge.

use std::fmt;

use backends::text_tokens;
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
    #[serde(default)]
    pub(crate) object: Option<Word>,
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
    /// Tokens of the texts in it, an estimate.
    pub(crate) text_tokens: u64,
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
                while let Some(choice) = choices.next_element::<Choice>()? {
                    all.count += 1;
                    let Content(delta) = choice.delta.or(choice.message).unwrap_or_default();
                    let held = delta.and(choice.text.unwrap_or_default());
                    all.content |= held.something;
                    all.text_tokens = all.text_tokens.saturating_add(held.tokens);
                    if let Some(reason) = choice.finish_reason {
                        all.finished |= 1 << choice.index.unwrap_or(0).min(127);
                        all.failed |= reason == Word::Error;
                    }
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Summary)
    }
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    text: Option<Held>,
    #[serde(default)]
    finish_reason: Option<Word>,
}

/// A key or a text of which only this matters. An optional `Cow` would be copied, borrowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Error,
    Role,
    Other,
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(match text {
                    "error" => Word::Error,
                    "role" => Word::Role,
                    _ => Word::Other,
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What a delta or a message has in it but the role.
#[derive(Clone, Copy, Default)]
struct Content(Held);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta or a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
                let mut content = Held::default();
                while let Some(key) = fields.next_key::<Word>()? {
                    if key == Word::Role {
                        fields.next_value::<IgnoredAny>()?;
                    } else {
                        content = content.and(fields.next_value()?);
                    }
                }
                Ok(Content(content))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What a value holds.
#[derive(Clone, Copy, Default)]
struct Held {
    /// Whether it is anything: not null, not false, not an empty text, list or object.
    something: bool,
    /// Tokens of the texts in it.
    tokens: u64,
}

impl Held {
    fn something(something: bool) -> Self {
        Self { something, tokens: 0 }
    }

    fn and(self, other: Self) -> Self {
        Self { something: self.something || other.something, tokens: self.tokens.saturating_add(other.tokens) }
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Held;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Held, E> {
                Ok(Held::default())
            }

            fn visit_bool<E>(self, value: bool) -> Result<Held, E> {
                Ok(Held::something(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Held, E> {
                Ok(Held::something(true))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Held, E> {
                Ok(Held::something(true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Held, E> {
                Ok(Held::something(true))
            }

            fn visit_str<E>(self, text: &str) -> Result<Held, E> {
                Ok(Held { something: !text.is_empty(), tokens: text_tokens(text) })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Held, A::Error> {
                let mut all = Held::default();
                while let Some(item) = items.next_element::<Held>()? {
                    all = Held::something(true).and(all).and(item);
                }
                Ok(all)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Held, A::Error> {
                let mut all = Held::default();
                while let Some((_, value)) = fields.next_entry::<IgnoredAny, Held>()? {
                    all = Held::something(true).and(all).and(value);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What reading a text as an object gave.
#[derive(Debug)]
pub(crate) enum Read<T> {
    /// The object.
    Object(T),
    /// Good JSON of another shape.
    Other,
    /// No JSON.
    Bad,
}

/// Reads the data of an event, or a body.
pub(crate) fn read(json: &[u8]) -> Read<Chunk<'_>> {
    object(json)
}

/// Reads JSON as an object with the fields of `T`.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Read<T> {
    match serde_json::from_slice(json) {
        Ok(object) if starts_object(json) => Read::Object(object),
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
        self.error.is_some() || self.object == Some(Word::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &str) -> Chunk<'_> {
        match read(json.as_bytes()) {
            Read::Object(chunk) => chunk,
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
    fn the_tokens_of_texts_are_counted_wherever_they_stand_but_not_the_role() {
        for (delta, tokens) in [
            (r#"{"role":"assistant","content":""}"#, 0),
            (r#"{"role":"assistant","content":" the answer"}"#, 3),
            (r#"{"content":"\uc548\ub155"}"#, 2),
            (r#"{"reasoning_content":"hm","content":null}"#, 1),
            (r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}"#, 2),
        ] {
            let json = format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
            assert_eq!(chunk(&json).choices.unwrap().text_tokens, tokens, "{delta}");
        }
        let whole = chunk(r#"{"choices":[{"message":{"content":"12345678"}},{"text":"1234"}]}"#);
        assert_eq!(whole.choices.unwrap().text_tokens, 3);
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
