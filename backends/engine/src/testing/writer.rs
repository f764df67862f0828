//! Writes GGUF version 3.

use crate::gguf::{TensorType, ValueType};

/// Where data starts and tensors lie: the format's default.
const ALIGNMENT: usize = 32;

/// A metadata value to write.
#[derive(Clone, Debug)]
pub enum Meta {
    /// `u32`
    U32(u32),
    /// `f32`
    F32(f32),
    /// `bool`
    Bool(bool),
    /// `string`
    Text(String),
    /// array of `string`
    Texts(Vec<String>),
    /// array of `f32`
    F32s(Vec<f32>),
    /// array of `i32`
    I32s(Vec<i32>),
    /// array of `bool`
    Bools(Vec<bool>),
}

/// A file in the making: metadata and tensors in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    metadata: Vec<(String, Meta)>,
    tensors: Vec<(String, TensorType, Vec<u64>, Vec<u8>)>,
}

impl Writer {
    /// Sets a metadata key, in place of an earlier value.
    pub fn set(&mut self, key: &str, value: Meta) -> &mut Self {
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&Meta> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// Takes a metadata key out.
    pub fn unset(&mut self, key: &str) -> &mut Self {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Adds a tensor from its stored bytes.
    pub fn tensor(&mut self, name: &str, kind: TensorType, dims: &[u64], data: Vec<u8>) -> &mut Self {
        self.tensors.push((name.to_owned(), kind, dims.to_vec(), data));
        self
    }

    /// The bytes of the file.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key);
            meta(&mut out, value);
        }
        let mut offset = 0usize;
        for (name, kind, dims, data) in &self.tensors {
            text(&mut out, name);
            out.extend((dims.len() as u32).to_le_bytes());
            out.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
            out.extend(kind.id().to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + data.len()).next_multiple_of(ALIGNMENT);
        }
        for (_, _, _, data) in &self.tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend(data);
        }
        out
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn meta(out: &mut Vec<u8>, value: &Meta) {
    let kind = |out: &mut Vec<u8>, kind: ValueType| out.extend((kind as u32).to_le_bytes());
    let array = |out: &mut Vec<u8>, element: ValueType, len: usize| {
        kind(out, ValueType::Array);
        kind(out, element);
        out.extend((len as u64).to_le_bytes());
    };
    match value {
        Meta::U32(v) => {
            kind(out, ValueType::U32);
            out.extend(v.to_le_bytes());
        }
        Meta::F32(v) => {
            kind(out, ValueType::F32);
            out.extend(v.to_le_bytes());
        }
        Meta::Bool(v) => {
            kind(out, ValueType::Bool);
            out.push((*v).into());
        }
        Meta::Text(v) => {
            kind(out, ValueType::Text);
            text(out, v);
        }
        Meta::Texts(v) => {
            array(out, ValueType::Text, v.len());
            v.iter().for_each(|v| text(out, v));
        }
        Meta::F32s(v) => {
            array(out, ValueType::F32, v.len());
            out.extend(v.iter().flat_map(|v| v.to_le_bytes()));
        }
        Meta::I32s(v) => {
            array(out, ValueType::I32, v.len());
            out.extend(v.iter().flat_map(|v| v.to_le_bytes()));
        }
        Meta::Bools(v) => {
            array(out, ValueType::Bool, v.len());
            out.extend(v.iter().map(|&v| u8::from(v)));
        }
    }
}
