//! A witness (c2sp.org/tlog-witness): cosigns the checkpoints of other logs, each only if the log has only grown since the last
//! one that was cosigned. So nobody, not even who holds a log's key, can show one history to some and another one to others.
//!
//! Bytes in, bytes out: how a request came here is the caller's matter. Kept for each log is its newest cosigned checkpoint,
//! which is on disk before the cosignature is given out. One directory has one witness, and two requests of a log wait for each
//! other.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use ring::signature::Ed25519KeyPair;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    OpenError,
    keys::{make, pair},
    note::{self, Checkpoint, VerifierKey, hex, is_name},
    recover, storage, tree,
};

/// The largest request: a proof and a checkpoint with 16 signatures of the largest kind.
pub const MAX_REQUEST_BYTES: usize = 128 << 10;
/// The most lines of a proof.
const MAX_HASHES: usize = 63;

/// See the module.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    pair: Ed25519KeyPair,
    key: VerifierKey,
    /// Held from the look at what was cosigned last until the next is on disk.
    state: Mutex<()>,
    /// Keeps other witnesses out.
    _lock: File,
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It is no request of this kind.
    #[error("not a request to cosign a checkpoint: {0}")]
    Malformed(&'static str),
    /// The log is not among those that are witnessed.
    #[error("the log is not known here")]
    UnknownLog,
    /// None of the log's known keys signed the checkpoint.
    #[error("the checkpoint was not signed by a known key of its log")]
    BadSignature,
    /// The proof begins elsewhere than where the last cosigned checkpoint ends.
    #[error("the last checkpoint that was cosigned is over {size} records")]
    Conflict {
        /// How many records the last one is over.
        size: u64,
    },
    /// The log does not begin with the records of the last checkpoint that was cosigned, or the proof is of something else.
    #[error("the proof does not lead from the last cosigned checkpoint to this one")]
    BadProof,
    /// What was cosigned could not be read or kept.
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

impl Refusal {
    /// The status of the HTTP response that says it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::BadSignature => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::BadProof => 422,
            Self::Io { .. } => 500,
        }
    }

    /// The body of that response, of the type `text/x.tlog.size`, where one is asked for.
    pub fn body(&self) -> Option<String> {
        match self {
            Self::Conflict { size } => Some(format!("{size}\n")),
            _ => None,
        }
    }
}

/// A request to cosign a checkpoint.
struct Request<'a> {
    old: u64,
    hashes: Vec<tree::Hash>,
    note: &'a str,
    /// The checkpoint's text.
    text: &'a str,
    log: &'a str,
    new: Checkpoint,
}

/// What whoever verifies the cosignatures of the witness in `dir` has to know, also while it runs; it is made if there is none.
///
/// # Errors
/// Its key cannot be read, or not be made.
pub fn verifier_key(dir: &Path, name: &str) -> Result<String, OpenError> {
    match pair(&dir.join("key"))? {
        Some(pair) => Ok(VerifierKey::of_witness(name.to_owned(), &pair).to_string()),
        None => Ok(Witness::open(dir, name)?.verifier_key()),
    }
}

impl Witness {
    /// The witness in `dir`, under a name; a new one, with a key of its own, where there is none.
    ///
    /// # Errors
    /// Another process has it, the name is none, or the file system refuses.
    pub fn open(dir: &Path, name: &str) -> Result<Self, OpenError> {
        let path = dir.join("key");
        let io = |action, cause| OpenError::Io { action, path: path.clone(), cause };
        if !is_name(name) {
            return Err(io("name", io::Error::other("a name has neither spaces nor a plus sign, and is not empty")));
        }
        let lock = recover::lock(dir)?;
        let pair = match pair(&path)? {
            Some(pair) => pair,
            None => make(&path)
                .and_then(|pair| storage::sync_folder(dir).map(|()| pair))
                .map_err(|cause| io("write", cause))?,
        };
        let key = VerifierKey::of_witness(name.to_owned(), &pair);
        Ok(Self { dir: dir.into(), pair, key, state: Mutex::new(()), _lock: lock })
    }

    /// What whoever verifies its cosignatures has to know: name, hash and key, as signed notes write them.
    pub fn verifier_key(&self) -> String {
        self.key.to_string()
    }

    /// Answers a request to `add-checkpoint`: the lines of the response. `known` are the keys of the logs that are witnessed,
    /// several of one log where its key was rotated.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing was cosigned then.
    pub fn add_checkpoint(&self, body: &[u8], known: &[VerifierKey]) -> Result<String, Refusal> {
        let request = Request::parse(body)?;
        let mut keys = known.iter().filter(|key| key.name == request.log && !key.is_of_witness()).peekable();
        if keys.peek().is_none() {
            return Err(Refusal::UnknownLog);
        }
        if !keys.any(|key| key.signed(request.note)) {
            return Err(Refusal::BadSignature);
        }
        if request.old > request.new.size {
            return Err(Refusal::Malformed("the old size is above that of the checkpoint"));
        }
        let _state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(format!("{}.checkpoint", hex(&Sha256::digest(request.log)[..16])));
        let io = |action, cause| Refusal::Io { action, path: path.clone(), cause };
        let last = self.last(&path, request.log).map_err(|cause| io("read", cause))?;
        let last = last.unwrap_or(Checkpoint { size: 0, root: tree::empty() });
        let same_size_of_another = last.size == request.new.size && last.root != request.new.root;
        if request.old != last.size || (same_size_of_another && last.size > 0) {
            return Err(Refusal::Conflict { size: last.size });
        }
        if !tree::extends((last.size, last.root), (request.new.size, request.new.root), &request.hashes) {
            return Err(Refusal::BadProof);
        }
        storage::replace(&path, request.note.as_bytes()).map_err(|cause| io("write", cause))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(self.key.cosign(&self.pair, request.text, now))
    }

    /// The checkpoint of a log that was cosigned last. It was written by this witness, so one that is not of that log is damage.
    fn last(&self, path: &Path, log: &str) -> io::Result<Option<Checkpoint>> {
        let note = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let checkpoint = note::split(&note).and_then(|(text, _)| Checkpoint::parse(text));
        let checkpoint = checkpoint.filter(|(name, _)| *name == log).map(|(_, checkpoint)| checkpoint);
        checkpoint.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no checkpoint of its log"))
    }
}

impl<'a> Request<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let no = Refusal::Malformed;
        if body.len() > MAX_REQUEST_BYTES {
            return Err(no("it is too large"));
        }
        let body = std::str::from_utf8(body).map_err(|_| no("it is no text"))?;
        let (head, note) = body.split_once("\n\n").ok_or_else(|| no("there is no empty line in it"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| note::number(line.strip_prefix("old ")?));
        let old = old.ok_or_else(|| no("its first line does not say the old size"))?;
        let hashes: Option<Vec<_>> = lines.take(MAX_HASHES + 1).map(note::hash).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= MAX_HASHES);
        let hashes = hashes.ok_or_else(|| no("its proof has lines that are no hashes, or too many"))?;
        let is_text = !note.contains(|c: char| c.is_control() && c != '\n') && note.ends_with('\n');
        let checkpoint = note::split(note).filter(|_| is_text);
        let checkpoint = checkpoint.and_then(|(text, _)| Checkpoint::parse(text).map(|parsed| (text, parsed)));
        let (text, (log, new)) = checkpoint.ok_or_else(|| no("it ends in no checkpoint"))?;
        Ok(Self { old, hashes, note, text, log, new })
    }
}
