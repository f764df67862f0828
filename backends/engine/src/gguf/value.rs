//! The values of a GGUF file's metadata, and how to ask for one by type.
//!
//! Integers are widened on reading, so that a writer's choice of width does not matter. An array stays where
//! it lies in the file and is decoded on the way out: a vocabulary costs no memory until it is used.

use bytes::Bytes;

use super::read::Cursor;

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A signed integer of any width.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(String),
    /// An array.
    Array(Array),
}

/// The type of a value, as a file numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// The type with this id.
    pub fn from_id(id: u32) -> Option<Self> {
        use ValueType::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64].get(id as usize).copied()
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        use ValueType::*;
        match self {
            U8 => "u8",
            I8 => "i8",
            U16 => "u16",
            I16 => "i16",
            U32 => "u32",
            I32 => "i32",
            F32 => "f32",
            Bool => "bool",
            Text => "string",
            Array => "array",
            U64 => "u64",
            I64 => "i64",
            F64 => "f64",
        }
    }

    /// The fewest bytes that one value of this type takes in a file.
    pub(super) fn least_bytes(self) -> u64 {
        use ValueType::*;
        match self {
            U8 | I8 | Bool => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 | Text => 8,
            Array => 12,
        }
    }
}

/// An array value. Reading the file has walked it once: its length is true and its texts are UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub(super) kind: ValueType,
    pub(super) len: usize,
    pub(super) bytes: Bytes,
}

impl Array {
    /// Type of the elements.
    pub fn kind(&self) -> ValueType {
        self.kind
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements. A nested array comes as one value.
    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let mut cursor = Cursor::new(&self.bytes);
        // The walk at reading time saw the same bytes succeed; a file changed since then just ends early.
        (0..self.len).map_while(move |_| cursor.value(self.kind, 0).ok())
    }

    /// The elements as numbers, if they are integers that fit `i64`.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let values = self.iter().map(|value| match value {
            Value::Unsigned(v) => i64::try_from(v).ok(),
            Value::Signed(v) => Some(v),
            _ => None,
        });
        self.whole(values.collect())
    }

    /// The elements as floats, if they are numbers.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let values = self.iter().map(|value| match value {
            Value::Float(v) => Some(v as f32),
            Value::Unsigned(v) => Some(v as f32),
            Value::Signed(v) => Some(v as f32),
            _ => None,
        });
        self.whole(values.collect())
    }

    /// The elements as texts, if they are.
    pub fn texts(&self) -> Option<Vec<String>> {
        let values = self.iter().map(|value| if let Value::Text(text) = value { Some(text) } else { None });
        self.whole(values.collect())
    }

    fn whole<T>(&self, values: Option<Vec<T>>) -> Option<Vec<T>> {
        values.filter(|values| values.len() == self.len)
    }
}

impl Value {
    /// What it is, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
        }
    }
}

/// A type that metadata can be asked for.
pub trait FromValue<'a>: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;

    /// The value as this type, if it is one and fits.
    fn from_value(value: &'a Value) -> Option<Self>;
}

impl<'a> FromValue<'a> for u64 {
    const EXPECTED: &'static str = "a non-negative integer";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Unsigned(v) => Some(*v),
            Value::Signed(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for u32 {
    const EXPECTED: &'static str = "a non-negative integer below 2^32";

    fn from_value(value: &'a Value) -> Option<Self> {
        u64::from_value(value).and_then(|v| Self::try_from(v).ok())
    }
}

impl<'a> FromValue<'a> for f32 {
    const EXPECTED: &'static str = "a number";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Float(v) => Some(*v as Self),
            Value::Unsigned(v) => Some(*v as Self),
            Value::Signed(v) => Some(*v as Self),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for bool {
    const EXPECTED: &'static str = "a boolean";

    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::Bool(v) = value { Some(*v) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "a string";

    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::Text(v) = value { Some(v) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a Array {
    const EXPECTED: &'static str = "an array";

    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::Array(v) = value { Some(v) } else { None }
    }
}
