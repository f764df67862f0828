//! A serde deserializer over [`Node`]s that knows where everything stands and passes over broken parts.

use std::ops::Range;

use serde::{
    de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::{Fault, SPANNED};
use crate::config::yaml::{Entry, Node, Value};

/// A node to decode, and the place that stands for it in a message.
pub(super) struct NodeDeserializer<'a> {
    node: &'a Node,
    at: Range<usize>,
}

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, at: node.place() }
    }

    fn plain<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(*value as f64),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.iter().enumerate(), value: None }),
        }
    }

    fn placed<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| fault.at(&self.at, self.node.from_environment))
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.placed(self.plain(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A number or a boolean of the environment arrives as text, and is meant all the same.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) if self.node.from_environment => match text.parse() {
                Ok(number) => self.placed(visitor.visit_u64(number)),
                Err(_) => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) if self.node.from_environment => match text.parse() {
                Ok(number) => self.placed(visitor.visit_f64(number)),
                Err(_) => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) if self.node.from_environment => match text.parse() {
                Ok(value) => self.placed(visitor.visit_bool(value)),
                Err(_) => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let entries = self.node.entries();
        for (index, entry) in entries.iter().enumerate() {
            if !entry.node.broken && !fields.contains(&entry.key.as_str()) {
                return Err(Fault::unknown_key(&entry.key, name, fields).at(&entry.key_at, false).under(index));
            }
        }
        let result = self.plain(visitor).map_err(|fault| match fault.missing() {
            Some(key) if entries.iter().any(|entry| entry.key == key && entry.node.broken) => fault.implied(),
            _ => fault.in_struct(name),
        });
        self.placed(result)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == SPANNED {
            return visitor.visit_seq(Parts { node: self.node, at: self.at, next: 0 });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => {
                let name: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                self.placed(visitor.visit_enum(name))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple map
        identifier ignored_any
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.find(|(_, node)| !node.broken) else { return Ok(None) };
        seed.deserialize(NodeDeserializer::new(node)).map(Some).map_err(|fault| fault.under(index))
    }
}

struct Entries<'a> {
    entries: std::iter::Enumerate<std::slice::Iter<'a, Entry>>,
    value: Option<(usize, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((index, entry)) = self.entries.find(|(_, entry)| !entry.node.broken) else { return Ok(None) };
        self.value = Some((index, &entry.node));
        // A key that is decoded to more than its name (`Spanned`) wants the key's own place.
        let key = Node {
            value: Value::Text(entry.key.clone()),
            at: entry.key_at.clone(),
            from_environment: false,
            broken: false,
        };
        seed.deserialize(NodeDeserializer::new(&key)).map(Some).map_err(|fault| fault.under(index))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((index, node)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value without its key"));
        };
        seed.deserialize(NodeDeserializer::new(node)).map_err(|fault| fault.under(index))
    }
}

/// The four parts of a `Spanned`: start, end, whether it is of the environment, the value.
struct Parts<'a> {
    node: &'a Node,
    at: Range<usize>,
    next: u8,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let part = self.next;
        self.next += 1;
        match part {
            0 => seed.deserialize((self.at.start as u64).into_deserializer()).map(Some),
            1 => seed.deserialize((self.at.end as u64).into_deserializer()).map(Some),
            2 => seed.deserialize(self.node.from_environment.into_deserializer()).map(Some),
            3 => seed.deserialize(NodeDeserializer::new(self.node)).map(Some),
            _ => Ok(None),
        }
    }
}
