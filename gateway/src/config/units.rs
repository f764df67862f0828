//! Sizes and durations as people write them: `64MiB`, `10s`.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};

/// A number of bytes: a plain number, or one with `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A duration: a whole number with `ms`, `s`, `m` or `h`. At most a day, and never nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// Memory that may be taken: a size, or `auto`, which goes by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory(pub(super) Option<u64>);

const MEMORY: &str = "a size such as `12GiB`, or `auto`";
const BYTES: &str = "a size such as `64MiB`, `512KiB` or a number of bytes";
const SPAN: &str = "a duration such as `500ms`, `10s` or `5m`, at most `24h`";

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = parts(text);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = parts(text);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=86_400_000).contains(&millis).then(|| Duration::from_millis(millis))
}

fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(BYTES)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                bytes(text).map(Bytes).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Memory;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(MEMORY)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Memory, E> {
                Ok(Memory(Some(number)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Memory, E> {
                match bytes(text) {
                    Some(bytes) => Ok(Memory(Some(bytes))),
                    None if text == "auto" => Ok(Memory(None)),
                    None => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SPAN)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                span(text).map(Span).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" })
    }
}

impl JsonSchema for Memory {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^(auto|[0-9]+ *(B|KiB|MiB|GiB)?)$" })
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_or_without_a_binary_unit() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("512 KiB"), Some(512 << 10));
        assert_eq!(bytes("17"), Some(17));
        for text in ["64MB", "MiB", "-1", "1.5GiB", "99999999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit_and_is_more_than_nothing_and_at_most_a_day() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("24h"), Some(Duration::from_secs(86_400)));
        for text in ["10", "0s", "25h", "1 day", "s", "99999999999999999999s"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
