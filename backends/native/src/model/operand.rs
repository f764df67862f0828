//! Columns of activations that a group of products shares, in every form that its weights ask for.
//!
//! A quantised form is computed only if some matrix of the group wants it. Buffers are kept from step to step.

use kernels::{Isa, Packed, Q8, quantize};

/// Which forms a group of matrices asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    floats: bool,
    blocks: bool,
}

impl Wanted {
    pub(super) fn by<const N: usize>(matrices: [&Packed; N]) -> Self {
        let floats = |matrix: &&Packed| matrix.panels().format().is_float();
        Wanted { floats: matrices.iter().any(floats), blocks: !matrices.iter().all(floats) }
    }
}

/// Columns of `len` numbers each.
#[derive(Debug, Default)]
pub(super) struct Operand {
    len: usize,
    count: usize,
    floats: Vec<f32>,
    blocks: Vec<Q8>,
}

impl Operand {
    /// Forgets what it holds; what is put next has `len` numbers.
    pub(super) fn start(&mut self, len: usize) {
        (self.len, self.count) = (len, 0);
        self.floats.clear();
    }

    /// Adds a column in the forms that are wanted.
    pub(super) fn put(&mut self, isa: Isa, wanted: Wanted, x: &[f32]) {
        if wanted.floats {
            self.floats.extend_from_slice(x);
        }
        if wanted.blocks {
            let from = self.count * Q8::blocks(self.len);
            let to = from + Q8::blocks(self.len);
            if self.blocks.len() < to {
                self.blocks.resize(to, Q8::default());
            }
            quantize(isa, x, &mut self.blocks[from..to]);
        }
        self.count += 1;
    }

    /// The columns as floats, in order.
    pub(super) fn floats(&self) -> impl Iterator<Item = &[f32]> {
        self.floats.chunks_exact(self.len.max(1)).take(self.count)
    }

    /// The columns as blocks, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &[Q8]> {
        self.blocks.chunks_exact(Q8::blocks(self.len).max(1)).take(self.count)
    }
}
