//! The decoder of llama and its kin, and that of Mamba: weights bound to their places, and the forward pass over several
//! sequences at once.
//!
//! [`Model`] is what a file says: shape and weights, checked against each other, shared and never changed.
//! [`Runner`] computes with it: it owns the pages of keys and values, which sequences share, the threads and the scratch.
//! A step takes any mix of prompt chunks and single tokens of different slots, so weights are read once for all.
//! Knows tokens as numbers only: nothing of text, sampling or requests.
//!
//! Memory: the weights, packed (at most a thirtieth more than in the file, whose pages are read once and given back; where heads
//! share what keys and values are made of, what makes keys of it is kept as halves), or the pages of a packed file that is
//! mapped, which are not the process's alone; `Runner::cache_bytes` for the cache, or for states where layers keep those; and
//! scratch of about `tokens * (8 * width + 5 * feed_forward) * 4` bytes for the largest step so far, plus eight bytes for each of
//! its logits; of experts, `feed_forward` counts for each that a token passes through.

mod adapter;
mod board;
mod cache;
mod error;
mod family;
pub(crate) mod keys;
pub(crate) mod operand;
pub(crate) mod pool;
mod prefixes;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
pub(crate) mod rope;
mod runner;
mod shape;
mod states;
mod step;
#[cfg(test)]
mod tests;
pub(crate) mod weights;

pub use engine::Token;
pub use error::ModelError;
pub use runner::{Limits, Runner};
pub use shape::Shape;

use std::ops::Range;

use engine::gguf::File;
use kernels::Packed;
use weights::Weights;

use crate::{
    packed::{Place, Unkept},
    tensor::View,
};

/// The architectures that are computed, as `general.architecture` names them.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    family::FAMILIES.iter().map(|(name, _)| *name)
}

/// Whether the model of a file could forget all but the beginning of a sequence, as [`Shape::goes_back`] tells once it is loaded.
pub(crate) fn goes_back(file: &File) -> Result<bool, ModelError> {
    let family = file.get::<&str>("general.architecture")?.and_then(family::Family::of);
    Ok(family.is_none_or(|family| !family.states))
}

/// A model: its shape and its weights.
#[derive(Debug)]
pub struct Model {
    shape: Shape,
    weights: Weights<Packed>,
}

impl Model {
    /// Whether [`Model::load`] would load a file, and if not why: reads its head alone.
    ///
    /// # Errors
    /// The same.
    pub fn check(file: &File) -> Result<(), ModelError> {
        Weights::bind(file, &Shape::read(file)?).map(|_| ())
    }

    /// Binds the tensors of a file to their places in the graph, and packs them for the kernels with some threads.
    ///
    /// # Errors
    /// When the file is of another architecture, uses a feature that this graph does not compute, lacks a tensor, has
    /// one of the wrong shape or type, or has one that the graph would leave out.
    pub fn load(file: &File, threads: usize) -> Result<Self, ModelError> {
        let shape = Shape::read(file)?;
        let weights = Weights::bind(file, &shape)?.pack(threads)?;
        Ok(Self { shape, weights })
    }

    /// The same, from the packed file in its place, where one that fits is there; else with what is to be kept there.
    pub(crate) fn load_kept(
        file: &File,
        threads: usize,
        place: Place,
    ) -> Result<(Self, Option<Box<Unkept>>), ModelError> {
        let shape = Shape::read(file)?;
        let weights = Weights::bind(file, &shape)?;
        let (weights, unkept) = match place.open(file, weights.matrices().map(View::form), threads) {
            Ok(matrices) => {
                let mut matrices = matrices.into_iter();
                (weights.map(|_| Ok::<_, ModelError>(matrices.next().expect("one for each")))?, None)
            }
            Err(unkept) => (weights.pack(threads)?, unkept),
        };
        Ok((Self { shape, weights }, unkept))
    }

    /// Appends some bytes of a packed matrix to a buffer.
    pub(crate) fn copy_packed(&self, matrix: usize, bytes: Range<usize>, to: &mut Vec<u8>) -> Option<()> {
        to.extend_from_slice(self.weights.matrices().nth(matrix)?.bytes().get(bytes)?);
        Some(())
    }

    /// Sizes and constants.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.weights.matrices().map(|matrix| (matrix.panels().rows() * matrix.panels().cols()) as u64).sum()
    }

    /// The format that most bytes of the weights have: `Q4_K` for a file that mixes it with a little `Q6_K`.
    pub fn quantization(&self) -> &'static str {
        most_bytes(|| self.weights.matrices())
    }
}

/// The format that most bytes of some matrices have.
pub(crate) fn most_bytes<'m, M: Iterator<Item = &'m Packed>>(matrices: impl Fn() -> M) -> &'static str {
    let bytes_of = |format| {
        let matrices = matrices().map(Packed::panels).filter(|matrix| matrix.format() == format);
        matrices.map(|matrix| matrix.bytes()).sum::<usize>()
    };
    let largest = kernels::Format::ALL.into_iter().max_by_key(|&format| bytes_of(format));
    largest.map_or("none", kernels::Format::name)
}
