//! Writes the head of a GGUF file, version 3: metadata, and what tensors are called and where they lie. Their bytes follow it,
//! in their order, each from a multiple of the alignment on; whoever has them writes them, so that none need be in memory.

use super::{DEFAULT_ALIGNMENT, TensorType, ValueType};

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

/// A head in the making: metadata and tensors in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Header {
    metadata: Vec<(String, Meta)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    kind: TensorType,
    dims: Vec<u64>,
    bytes: u64,
}

impl Header {
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

    /// Adds a tensor that takes so many bytes.
    pub fn tensor(&mut self, name: &str, kind: TensorType, dims: &[u64], bytes: u64) -> &mut Self {
        self.tensors.push(Tensor { name: name.to_owned(), kind, dims: dims.to_vec(), bytes });
        self
    }

    /// The bytes of the head, up to where the first tensor lies.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key);
            meta(&mut out, value);
        }
        let mut offset = 0u64;
        for Tensor { name, kind, dims, bytes } in &self.tensors {
            text(&mut out, name);
            out.extend((dims.len() as u32).to_le_bytes());
            out.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
            out.extend(kind.id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += bytes + padding(*bytes) as u64;
        }
        out.resize(out.len() + padding(out.len() as u64), 0);
        out
    }
}

/// Bytes behind so many, up to where the next tensor lies.
pub fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(DEFAULT_ALIGNMENT.into()) - bytes) as usize
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
