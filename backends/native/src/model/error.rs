//! Why a file is not a model that this graph computes.

use std::io;

use engine::gguf;

/// Why a model was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A metadata key is missing or wrong.
    #[error(transparent)]
    Metadata(#[from] gguf::Error),
    /// The file is in order but asks for something that the native engine does not compute.
    #[error("the native engine does not compute {what}; the llama-cpp engine may")]
    Unsupported {
        /// What it asks for.
        what: String,
    },
    /// A tensor of the graph is not there.
    #[error("the file has no tensor `{name}`")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor is not of the shape that the metadata calls for.
    #[error("tensor `{name}`: expected {expected}, found {found}")]
    WrongTensor {
        /// Its name.
        name: String,
        /// The shape that the metadata calls for.
        expected: String,
        /// The shape in the file.
        found: String,
    },
    /// An adapter is none, or was made for another model.
    #[error("the adapter does not fit the model: {reason}")]
    Adapter {
        /// Why.
        reason: String,
    },
    /// What was asked for at loading cannot be had.
    #[error("{what} of {found}; expected {expected}")]
    Limit {
        /// Which setting.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: usize,
    },
    /// The system has no memory to give.
    #[error("no memory for the weights")]
    Memory(#[source] io::Error),
    /// The system has no threads to give.
    #[error("could not start {count} threads")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ModelError {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
