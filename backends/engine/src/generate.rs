//! Models of random weights in the shapes of real ones, as files: what an engine costs depends on shapes and types alone, so
//! anybody can measure it without a download.
//!
//! A file has what its family's files have: tensors, constants, a tokenizer of as many tokens, a chat template. Types of
//! tensors are mixed as llama.cpp mixes them. What it writes is noise of sane size. The same shape, mix and seed make the same
//! file, byte for byte. Weights go to the file as they are made: a model takes no more memory than one piece of a tensor.

mod blocks;
mod mix;
mod shape;
mod tokens;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::gguf::{Header, Meta, TensorType, padding};

pub use blocks::fill;
pub(crate) use blocks::unit;
pub use mix::Mix;
#[cfg(any(test, feature = "testing"))]
pub(crate) use mix::has_more_bits;
pub use shape::Shape;

/// Bytes of weights that are made at a time, or a row if that is longer.
const PIECE: usize = 1 << 20;

/// A model to be written.
#[derive(Clone, Debug)]
pub struct Model<'s> {
    /// Its shape.
    pub shape: &'s Shape,
    /// The types of its matrices.
    pub mix: Mix,
    /// What its weights follow from.
    pub seed: u64,
}

/// A tensor of a model.
#[derive(Debug)]
struct Tensor {
    name: String,
    /// Numbers of a row, and rows if it is a matrix.
    dims: Vec<u64>,
    holds: Holds,
}

/// What is in a tensor.
#[derive(Clone, Debug)]
enum Holds {
    /// Weights of a matrix around zero, which have this as the root of their mean square.
    Weights(f32),
    /// Numbers about one, as norms have them.
    Ones,
    /// These.
    Numbers(Vec<f32>),
}

impl Tensor {
    fn new(name: impl Into<String>, dims: &[u32], holds: Holds) -> Self {
        Self { name: name.into(), dims: dims.iter().copied().map(u64::from).collect(), holds }
    }

    fn rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }

    fn kind(&self, mix: Mix, shape: &Shape) -> TensorType {
        match self.holds {
            Holds::Weights(_) => mix.kind(&self.name, self.dims[0], shape),
            Holds::Ones | Holds::Numbers(_) => TensorType::F32,
        }
    }
}

impl Model<'_> {
    /// Writes the file, and tells after each piece how many bytes of how many are written.
    ///
    /// # Errors
    /// What is written to fails.
    pub fn write(&self, mut out: impl Write, mut progress: impl FnMut(u64, u64)) -> io::Result<()> {
        let tensors = self.shape.tensors();
        let mut header = self.header();
        let mut sizes = Vec::new();
        for tensor in &tensors {
            let kind = tensor.kind(self.mix, self.shape);
            // Shapes have rows of whole blocks, and a mix has no type that asks for others.
            let row = kind.row_bytes(tensor.dims[0]).unwrap_or_else(|| unreachable!("a row of whole blocks"));
            header.tensor(&tensor.name, kind, &tensor.dims, row * tensor.rows());
            sizes.push((kind, row, row * tensor.rows()));
        }
        let head = header.to_bytes();
        let padded = sizes.iter().map(|(.., bytes)| bytes + padding(*bytes) as u64);
        let all = head.len() as u64 + padded.sum::<u64>();
        out.write_all(&head)?;
        let mut done = head.len() as u64;
        let mut piece = Vec::new();
        for (number, (tensor, (kind, row, bytes))) in tensors.iter().zip(sizes).enumerate() {
            // Each tensor has numbers of its own, whatever the others are.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(number as u64);
            let most = (PIECE as u64 / row).max(1);
            let mut left = tensor.rows();
            while left > 0 {
                let rows = left.min(most);
                piece.clear();
                piece.resize((rows * row) as usize, 0);
                let floats = piece.as_chunks_mut::<4>().0.iter_mut();
                match &tensor.holds {
                    Holds::Weights(size) => fill(kind, &mut rng, *size, &mut piece),
                    Holds::Ones => floats.for_each(|to| *to = (1.0 + 0.1 * unit(&mut rng)).to_le_bytes()),
                    Holds::Numbers(numbers) => floats.zip(numbers).for_each(|(to, number)| *to = number.to_le_bytes()),
                }
                out.write_all(&piece)?;
                left -= rows;
                done += piece.len() as u64;
                progress(done, all);
            }
            let behind = padding(bytes);
            out.write_all(&vec![0; behind])?;
            done += behind as u64;
        }
        progress(done, all);
        out.flush()
    }

    fn header(&self) -> Header {
        let mut header = Header::default();
        let name = format!("random {} {}", self.shape.name, self.mix.name());
        header.set("general.name", Meta::Text(name));
        // Nobody made them, so nobody's licence asks for anything.
        header.set("general.license", Meta::Text("cc0-1.0".into()));
        header.set("general.file_type", Meta::U32(self.mix.file_type()));
        header.set("general.quantization_version", Meta::U32(2));
        self.shape.constants(&mut header);
        tokens::write(self.shape, &mut header);
        header
    }
}
