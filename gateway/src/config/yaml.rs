//! YAML text -> a tree of nodes, each with the place it stands at.
//!
//! The tree is untyped so that one pass over it can find every problem (see `decode`). The text is bounded before it
//! is parsed and the parser counts what aliases expand to, so that a small file cannot become a large tree.

use std::{fmt, ops::Range};

use policies::Diagnostic;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{
    report::{Problem, Problems},
    source::Source,
};

/// The largest file that is read.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Range<usize>,
    /// Whether any part of the text came from the environment.
    pub(crate) from_environment: bool,
    /// Whether a problem of it is reported already, so that decoding goes around it.
    pub(crate) broken: bool,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) node: Node,
}

impl Node {
    /// The entries of a mapping, if it is one.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What to point at: of a mapping its first key, since the whole may go on for pages.
    pub(crate) fn place(&self) -> Range<usize> {
        self.entries().first().map_or_else(|| self.at.clone(), |first| first.key_at.clone())
    }

    /// Whether a part of it is broken.
    pub(crate) fn has_broken(&self) -> bool {
        self.broken
            || match &self.value {
                Value::List(items) => items.iter().any(Self::has_broken),
                Value::Map(entries) => entries.iter().any(|entry| entry.node.has_broken()),
                _ => false,
            }
    }

    /// The value under a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

/// Parses one document. Text that is not YAML, or too much of it, is one problem and no tree.
pub(crate) fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 200_000,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: MAX_BYTES as usize,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    // An empty file, or one of comments only, says nothing and so asks for every default.
    match serde_saphyr::from_str_with_options::<Option<Node>>(&source.text, options) {
        Ok(Some(node)) => Some(node),
        Ok(None) => Some(Node { value: Value::Map(Vec::new()), at: 0..0, from_environment: false, broken: false }),
        Err(error) => {
            problems.push(unreadable(&error, source));
            None
        }
    }
}

/// Why a text has no tree.
fn unreadable(error: &serde_saphyr::Error, source: &Source) -> Diagnostic {
    let error = error.without_snippet();
    let at = error.location().map_or(0..0, |at| range(&at));
    match error {
        // What is wrong stands in the node that an alias names.
        serde_saphyr::Error::AliasError { error, .. } => unreadable(error, source),
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key").escape_debug();
            Problem::error("duplicate-key", format!("`{key}` stands twice in one mapping"))
                .label("again here")
                .hint("keep one of them")
                .at(source, at)
        }
        serde_saphyr::Error::Budget { .. } => {
            Problem::error("yaml-limit", "the file holds more than is read, aliases expanded")
                .hint("split it into several files, and write out what aliases stand for")
                .at(source, at)
        }
        error => {
            let text = error.to_string();
            // The parser ends its messages with the place, which the report shows better.
            let (message, place) = text.split_once(" at line ").unwrap_or((&text, ""));
            let message = message.lines().next().unwrap_or_default();
            let at = position(place, &source.text).map_or(at, |start| start..start);
            Problem::error("yaml", format!("this YAML cannot be read: {message}"))
                .hint("indent with spaces; a value that holds `: `, ` #` or starts with a bracket needs quotes")
                .at(source, at)
        }
    }
}

/// The byte that "2, column 5" means; both count from 1, columns in characters.
fn position(place: &str, text: &str) -> Option<usize> {
    let (line, column) = place.split_once(", column ")?;
    let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let within = text[start..].char_indices().nth(column.checked_sub(1)?);
    Some(within.map_or(text.len(), |(at, _)| start + at))
}

/// The bytes of a place. Text read from memory always has them; without, the start of the file stands in.
fn range(at: &Location) -> Range<usize> {
    let span = at.span();
    let start = span.byte_offset().unwrap_or(0) as usize;
    start..start.saturating_add(span.byte_len().unwrap_or(0) as usize)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, at: range(&spanned.referenced), from_environment: false, broken: false })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key_at = range(&key.referenced);
            entries.push(Entry { key: key.value, key_at, node: map.next_value()? });
        }
        Ok(Value::Map(entries))
    }
}
