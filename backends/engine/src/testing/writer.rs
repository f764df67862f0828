//! A GGUF file in memory.

use crate::gguf::{Header, Meta, TensorType, padding};

/// A file in the making: metadata and tensors in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    header: Header,
    data: Vec<Vec<u8>>,
}

impl Writer {
    /// Sets a metadata key, in place of an earlier value.
    pub fn set(&mut self, key: &str, value: Meta) -> &mut Self {
        self.header.set(key, value);
        self
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&Meta> {
        self.header.get(key)
    }

    /// Takes a metadata key out.
    pub fn unset(&mut self, key: &str) -> &mut Self {
        self.header.unset(key);
        self
    }

    /// Adds a tensor from its stored bytes.
    pub fn tensor(&mut self, name: &str, kind: TensorType, dims: &[u64], data: Vec<u8>) -> &mut Self {
        self.header.tensor(name, kind, dims, data.len() as u64);
        self.data.push(data);
        self
    }

    /// The bytes of the file.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = self.header.to_bytes();
        for data in &self.data {
            out.resize(out.len() + padding(out.len() as u64), 0);
            out.extend(data);
        }
        out
    }
}
