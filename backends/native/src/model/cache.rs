//! Keys and values of the tokens seen so far, as halves.
//!
//! Each slot holds one sequence of up to `context` positions. For a slot, layer and head, positions follow each other,
//! so keys are a matrix for the product with queries and values are rows for the weighted sum. Memory is taken as
//! zeroed pages, which the system provides when a position is first written.

use kernels::{Format, Matrix, encode_f16};

use super::Shape;

#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<Layer>,
    context: usize,
    kv_heads: usize,
    head: usize,
}

#[derive(Debug)]
struct Layer {
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Cache {
    /// Bytes for `slots` sequences of `context` tokens; none if that overflows.
    pub(super) fn bytes(shape: &Shape, slots: usize, context: usize) -> Option<usize> {
        let token = 2 * 2 * shape.layers * shape.kv_heads * shape.head;
        slots.checked_mul(context)?.checked_mul(token)
    }

    pub(super) fn new(shape: &Shape, slots: usize, context: usize) -> Self {
        let bytes = slots * context * shape.kv_heads * shape.head * 2;
        let layer = || Layer { keys: vec![0; bytes], values: vec![0; bytes] };
        let layers = (0..shape.layers).map(|_| layer()).collect();
        Self { layers, context, kv_heads: shape.kv_heads, head: shape.head }
    }

    /// Stores the key and value of every head at a position.
    pub(super) fn write(&mut self, layer: usize, slot: usize, position: usize, keys: &[f32], values: &[f32]) {
        let row = 2 * self.head;
        for head in 0..self.kv_heads {
            let at = self.start(slot, head) + position * row;
            let from = head * self.head..(head + 1) * self.head;
            let layer = &mut self.layers[layer];
            encode_f16(&keys[from.clone()], &mut layer.keys[at..at + row]);
            encode_f16(&values[from], &mut layer.values[at..at + row]);
        }
    }

    /// The first `len` keys of a head, one a row.
    pub(super) fn keys(&self, layer: usize, slot: usize, head: usize, len: usize) -> Matrix<'_> {
        let start = self.start(slot, head);
        Matrix::new(Format::F16, len, self.head, &self.layers[layer].keys[start..start + 2 * len * self.head])
    }

    /// The first `len` values of a head, one after the other.
    pub(super) fn values(&self, layer: usize, slot: usize, head: usize, len: usize) -> &[u8] {
        let start = self.start(slot, head);
        &self.layers[layer].values[start..start + 2 * len * self.head]
    }

    fn start(&self, slot: usize, head: usize) -> usize {
        (slot * self.kv_heads + head) * self.context * self.head * 2
    }
}
