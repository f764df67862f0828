//! The columns that a group of products shares, in every form that its weights ask for.
//!
//! Filled once for the group: a quantised form is computed only if some matrix of the group wants it. Buffers are kept
//! from step to step.

use kernels::{Activation, Columns, Isa, Q8x32, Q8x256, quantize_q8x32, quantize_q8x256};

/// Columns of `len` numbers each.
#[derive(Debug, Default)]
pub(super) struct Operand {
    len: usize,
    floats: Vec<f32>,
    narrow: Quantized,
    wide: Quantized,
}

#[derive(Debug, Default)]
struct Quantized {
    q: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
}

impl Operand {
    /// Room for `count` columns of `len` numbers, to be filled before [`Operand::prepare`].
    pub(super) fn fill(&mut self, len: usize, count: usize) -> &mut [f32] {
        self.len = len;
        self.floats.resize(len * count, 0.0);
        &mut self.floats
    }

    /// Computes the forms in `wanted` from the floats.
    pub(super) fn prepare(&mut self, isa: Isa, wanted: &[Activation]) {
        let all = self.floats.len();
        if wanted.contains(&Activation::Q8x32) {
            self.narrow.q.resize(all, 0);
            self.narrow.scales.resize(all / 32, 0.0);
            quantize_q8x32(isa, &self.floats, &mut self.narrow.q, &mut self.narrow.scales);
        }
        if wanted.contains(&Activation::Q8x256) {
            self.wide.q.resize(all, 0);
            self.wide.scales.resize(all / 256, 0.0);
            self.wide.sums.resize(all / 16, 0);
            let Quantized { q, scales, sums } = &mut self.wide;
            quantize_q8x256(isa, &self.floats, q, scales, sums);
        }
    }

    /// The columns in a form that was prepared.
    pub(super) fn columns(&self, form: Activation) -> Columns<'_> {
        let Quantized { q, scales, sums } = if form == Activation::Q8x32 { &self.narrow } else { &self.wide };
        match form {
            Activation::F32 => Columns::f32(self.len, &self.floats),
            Activation::Q8x32 => Columns::q8x32(self.len, Q8x32 { q, scales }),
            Activation::Q8x256 => Columns::q8x256(self.len, Q8x256 { q, scales, sums }),
        }
    }
}
