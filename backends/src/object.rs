//! The top level of a JSON object, walked once: each key with the text of its value.
//!
//! A request body is looked at for several reasons: to find the places that may be rewritten, to read the fields that
//! all APIs share, to read those of one API. Walking a large body for each would cost a pass each. Here the body is
//! walked once, and what somebody asks for is read from the values that it names. Knows nothing of what keys mean.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

/// Keys that an object may have: several times what any API defines.
const MAX_KEYS: usize = 256;

/// The keys of a JSON object and the texts of their values, in the order of the text.
#[derive(Debug)]
pub struct Object<'a> {
    bytes: &'a Bytes,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Walks an object. Every byte of it is checked to be JSON and UTF-8.
    ///
    /// # Errors
    /// When the bytes are no JSON object, or one with more than 256 keys.
    pub fn read(bytes: &'a Bytes) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let entries = json.deserialize_map(Walk)?;
        json.end()?;
        Ok(Self { bytes, entries })
    }

    /// The bytes that were read.
    pub fn bytes(&self) -> &'a Bytes {
        self.bytes
    }

    /// Whether there is such a key.
    pub fn has(&self, key: &str) -> bool {
        self.entries().any(|(name, _)| name == key)
    }

    /// Reads a struct from the keys that it has fields for; the values of other keys are not looked at.
    ///
    /// # Errors
    /// What `T` says of a value, or of a key that is missing or stands there twice.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self)
    }

    /// The keys and the texts of their values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.entries.iter().map(|(key, value)| (&**key, *value))
    }
}

impl<'de> Deserializer<'de> for &Object<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(self.entries()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(self.entries().filter(|(key, _)| fields.contains(key))))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(12);
        while let Some(key) = map.next_key_seed(Key)? {
            if entries.len() == MAX_KEYS {
                return Err(A::Error::custom(format_args!("expected at most {MAX_KEYS} keys")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Fields {
        a: u8,
        #[serde(default)]
        b: Option<Vec<String>>,
    }

    fn decoded(text: &str) -> Result<Fields, String> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Object::read(&bytes).and_then(|object| object.decode()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_struct_reads_its_own_keys_and_leaves_the_others() {
        assert_eq!(decoded(r#" {"x":{"a":9},"a":1,"y":[1e999]} "#), Ok(Fields { a: 1, b: None }));
        assert_eq!(decoded(r#"{"b":["p"],"\u0061":2}"#), Ok(Fields { a: 2, b: Some(vec!["p".to_owned()]) }));
        assert_eq!(decoded(r#"{"b":null,"a":3}"#), Ok(Fields { a: 3, b: None }));
    }

    #[test]
    fn what_is_wrong_is_told_as_serde_tells_it() {
        assert!(decoded(r#"{"b":[]}"#).unwrap_err().contains("missing field `a`"));
        assert!(decoded(r#"{"a":1,"a":1}"#).unwrap_err().contains("duplicate field `a`"));
        assert!(decoded(r#"{"a":"x"}"#).unwrap_err().contains("expected u8"));
        for text in ["[1]", "1", "", "{", r#"{"a":1}x"#, r#"{"a":1,"b"}"#, "{\"a\":1,\"b\":\"\u{1}\"}"] {
            assert!(decoded(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_bounded_in_number() {
        let object = |keys: usize| {
            let keys: Vec<_> = (0..keys).map(|n| format!(r#""k{n}":0"#)).collect();
            let bytes = Bytes::from(format!("{{{}}}", keys.join(",")));
            Object::read(&bytes).map(|object| object.entries().count()).map_err(|error| error.to_string())
        };
        assert_eq!(object(256), Ok(256));
        assert!(object(257).unwrap_err().contains("at most 256 keys"));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
        assert!(Object::read(&Bytes::from_static(b"{\"a\":1,\"x\":\"\xff\"}")).is_err());
        assert!(Object::read(&Bytes::from_static(b"{\"\xff\":1}")).is_err());
    }
}
