//! The encoders of BERT and its kin: each token of a text looks at all others, and the text becomes one row of numbers.
//!
//! [`Encoder`] is what a file says: shape and weights, checked against each other. [`Reader`] computes with it: texts of
//! tokens in, a row for each out. All tokens of the texts of a batch go through a matrix together, so weights are read once
//! for all; attention is each text's own. A row depends on its own text alone: not on the others of its batch, and not on
//! the number of threads.
//!
//! Shares threads, operands and packed weights with [`crate::model`], whose decoders write. Knows tokens as numbers only.
//!
//! Memory: the weights, packed, and scratch of about `tokens * (10 * width + 2 * feed_forward) * 4` bytes for the largest
//! batch so far.

mod attention;
mod pass;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
mod shape;
mod sheet;
#[cfg(test)]
mod tests;
mod weights;

pub use pass::Reader;

use engine::{
    Purpose,
    encoder::{Makes, Pooling},
    gguf::File,
};
use kernels::Packed;

use crate::model::{ModelError, most_bytes};
use shape::Shape;
use weights::Weights;

/// The architectures that are computed, as `general.architecture` names them.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    shape::FAMILIES.iter().map(|(name, _)| *name)
}

/// A model that reads: its shape and its weights.
#[derive(Debug)]
pub struct Encoder {
    shape: Shape,
    weights: Weights<Packed>,
}

impl Encoder {
    /// Whether [`Encoder::load`] would load a file, and if not why: reads its head alone.
    ///
    /// # Errors
    /// The same.
    pub fn check(file: &File, purpose: Purpose) -> Result<(), ModelError> {
        Weights::bind(file, &Shape::read(file, purpose)?).map(|_| ())
    }

    /// Binds the tensors of a file to their places in the graph, and packs them for the kernels with some threads.
    ///
    /// # Errors
    /// When the file is of another architecture, uses a feature that this graph does not compute, lacks a tensor, has
    /// one of the wrong shape or type, or has one that the graph would leave out.
    pub fn load(file: &File, purpose: Purpose, threads: usize) -> Result<Self, ModelError> {
        let shape = Shape::read(file, purpose)?;
        let weights = Weights::bind(file, &shape)?.pack(threads)?;
        Ok(Self { shape, weights })
    }

    /// What it makes of texts, with these tokens between a query and a document.
    pub fn makes(&self, between: Vec<u32>) -> Makes {
        match self.weights.head {
            None => Makes::Vectors { width: self.shape.width },
            Some(_) => Makes::Scores { between },
        }
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    /// The longest text that it was made for, in tokens.
    pub fn context(&self) -> usize {
        self.shape.context
    }

    /// How the rows of a text's tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.shape.pooling
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.weights.matrices().map(|matrix| (matrix.panels().rows() * matrix.panels().cols()) as u64).sum()
    }

    /// The format that most bytes of the weights have.
    pub fn quantization(&self) -> &'static str {
        most_bytes(|| self.weights.matrices())
    }
}
