//! What callers may write as one text or as a list: contents of turns in every API, and the input of a response.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// An entry of such a list.
pub(super) trait Entry: Sized {
    /// How it stands on the wire.
    type Wire<'de>: Deserialize<'de>;

    /// What is expected, for the error.
    const EXPECTED: &'static str;

    /// The one entry that a text is.
    fn of_text(text: String) -> Self;

    /// An entry of a list.
    fn of_wire(wire: Self::Wire<'_>) -> Self;
}

/// What may be written so, for the description of the API.
pub struct TextOr<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for TextOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": item}, {"type": "null"}]})
    }
}

/// A text, which is one entry, or a list of them, or null.
pub(super) fn text_or_list<'de, D: Deserializer<'de>, E: Entry>(deserializer: D) -> Result<Vec<E>, D::Error> {
    struct Entries<E>(PhantomData<E>);

    impl<'de, E: Entry> Visitor<'de> for Entries<E> {
        type Value = Vec<E>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(E::EXPECTED)
        }

        fn visit_unit<X>(self) -> Result<Self::Value, X> {
            Ok(Vec::new())
        }

        fn visit_str<X>(self, text: &str) -> Result<Self::Value, X> {
            Ok(vec![E::of_text(text.to_owned())])
        }

        fn visit_string<X>(self, text: String) -> Result<Self::Value, X> {
            Ok(vec![E::of_text(text)])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(wire) = entries.next_element()? {
                all.push(E::of_wire(wire));
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(Entries(PhantomData))
}
