//! Walks the head of a GGUF file: every count, length and nesting is checked before it is believed.
//!
//! Nothing is allocated by a number from the file: texts are copied only when their bytes are there, arrays
//! are walked but left in place, and the two lists are capped.

use std::{collections::HashMap, fmt::Display};

use bytes::Bytes;

use super::{
    Error,
    value::{Array, Value, ValueType},
};

/// Metadata pairs of one file; real ones have less than a hundred.
const MAX_PAIRS: u64 = 65_536;
/// Tensors of one file; the largest known have a few thousand.
pub(super) const MAX_TENSORS: u64 = 65_536;
/// Bytes of a key or a tensor name: the format's own limit.
const MAX_NAME: u64 = 65_535;
/// Bytes of a text; chat templates are the longest, some 100 kB.
const MAX_TEXT: u64 = 16 << 20;
/// Arrays in arrays; no known file nests at all.
const MAX_DEPTH: u32 = 4;

/// What stands before the tensor infos.
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) tensors: u64,
    pub(super) metadata: HashMap<String, Value>,
}

/// A place in the bytes of a file.
pub(super) struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.at as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    pub(super) fn fail<T>(&self, reason: impl Into<String>) -> Result<T, Error> {
        Err(Error::Malformed { offset: self.offset(), reason: reason.into() })
    }

    fn take<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N], Error> {
        match self.bytes[self.at..].first_chunk() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => self.fail(format!("the file ends where {what} of {N} bytes is expected")),
        }
    }

    pub(super) fn u32(&mut self, what: impl Display) -> Result<u32, Error> {
        self.take(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: impl Display) -> Result<u64, Error> {
        self.take(what).map(u64::from_le_bytes)
    }

    /// A count that is followed by that many things of at least `least` bytes.
    fn count(&mut self, what: impl Display + Copy, max: u64, least: u64) -> Result<u64, Error> {
        let at = self.at;
        let count = self.u64(what)?;
        if count > max {
            self.at = at;
            return self.fail(format!("{what} is {count} and at most {max} are allowed"));
        }
        if count > self.left() / least {
            let left = self.left();
            self.at = at;
            return self.fail(format!("{what} is {count} and the {left} bytes left cannot hold that many"));
        }
        Ok(count)
    }

    fn text(&mut self, what: &str, max: u64) -> Result<&'a str, Error> {
        let len = self.count(format_args!("the length of {what}"), max, 1)? as usize;
        match std::str::from_utf8(&self.bytes[self.at..self.at + len]) {
            Ok(text) => {
                self.at += len;
                Ok(text)
            }
            Err(error) => {
                self.at += error.valid_up_to();
                self.fail(format!("{what} is not UTF-8"))
            }
        }
    }

    pub(super) fn name(&mut self, what: &str) -> Result<&'a str, Error> {
        let at = self.at;
        let name = self.text(what, MAX_NAME)?;
        if name.is_empty() {
            self.at = at;
            return self.fail(format!("{what} is empty"));
        }
        Ok(name)
    }

    fn value_type(&mut self) -> Result<ValueType, Error> {
        let at = self.at;
        let id = self.u32("a value type")?;
        ValueType::from_id(id).map_or_else(
            || {
                self.at = at;
                self.fail(format!("unknown value type {id}, expected 0 to 12"))
            },
            Ok,
        )
    }

    /// One value of a known type, standing `depth` arrays deep.
    pub(super) fn value(&mut self, kind: ValueType, depth: u32) -> Result<Value, Error> {
        Ok(match kind {
            ValueType::U8 => Value::Unsigned(self.take::<1>("a u8")?[0].into()),
            ValueType::I8 => Value::Signed(i8::from_le_bytes(self.take("an i8")?).into()),
            ValueType::U16 => Value::Unsigned(u16::from_le_bytes(self.take("a u16")?).into()),
            ValueType::I16 => Value::Signed(i16::from_le_bytes(self.take("an i16")?).into()),
            ValueType::U32 => Value::Unsigned(self.u32("a u32")?.into()),
            ValueType::I32 => Value::Signed(i32::from_le_bytes(self.take("an i32")?).into()),
            ValueType::U64 => Value::Unsigned(self.u64("a u64")?),
            ValueType::I64 => Value::Signed(i64::from_le_bytes(self.take("an i64")?)),
            ValueType::F32 => Value::Float(f32::from_le_bytes(self.take("an f32")?).into()),
            ValueType::F64 => Value::Float(f64::from_le_bytes(self.take("an f64")?)),
            ValueType::Bool => Value::Bool(self.boolean()?),
            ValueType::Text => Value::Text(self.text("a string", MAX_TEXT)?.to_owned()),
            ValueType::Array => Value::Array(self.array(depth)?),
        })
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        match self.take::<1>("a boolean")?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => {
                self.at -= 1;
                self.fail(format!("a boolean is {other}, expected 0 or 1"))
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Array, Error> {
        if depth >= MAX_DEPTH {
            return self.fail(format!("arrays nested deeper than {MAX_DEPTH}"));
        }
        let kind = self.value_type()?;
        let len = self.count("the length of an array", u64::MAX, kind.least_bytes())?;
        let start = self.at;
        match kind {
            ValueType::Text => {
                for _ in 0..len {
                    self.text("a string", MAX_TEXT)?;
                }
            }
            ValueType::Array => {
                for _ in 0..len {
                    self.array(depth + 1)?;
                }
            }
            ValueType::Bool => {
                for _ in 0..len {
                    self.boolean()?;
                }
            }
            // `count` has checked that they are all there.
            _ => self.at += (len * kind.least_bytes()) as usize,
        }
        Ok(Array { kind, len: len as usize, bytes: self.bytes.slice(start..self.at) })
    }

    pub(super) fn head(&mut self) -> Result<Head, Error> {
        let magic: [u8; 4] = self.take("the magic `GGUF`")?;
        if &magic != b"GGUF" {
            self.at = 0;
            return self.fail(format!("expected the magic `GGUF`, found `{}`", magic.escape_ascii()));
        }
        let version = self.u32("the version")?;
        match version {
            2 | 3 => {}
            1 => return self.fail("version 1 is no longer read; convert the model again"),
            v if matches!(v.swap_bytes(), 1..=3) => {
                return self.fail("a big-endian file; convert the model for little-endian machines");
            }
            v => return self.fail(format!("version {v}, expected 2 or 3")),
        }
        // name length, name of one byte, number of dimensions, one dimension, type, offset
        let tensors = self.count("the number of tensors", MAX_TENSORS, 8 + 1 + 4 + 8 + 4 + 8)?;
        // key length, key of one byte, type, value of one byte
        let pairs = self.count("the number of metadata pairs", MAX_PAIRS, 8 + 1 + 4 + 1)?;
        let mut metadata = HashMap::new();
        for _ in 0..pairs {
            let at = self.at;
            let key = self.name("a metadata key")?;
            let kind = self.value_type()?;
            let value = self.value(kind, 0)?;
            if metadata.insert(key.to_owned(), value).is_some() {
                self.at = at;
                return self.fail(format!("metadata key `{}` stands there twice", key.escape_debug()));
            }
        }
        Ok(Head { version, tensors, metadata })
    }
}
