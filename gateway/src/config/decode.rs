//! A tree of nodes -> a `Raw` type by serde, with *every* problem on the way.
//!
//! serde stops at the first error. So the part that an error is about - a key of a mapping, an item of a list - is
//! marked broken and the rest is decoded again, until nothing is wrong any more: the result lacks the broken parts,
//! and each of them is in the report once. A mapping that lacks a key only because that key was broken is dropped
//! without another word.

mod deserializer;
mod fault;

use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, SeqAccess, Visitor},
};

use self::{deserializer::NodeDeserializer, fault::Fault};
use super::{
    report::{Problem, Problems},
    source::Source,
    yaml::{Node, Value},
};

/// More problems than anyone reads at once.
const MAX_PROBLEMS: usize = 100;

/// Decodes a tree, noting every problem. None if the document as a whole is not of the type.
pub(crate) fn decode<T: DeserializeOwned>(node: &mut Node, source: &Source, problems: &mut Problems) -> Option<T> {
    for _ in 0..MAX_PROBLEMS {
        let fault = match T::deserialize(NodeDeserializer::new(node)) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        problems.extend(fault.problem(source));
        if !mark_broken(node, &fault) {
            return None;
        }
    }
    let problem =
        Problem::error("too-many-problems", format!("more than {MAX_PROBLEMS} problems; the rest is left off"));
    problems.push(problem.hint("put these right and check again").at(source, 0..0));
    None
}

/// Marks the part that a fault is about, so that the next pass goes around it. False if that is the whole document.
fn mark_broken(node: &mut Node, fault: &Fault) -> bool {
    let mut node = node;
    for &step in fault.path() {
        let child = match &mut node.value {
            Value::List(items) => items.get_mut(step),
            Value::Map(entries) => entries.get_mut(step).map(|entry| &mut entry.node),
            _ => None,
        };
        match child {
            Some(child) => node = child,
            None => return false,
        }
    }
    let whole = fault.path().is_empty();
    node.broken = true;
    !whole
}

/// A decoded value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) at: Range<usize>,
    /// Whether it came from the environment: then no message may show it.
    pub(crate) from_environment: bool,
}

impl<T> Spanned<T> {
    /// Another value at the same place.
    pub(crate) fn map<U>(&self, f: impl FnOnce(&T) -> U) -> Spanned<U> {
        Spanned { value: f(&self.value), at: self.at.clone(), from_environment: self.from_environment }
    }
}

impl Spanned<String> {
    /// The value as a message may show it.
    pub(crate) fn shown(&self) -> String {
        if self.from_environment { "the value from the environment".to_owned() } else { format!("`{}`", self.value) }
    }
}

/// The name under which [`Spanned`] asks [`NodeDeserializer`] for a value with its place.
const SPANNED: &str = "$spanned";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value of the configuration")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let missing = || serde::de::Error::custom("a value without its place");
                let start = parts.next_element()?.ok_or_else(missing)?;
                let end = parts.next_element()?.ok_or_else(missing)?;
                let from_environment = parts.next_element()?.ok_or_else(missing)?;
                let value = parts.next_element()?.ok_or_else(missing)?;
                Ok(Spanned { value, at: start..end, from_environment })
            }
        }
        deserializer.deserialize_tuple_struct(SPANNED, 4, Parts(std::marker::PhantomData))
    }
}

/// In the schema a value with its place is just the value.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
