//! The llama decoder: weights bound to their places, and the forward pass over several sequences at once.
//!
//! [`Model`] is what a file says: shape and weights, checked against each other, shared and never changed.
//! [`Runner`] computes with it: it owns the key-value cache of a fixed number of slots, the threads and the scratch.
//! A step takes any mix of prompt chunks and single tokens of different slots, so weights are read once for all.
//! Knows tokens as numbers only: nothing of text, sampling or requests.
//!
//! Memory: the weights (in the file's own pages), `Runner::cache_bytes` for the cache, and scratch of about
//! `tokens * (4 * width + 3 * feed_forward) * 4` bytes for the largest step so far, plus four bytes for each of its
//! logits.

mod cache;
mod error;
mod operand;
mod pool;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
mod runner;
mod shape;
mod step;
#[cfg(test)]
mod tests;
mod weights;

pub use engine::Token;
pub use error::ModelError;
pub use runner::{Limits, Runner};
pub use shape::Shape;

use engine::gguf::File;
use weights::Weights;

/// A llama model: its shape and its weights.
#[derive(Debug)]
pub struct Model {
    shape: Shape,
    weights: Weights,
}

impl Model {
    /// Binds the tensors of a file to their places in the graph.
    ///
    /// # Errors
    /// When the file is of another architecture, uses a feature that this graph does not compute, lacks a tensor, has
    /// one of the wrong shape or type, or has one that the graph would leave out.
    pub fn load(file: &File) -> Result<Self, ModelError> {
        let shape = Shape::read(file)?;
        let weights = Weights::bind(file, &shape)?;
        Ok(Self { shape, weights })
    }

    /// Sizes and constants.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.weights.matrices().map(|tensor| (tensor.rows() * tensor.cols()) as u64).sum()
    }

    /// The format that most bytes of the weights have: `Q4_K` for a file that mixes it with a little `Q6_K`.
    pub fn quantization(&self) -> &'static str {
        let bytes_of = |format| {
            self.weights
                .matrices()
                .filter(|tensor| tensor.format() == format)
                .map(|tensor| tensor.bytes())
                .sum::<usize>()
        };
        let largest = kernels::Format::ALL.into_iter().max_by_key(|&format| bytes_of(format));
        largest.map_or("none", kernels::Format::name)
    }
}
