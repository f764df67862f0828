//! The log's side of witnesses (c2sp.org/tlog-witness): what is sent to one, and what is kept of its answer.
//!
//! `tlog/cosigned` is the newest checkpoint that was cosigned, with the cosignatures; one a minute is kept for good in
//! `tlog/cosignatures`. Only lines of the witnesses that the log was opened with, and that hold, are kept.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use thiserror::Error;

use crate::{
    OpenError,
    note::{self, Checkpoint, VerifierKey},
    seal::KEPT,
    storage::{self, Output},
};

/// The largest answer of witnesses that is looked at.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why a checkpoint could not be sent to a witness, or its answer was not kept.
#[derive(Debug, Error)]
pub enum CosignError {
    /// The log has no checkpoint, because it was opened without.
    #[error("the ledger is not signed")]
    Unsigned,
    /// The log is closed.
    #[error("the ledger is closed")]
    Closed,
    /// What was given as a checkpoint of this log is none.
    #[error("it is no checkpoint of this ledger")]
    Checkpoint,
    /// No line of the answer is of a witness that the log was opened with.
    #[error("none of the log's witnesses cosigned it")]
    NoWitness,
    /// A line says that a witness cosigned what it did not.
    #[error("the cosignature of `{witness}` does not hold")]
    BadSignature {
        /// The name of the witness.
        witness: String,
    },
    /// The proof could not be made from the tiles.
    #[error("could not make the proof: {why}")]
    Proof {
        /// Why not.
        why: String,
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
}

/// What witnesses said of a log.
#[derive(Debug)]
pub(crate) struct Cosignatures {
    folder: PathBuf,
    witnesses: Vec<VerifierKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest checkpoint that was cosigned, with its cosignatures.
    newest: String,
    size: u64,
    kept_at: Option<Instant>,
}

impl Cosignatures {
    /// Goes on where an earlier run ended.
    pub(crate) fn open(folder: PathBuf, witnesses: Vec<VerifierKey>) -> Result<Self, OpenError> {
        let path = folder.join("cosigned");
        let newest = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|cause| OpenError::Io { action: "read", path, cause })?,
        };
        let size = note::split(&newest).and_then(|(text, _)| Checkpoint::parse(text));
        let size = size.map_or(0, |(_, checkpoint)| checkpoint.size);
        Ok(Self { folder, witnesses, state: Mutex::new(State { newest, size, kept_at: None }) })
    }

    /// Keeps the lines of an answer about a checkpoint of this log that hold; says how many they are.
    pub(crate) fn add(&self, checkpoint: &Checkpoint, note: &str, answer: &str) -> Result<usize, CosignError> {
        let (text, signatures) = note::split(note).ok_or(CosignError::Checkpoint)?;
        let mut lines = Vec::new();
        for line in answer.get(..answer.len().min(MAX_ANSWER_BYTES)).unwrap_or_default().lines() {
            for witness in &self.witnesses {
                match witness.verify(text, line) {
                    None => {}
                    Some(true) => lines.push((witness, line)),
                    Some(false) => return Err(CosignError::BadSignature { witness: witness.name.clone() }),
                }
            }
        }
        if lines.is_empty() {
            return Err(CosignError::NoWitness);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if checkpoint.size < state.size {
            // A slow witness: a newer checkpoint has its cosignatures already.
            return Ok(0);
        }
        // Those of other witnesses on the same checkpoint stay.
        let before = note::split(&state.newest).filter(|(before, _)| *before == text).map_or("", |(_, before)| before);
        let is_new = |line: &&str| !lines.iter().any(|(witness, _)| witness.verify(text, line).is_some());
        let is_own = |line: &&str| signatures.lines().any(|own| own == *line);
        let others = before.lines().filter(is_new).filter(|line| !is_own(line));
        let all = signatures.lines().chain(others).chain(lines.iter().map(|(_, line)| *line));
        let cosigned = format!("{text}\n{}", all.map(|line| format!("{line}\n")).collect::<String>());
        let path = self.folder.join("cosigned");
        storage::replace(&path, cosigned.as_bytes()).map_err(|cause| CosignError::Io {
            action: "write",
            path,
            cause,
        })?;
        (state.size, state.newest) = (checkpoint.size, cosigned);
        if state.kept_at.is_none_or(|kept| kept.elapsed() >= KEPT) {
            self.keep(&state.newest)?;
            state.kept_at = Some(Instant::now());
        }
        Ok(lines.len())
    }

    fn keep(&self, cosigned: &str) -> Result<(), CosignError> {
        let path = self.folder.join("cosignatures");
        let append = || -> io::Result<()> {
            let mut file = Output::append(&path)?;
            let (tail, before) = note::tail(file.file())?;
            // What a crash tore goes.
            let end = before + note::whole(&tail) as u64;
            if end < file.file().metadata()?.len() {
                file.set_length(end)?;
            }
            file.seek(end)?;
            file.write(format!("{cosigned}\n").as_bytes())?;
            file.sync()
        };
        append().map_err(|cause| CosignError::Io { action: "write", path: path.clone(), cause })
    }
}
