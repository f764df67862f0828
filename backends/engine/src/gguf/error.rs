//! Why a file is not taken as a model.

use std::{io, path::PathBuf};

/// Why a GGUF file was refused, or what was asked of it is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or mapped.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are no GGUF, or damaged.
    #[error("not a valid GGUF file: at byte {offset}: {reason}")]
    Malformed {
        /// Where in the file.
        offset: u64,
        /// What was expected there and what was found.
        reason: String,
    },
    /// A metadata key is not there.
    #[error("the file has no metadata key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata value is of another type or out of range.
    #[error("metadata key `{key}`: expected {expected}, found {found}")]
    WrongValue {
        /// The key.
        key: String,
        /// What was expected.
        expected: String,
        /// What the file holds.
        found: String,
    },
}
