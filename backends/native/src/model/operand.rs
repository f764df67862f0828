//! Columns of activations that a group of products shares, in every form that its weights ask for.
//!
//! A quantised form is computed only if some matrix of the group wants it. Buffers are kept from step to step.

use std::ops::{Deref, Range};

use kernels::{Columns, Format, Group, Isa, Packed, Q8, quantize};

/// Which forms a group of matrices asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    floats: bool,
    narrow: bool,
    wide: bool,
}

impl Wanted {
    /// Columns as they are.
    pub(crate) const FLOATS: Self = Self { floats: true, narrow: false, wide: false };

    pub(crate) fn by<'a>(matrices: impl IntoIterator<Item = &'a Packed> + Clone) -> Self {
        let any = |group| matrices.clone().into_iter().any(|matrix| matrix.panels().format().group() == group);
        Wanted { floats: any(None), narrow: any(Some(Group::Of32)), wide: any(Some(Group::Of256)) }
    }
}

/// Columns of `len` numbers each.
#[derive(Debug, Default)]
pub(crate) struct Operand {
    len: usize,
    count: usize,
    floats: Vec<f32>,
    narrow: Vec<Q8>,
    wide: Vec<Q8>,
}

impl Operand {
    /// Forgets what it holds; what is put next has `len` numbers.
    pub(crate) fn start(&mut self, len: usize) {
        (self.len, self.count) = (len, 0);
        self.floats.clear();
    }

    /// Adds a column in the forms that are wanted.
    pub(crate) fn put(&mut self, isa: Isa, wanted: Wanted, x: &[f32]) {
        if wanted.floats {
            self.floats.extend_from_slice(x);
        }
        let place = self.count * Q8::blocks(self.len)..(self.count + 1) * Q8::blocks(self.len);
        let forms = [(wanted.narrow, Group::Of32, &mut self.narrow), (wanted.wide, Group::Of256, &mut self.wide)];
        for (wanted, group, blocks) in forms {
            if wanted {
                if blocks.len() < place.end {
                    blocks.resize(place.end, Q8::default());
                }
                quantize(isa, group, x, &mut blocks[place.clone()]);
            }
        }
        self.count += 1;
    }

    /// The columns as floats, in order.
    pub(crate) fn floats(&self) -> impl Iterator<Item = &[f32]> {
        self.floats.chunks_exact(self.len.max(1)).take(self.count)
    }

    /// The columns as blocks, in order.
    pub(crate) fn blocks(&self, group: Group) -> impl Iterator<Item = &[Q8]> {
        let blocks = match group {
            Group::Of32 => &self.narrow,
            Group::Of256 => &self.wide,
        };
        blocks.chunks_exact(Q8::blocks(self.len).max(1)).take(self.count)
    }
}

/// The columns of several operands, one after the other, in the form that some weights ask for.
pub(crate) enum Joined<'a> {
    Floats(Vec<&'a [f32]>),
    Quantized(Vec<&'a [Q8]>),
}

impl<'a> Joined<'a> {
    pub(crate) fn of(operands: &'a [impl Deref<Target = Operand>], format: Format) -> Self {
        match format.group() {
            None => Self::Floats(operands.iter().flat_map(|operand| operand.floats()).collect()),
            Some(group) => Self::Quantized(operands.iter().flat_map(|operand| operand.blocks(group)).collect()),
        }
    }

    /// Some of them, in an order of their own.
    pub(crate) fn pick(&self, columns: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Floats(all) => Self::Floats(columns.map(|column| all[column]).collect()),
            Self::Quantized(all) => Self::Quantized(columns.map(|column| all[column]).collect()),
        }
    }

    pub(crate) fn all(&self) -> Columns<'_> {
        match self {
            Self::Floats(all) => Columns::Floats(all),
            Self::Quantized(all) => Columns::Quantized(all),
        }
    }

    pub(crate) fn slice(&self, columns: Range<usize>) -> Columns<'_> {
        match self {
            Self::Floats(all) => Columns::Floats(&all[columns]),
            Self::Quantized(all) => Columns::Quantized(&all[columns]),
        }
    }
}
