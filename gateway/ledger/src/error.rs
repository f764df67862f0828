//! What can go wrong, cut by what the caller can do about it.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::frame::MAX_RECORD_BYTES;

/// Why a record was not taken, or did not become durable.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The disk is slower than the callers: back-pressure, nothing is broken. Trying again later may succeed.
    #[error("the ledger's queue is full: {records} records, {bytes} bytes wait for the disk")]
    Full {
        /// Records that wait.
        records: usize,
        /// Bytes that wait.
        bytes: usize,
    },
    /// The record is larger than the ledger takes.
    #[error("a ledger record may hold at most {MAX_RECORD_BYTES} bytes of JSON")]
    TooLarge,
    /// The record has no JSON form.
    #[error("a ledger record could not be written as JSON")]
    Serialize(#[source] serde_json::Error),
    /// The log failed, and takes nothing more until it is opened anew.
    #[error("the ledger failed")]
    Failed(#[from] Failure),
    /// The log was closed.
    #[error("the ledger is closed")]
    Closed,
}

/// The write or sync after which the log takes nothing more.
#[derive(Debug, Clone, Error)]
#[error("could not {action} `{}`", path.display())]
pub struct Failure {
    /// What was tried: `write`, `sync` or `create`.
    pub action: &'static str,
    /// The segment it was tried on.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: Arc<io::Error>,
}

/// Why a ledger could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another `Ledger` of this one, writes here.
    #[error("the ledger in `{}` is being written by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A witness that was configured has no key that cosigns.
    #[error("`{key}` is not the key of a witness")]
    Witness {
        /// What was configured.
        key: String,
    },
    /// What is there is not whole, in a way that no crash leaves behind.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Why a ledger could not be read on.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("could not read `{}`", path.display())]
    Io {
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What is there is not whole, in a way that no crash leaves behind.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Something that a crash does not leave behind: files were changed, lost or mixed up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// A record that was durable once is no longer whole.
    #[error("record {sequence} is damaged: `{}` is broken at byte {offset}, and what follows proves it was whole", path.display())]
    Record {
        /// Which record.
        sequence: u64,
        /// In which file.
        path: PathBuf,
        /// At which byte its frame should start.
        offset: u64,
    },
    /// A segment is not there though a later one is.
    #[error("records from {sequence} on are missing: expected the segment `{}`", path.display())]
    Missing {
        /// The first record that is missing.
        sequence: u64,
        /// The file that should hold it.
        path: PathBuf,
    },
    /// The file does not begin as a segment of its name does.
    #[error("`{}` is not a ledger segment of this name", path.display())]
    Header {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written by a version of Pointsman with another format.
    #[error("`{}` has ledger format {version}, this build reads format 1", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// What its header says.
        version: u32,
    },
    /// Fewer records are there than were signed.
    #[error("the log was rolled back: {signed} records were signed, and {found} are there")]
    RolledBack {
        /// How many were signed.
        signed: u64,
        /// How many there are.
        found: u64,
    },
    /// The records are not those that were signed.
    #[error("the first {signed} records are not those that were signed")]
    Root {
        /// How many of them were.
        signed: u64,
    },
    /// The history of the log's keys is not what they signed, or the key that it ends with is gone.
    #[error("`{}` is not the key that the rotations in `keys` beside it end with, or those are not signed", path.display())]
    Keys {
        /// The key, or the history.
        path: PathBuf,
    },
    /// What says from which record on the log was kept is no number, or one that was never signed.
    #[error("`{}` does not say from which record on the log was kept", path.display())]
    Pruned {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint that the log's key did not sign.
    #[error("`{}` ends in a checkpoint that the log's key did not sign", path.display())]
    Checkpoint {
        /// In which file.
        path: PathBuf,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { path, cause } => Self::Io { action: "read", path, cause },
            ReadError::Damaged(damage) => damage.into(),
        }
    }
}

impl OpenError {
    /// What to do next, for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "stop the other gateway, or give this one its own data directory",
            Self::Witness { .. } => {
                "give the key that the witness prints: its name, a hash and the key, with plus signs between"
            }
            Self::Io { .. } => "check that the directory exists, is writable and has space",
            Self::Damaged(damage) => damage.hint(),
        }
    }
}

impl Damage {
    /// What to do next, for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Version { .. } => "use the version of Pointsman that wrote it",
            Self::Record { .. }
            | Self::Missing { .. }
            | Self::Header { .. }
            | Self::RolledBack { .. }
            | Self::Root { .. }
            | Self::Keys { .. }
            | Self::Pruned { .. }
            | Self::Checkpoint { .. } => {
                "restore the file from a copy, or keep this directory as evidence and begin a new one"
            }
        }
    }
}
