//! Why a model cannot be served. Where another engine can, the message says which.

use std::{io, path::PathBuf};

use engine::{gguf, template, tokenizer};

use crate::words::WordsError;

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is nothing at the path.
    #[error("there is no model at `{}`; mistralrs is given files of this machine, and fetches none", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A file of the model cannot be read, or is damaged.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The model file is damaged.
    #[error("cannot read the model file")]
    File(#[from] gguf::Error),
    /// The folder lacks something, or has something that is not understood.
    #[error("cannot use the model folder: {reason}")]
    Folder {
        /// What.
        reason: String,
    },
    /// mistralrs cannot serve it, and another engine can.
    #[error("mistralrs cannot serve this model: {reason}; use {better}")]
    Unfit {
        /// Why.
        reason: String,
        /// What can.
        better: &'static str,
    },
    /// Its tokenizer cannot be used.
    #[error("cannot use the model's tokenizer")]
    Tokenizer(#[from] tokenizer::Error),
    /// Its tokenizer, in a file of its own, cannot be used.
    #[error("cannot use the model's tokenizer")]
    Words(#[from] WordsError),
    /// Its chat template cannot be used.
    #[error("cannot use the model's chat template")]
    Template(#[from] template::Error),
    /// Weights and tokenizer do not fit each other.
    #[error("the model has weights for {weights} tokens and its vocabulary has {vocabulary}")]
    Vocabulary {
        /// Rows of the embedding.
        weights: usize,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
    /// An option cannot be had.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Which.
        option: &'static str,
        /// Why.
        reason: String,
    },
    /// mistralrs itself refuses the model.
    #[error("mistralrs refuses the model: {reason}")]
    Refused {
        /// In its words.
        reason: String,
    },
    /// The system gives no thread, or no room for a file.
    #[error("cannot start the engine")]
    System(#[source] io::Error),
}

pub(crate) fn unfit<T>(reason: impl Into<String>, better: &'static str) -> Result<T, LoadError> {
    Err(LoadError::Unfit { reason: reason.into(), better })
}

/// The first line of a complaint: others tell where in its code it arose.
pub(crate) fn refused(told: &str) -> LoadError {
    LoadError::Refused { reason: told.lines().next().unwrap_or_default().to_owned() }
}
