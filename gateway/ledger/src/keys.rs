//! The key that a log is signed with, and those it was signed with before.
//!
//! `tlog/key` holds the key in force (PKCS #8). `tlog/keys` is the history of rotations, a note each: that it is one, the log's
//! name, its size and root at that time, the key that goes, the key that comes - signed by both. Checkpoints up to that size are of
//! the key that went, later ones of the key that came. The log's name is that of its first key for ever, so that witnesses and
//! receipts go on.
//!
//! A rotation writes the key that comes beside the one that goes (`key.next`), then the note, then puts it in its place. A crash
//! before the note is whole leaves a key that nobody knows, which the next start removes; after it, the next start puts it in
//! place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use sha2::{Digest as _, Sha256};

use crate::{
    Damage, OpenError,
    ml_dsa::{self, Signer},
    note::{self, Checkpoint, VerifierKey, hex},
    recover,
    seal::{Seal, folder},
    storage::{self, Output},
};

/// The first line of a rotation, which begins no checkpoint: the name of a log has no spaces.
const ROTATION: &str = "pointsman key rotation";

/// More than a rotation a day makes in ten years.
const MOST_HISTORY_BYTES: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Keys {
    pair: Ed25519KeyPair,
    /// The key in force.
    key: VerifierKey,
    rotations: Vec<Rotation>,
    /// What signs beside it, if anything does.
    second: Option<Signer>,
}

#[derive(Debug)]
struct Rotation {
    size: u64,
    old: VerifierKey,
    new: VerifierKey,
}

/// What a rotation of a log's key changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedKey {
    /// The key that checkpoints up to now are verified by.
    pub old: String,
    /// The key that later ones are verified by. Who has either can follow to the other.
    pub new: String,
    /// How many records the log had.
    pub size: u64,
}

impl Keys {
    /// The keys of a log; a new one where there is none yet and may be one. The caller holds the log's lock.
    pub(crate) fn open(folder: &Path, may_be_new: bool, ml_dsa: bool) -> Result<Self, OpenError> {
        settle(folder)?;
        let path = folder.join("key");
        if may_be_new && !path.exists() && !folder.join("keys").exists() {
            let write = || make(&path).and_then(|_| storage::sync_parent(&path));
            write().map_err(io_error("write", &path))?;
        }
        let keys = Self::read(folder)?;
        let second = if ml_dsa { Some(Signer::open(folder, keys.name())?) } else { None };
        Ok(Self { second, ..keys })
    }

    /// The same, changing nothing: also beside a gateway that runs.
    pub(crate) fn read(folder: &Path) -> Result<Self, OpenError> {
        let rotations = history(folder)?.0;
        let path = folder.join("key");
        let Some(last) = rotations.last() else {
            let pair = pair(&path)?.ok_or_else(|| io_error("read", &path)(io::ErrorKind::NotFound.into()))?;
            let key = VerifierKey::of_log(name_of(&pair), &pair);
            return Ok(Self { pair, key, rotations, second: None });
        };
        let key = last.new.clone();
        for path in [path, folder.join("key.next")] {
            if let Some(pair) = pair(&path)?.filter(|pair| key.is_of(pair)) {
                return Ok(Self { pair, key, rotations, second: None });
            }
        }
        Err(Damage::Keys { path: folder.join("key") }.into())
    }

    /// The name of the log.
    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }

    /// What a verifier has to know.
    pub(crate) fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text(self.name());
        let second = self.second.as_ref().map_or_else(String::new, |second| second.line(checkpoint));
        format!("{text}\n{}{second}", self.key.sign(&self.pair, &text))
    }

    /// The checkpoint of a note, if the key that was in force at its size signed it.
    pub(crate) fn verified(&self, note: &str) -> Option<Checkpoint> {
        let (name, checkpoint) = Checkpoint::parse(note::split(note)?.0)?;
        let in_force = self.rotations.partition_point(|rotation| rotation.size < checkpoint.size);
        let key = self.rotations.get(in_force).map_or(&self.key, |rotation| &rotation.old);
        (name == self.name() && key.signed(note)).then_some(checkpoint)
    }
}

/// Gives the log in `dir` a new key, while no gateway writes to it: signs all its records with the old one first.
///
/// # Errors
/// Another process writes to the log, it was never signed, it is damaged, or the file system refuses.
pub fn rotate_key(dir: &Path) -> Result<RotatedKey, OpenError> {
    let folder = folder(dir);
    if !folder.join("key").exists() && !folder.join("keys").exists() {
        return Err(io_error("read", &folder.join("key"))(io::ErrorKind::NotFound.into()));
    }
    let _lock = recover::lock(dir)?;
    let records = recover::recover(dir)?.report.records;
    let mut seal = Seal::open(dir, records, folder.join(ml_dsa::FILE).exists())?;
    let signed = seal.seal(records, true);
    signed.map_err(|why| io_error("sign", dir)(io::Error::other(why)))?;
    let (at, keys) = (seal.signed(), seal.keys());
    let (next, history) = (folder.join("key.next"), folder.join("keys"));
    let write = || -> io::Result<VerifierKey> {
        let pair = make(&next)?;
        storage::sync_parent(&next)?;
        let new = VerifierKey::of_log(keys.name().to_owned(), &pair);
        let checkpoint = at.text(keys.name());
        let text = format!("{ROTATION}\n{checkpoint}{}\n{new}\n", keys.key);
        let note = format!("{text}\n{}{}\n", keys.key.sign(&keys.pair, &text), new.sign(&pair, &text));
        let mut history = Output::append(&history)?;
        history.write(note.as_bytes())?;
        history.sync()?;
        Ok(new)
    };
    let new = write().map_err(io_error("write", &history))?;
    settle(&folder)?;
    Ok(RotatedKey { old: keys.key.to_string(), new: new.to_string(), size: at.size })
}

/// Finishes or undoes a rotation that a crash cut short.
fn settle(folder: &Path) -> Result<(), OpenError> {
    let (rotations, whole) = history(folder)?;
    let (path, next, key) = (folder.join("keys"), folder.join("key.next"), folder.join("key"));
    if path.metadata().is_ok_and(|metadata| metadata.len() > whole) {
        let cut = || -> io::Result<()> {
            let mut history = Output::open(&path)?;
            history.set_length(whole)?;
            history.sync()
        };
        cut().map_err(io_error("cut", &path))?;
    }
    if !next.exists() {
        return Ok(());
    }
    let comes = pair(&next).ok().flatten();
    let is_known = comes.is_some_and(|pair| rotations.last().is_some_and(|last| last.new.is_of(&pair)));
    let put = || match is_known {
        // If the run before ended because a sync failed, its note may be on no disk. Written anew it is, before its key counts.
        true => fs::read(&path)
            .and_then(|history| storage::replace(&path, &history))
            .and_then(|()| storage::rename(&next, &key))
            .and_then(|()| storage::sync_parent(&key)),
        false => storage::remove(&next).and_then(|()| storage::sync_parent(&next)),
    };
    put().map_err(io_error("settle", &next))
}

/// The rotations of a log, and how many bytes of their history are whole notes.
fn history(folder: &Path) -> Result<(Vec<Rotation>, u64), OpenError> {
    let path = folder.join("keys");
    let bytes = match fs::metadata(&path).and_then(|metadata| match metadata.len() > MOST_HISTORY_BYTES {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => fs::read(&path),
    }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        read => read.map_err(io_error("read", &path))?,
    };
    let text = note::text(&bytes).map_err(io_error("read", &path))?;
    let whole = note::whole(&text);
    let damaged = || Damage::Keys { path: path.clone() };
    let mut rotations: Vec<Rotation> = Vec::new();
    for note in note::all_notes(&text[..whole]) {
        let rotation = Rotation::verified(&note).ok_or_else(damaged)?;
        let follows = rotations.last().is_none_or(|last| last.new == rotation.old && last.size <= rotation.size);
        if !follows {
            return Err(damaged().into());
        }
        rotations.push(rotation);
    }
    Ok((rotations, whole as u64))
}

impl Rotation {
    /// The rotation of a note that both its keys signed.
    fn verified(note: &str) -> Option<Self> {
        let text = note::split(note)?.0.strip_prefix(ROTATION)?.strip_prefix('\n')?;
        let (name, Checkpoint { size, .. }) = Checkpoint::parse(text)?;
        let mut keys = text.lines().skip(3).map(str::parse::<VerifierKey>);
        let (old, new) = (keys.next()?.ok()?, keys.next()?.ok()?);
        let is_whole = keys.next().is_none() && [&old, &new].iter().all(|key| key.name == name && key.signed(note));
        is_whole.then_some(Self { size, old, new })
    }
}

/// What whoever verifies the log in `dir` has to know of its key; `None` where it was never signed.
///
/// # Errors
/// When the key cannot be read.
pub fn verifier_key(dir: &Path) -> Result<Option<String>, OpenError> {
    let folder = folder(dir);
    match folder.join("key").exists() {
        true => Keys::read(&folder).map(|keys| Some(keys.key.to_string())),
        false => Ok(None),
    }
}

/// The name of a log whose first key this is.
fn name_of(pair: &Ed25519KeyPair) -> String {
    use ring::signature::KeyPair as _;
    format!("pointsman/{}", hex(&Sha256::digest(pair.public_key().as_ref())[..8]))
}

/// The key of a file; `None` where it is not there.
pub(crate) fn pair(path: &Path) -> Result<Option<Ed25519KeyPair>, OpenError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(io_error("read", path))?,
    };
    let bad = |_| io_error("use", path)(io::Error::other("it is not a key that can be signed with"));
    Ed25519KeyPair::from_pkcs8(&bytes).map(Some).map_err(bad)
}

/// Makes a new key and writes it, as a whole and for the owner only. Its name is for the caller to sync.
pub(crate) fn make(path: &Path) -> io::Result<Ed25519KeyPair> {
    let none = |_| io::Error::other("no random numbers");
    let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(none)?;
    storage::replace_soon(path, bytes.as_ref(), true)?;
    Ed25519KeyPair::from_pkcs8(bytes.as_ref()).map_err(|_| io::Error::other("it is not a key that can be signed with"))
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = PathBuf::from(path);
    move |cause| OpenError::Io { action, path: path.clone(), cause }
}
