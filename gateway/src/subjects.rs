//! Who stands behind the pseudonyms of the ledger: kept beside the log and never in it, so that it can be erased.
//!
//! A record names a caller, and each value that the configuration calls personal, by a pseudonym: `p_` and 128 random bits in
//! hex. A subject has one within an [`Epoch`] and another in the next, so that the records alone do not tell what somebody
//! asked over the years. The proofs are over records, so whoever is erased from here breaks none of them.
//!
//! | beside the log, mode 0600 | what |
//! |---|---|
//! | `subjects/EPOCH.jsonl` | a line for each subject of an epoch, with its pseudonym |
//! | `subjects/erased.jsonl` | which pseudonyms were erased when, and of nobody whose |
//! | `subjects/told` | how many of them the log says were |
//! | `subjects/lock` | held by whoever writes |
//!
//! A line is on disk before the first record that uses it: a pseudonym that nobody can be found by was erased. Only the first
//! request of a subject and epoch waits for that, and those that come together wait for one write; all others find theirs in
//! memory. Where it cannot be written there is no pseudonym, and the request is refused. Another process erases ([`erase()`]);
//! the gateway looks every ten seconds, and when it loads its configuration again, whether its files are still those that it
//! knows, and forgets what is gone. Knows nothing of requests.

mod epoch;
mod erase;
pub(crate) mod names;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};

use rand::TryRngCore;
use serde::{Deserialize, Serialize};

use self::erase::Unrecorded;
pub use self::{
    epoch::Epoch,
    erase::{EraseError, Erased, Erasing, erase, erased, forget_before},
    names::{Found, Names},
};
use crate::{
    instance::{Event, HEARTBEAT, Instance},
    keys::hex,
    lines::{self, MOST_BYTES, PATIENCE, Stamp},
    runtime::Gateway,
};

/// What a pseudonym begins with.
const PREFIX: &str = "p_";
/// Its random bytes.
const RANDOM: usize = 16;
/// The longest subject, in bytes: the longest value that a policy can match, with its name.
const MOST_SUBJECT: usize = 1 << 10;
/// Epochs that are in memory: that of now, and for a moment the one before.
const MOST_EPOCHS: usize = 2;

/// A line of an epoch's file: a subject and its pseudonym.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    subject: Cow<'a, str>,
    pseudonym: Cow<'a, str>,
}

/// The subject that a personal value is kept under: of a `header` or of `metadata`.
pub fn of_value(kind: &str, name: &str, value: &str) -> String {
    format!("{kind}:{name}:{value}")
}

/// Whether a subject is a value that callers send.
fn is_value(subject: &str) -> bool {
    subject.starts_with("header:") || subject.starts_with("metadata:")
}

/// Whether what a record says has the form of a pseudonym.
pub fn is_pseudonym(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == PREFIX.len() + 2 * RANDOM && text.strip_prefix(PREFIX).is_some_and(|hex| hex.bytes().all(digit))
}

/// The folder of the subjects of a ledger.
pub fn folder(ledger: &Path) -> PathBuf {
    ledger.join("subjects")
}

/// Why a subject has no pseudonym.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It cannot be kept.
    #[error("who stands behind a pseudonym cannot be kept in {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is too long.
    #[error("an id or value of {length} bytes is too long to be kept; {MOST_SUBJECT} are the most")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// There is no room in its epoch.
    #[error("{} has no room for another one", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] rand::rand_core::OsError),
    /// The disk takes too long.
    #[error("the disk did not take it within {} s", PATIENCE.as_secs())]
    Slow,
}

/// The subjects of a gateway's ledger.
#[derive(Debug)]
pub struct Subjects {
    folder: PathBuf,
    known: RwLock<VecDeque<Known>>,
    /// Those that wait for their first line.
    waiting: Mutex<BTreeSet<(Epoch, Box<str>)>>,
    /// One write at a time.
    writing: Mutex<()>,
    /// How `erased.jsonl` was when the log said all that is in it.
    told: Mutex<Option<Stamp>>,
}

/// The subjects of an epoch, as far as this process knows.
#[derive(Debug)]
struct Known {
    epoch: Epoch,
    of: HashMap<Box<str>, Arc<str>>,
    /// How its file was when they were read or written.
    stamp: Option<Stamp>,
}

impl Subjects {
    /// Those of the ledger in a folder; nothing is read yet.
    pub fn of(ledger: &Path) -> Self {
        Self {
            folder: folder(ledger),
            known: RwLock::default(),
            waiting: Mutex::default(),
            writing: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// The pseudonym of a subject in an epoch; made, and on disk, if it had none.
    ///
    /// # Errors
    /// It had none and cannot be given one.
    pub async fn pseudonym(self: &Arc<Self>, epoch: Epoch, subject: &str) -> Result<Arc<str>, SubjectError> {
        if let Some(known) = self.known(epoch, subject) {
            return Ok(known);
        }
        let (subjects, subject, asked) = (Arc::clone(self), subject.to_owned(), Instant::now());
        let added = tokio::task::spawn_blocking(move || subjects.add(epoch, &subject, asked));
        match tokio::time::timeout(PATIENCE, added).await {
            Ok(Ok(added)) => added,
            Ok(Err(stopped)) => Err(self.failed(io::Error::other(stopped))),
            Err(_) => Err(SubjectError::Slow),
        }
    }

    fn known(&self, epoch: Epoch, subject: &str) -> Option<Arc<str>> {
        self.read().iter().rev().find(|known| known.epoch == epoch)?.of.get(subject).cloned()
    }

    /// Gives a subject that was asked for at a moment its pseudonym, and all that wait beside it theirs. Blocks.
    fn add(&self, epoch: Epoch, subject: &str, asked: Instant) -> Result<Arc<str>, SubjectError> {
        if subject.len() > MOST_SUBJECT {
            return Err(SubjectError::TooLong { length: subject.len() });
        }
        lock(&self.waiting).insert((epoch, subject.into()));
        let _one = lock(&self.writing);
        // Whoever wrote meanwhile wrote it for this one as well.
        if let Some(known) = self.known(epoch, subject) {
            return Ok(known);
        }
        // Nobody waits for it any more, and others may be behind it.
        if asked.elapsed() >= PATIENCE {
            return Err(SubjectError::Slow);
        }
        let mut wanted = std::mem::take(&mut *lock(&self.waiting));
        // One whose write failed took this one with it; those of another epoch come with their own.
        wanted.insert((epoch, subject.into()));
        wanted.retain(|(of, _)| *of == epoch);
        let path = self.folder.join(epoch.file());
        let failed = |source| SubjectError::Io { path: path.clone(), source };
        let _others = lines::lock(&self.folder).map_err(failed)?;
        self.look(epoch).map_err(failed)?;
        let (mut text, mut new) = (String::new(), Vec::new());
        let held = self.read().iter().find(|known| known.epoch == epoch).and_then(|known| known.stamp);
        let held = held.map_or(0, |stamp| stamp.bytes);
        for (_, subject) in wanted {
            if self.known(epoch, &subject).is_some() {
                continue;
            }
            let pseudonym = pseudonym()?;
            let line = lines::text(&Line { subject: (&*subject).into(), pseudonym: (&*pseudonym).into() });
            // About half a million subjects have room. Values that callers send may take half of it, so that nobody fills
            // the place of the callers themselves.
            let most = if is_value(&subject) { MOST_BYTES / 2 } else { MOST_BYTES };
            if held + (text.len() + line.len()) as u64 <= most {
                text.push_str(&line);
                new.push((subject, pseudonym));
            }
        }
        if !new.is_empty() {
            let stamp = lines::append(&path, &text).map_err(failed)?;
            if let Some(known) = self.write().iter_mut().find(|known| known.epoch == epoch) {
                known.of.extend(new);
                known.stamp = Some(stamp);
            }
        }
        self.known(epoch, subject).ok_or(SubjectError::Full { path })
    }

    /// Reads the file of an epoch, unless it is as it is known.
    fn look(&self, epoch: Epoch) -> io::Result<()> {
        let path = self.folder.join(epoch.file());
        let stamp = lines::stamp(&path)?;
        if self.read().iter().any(|known| (known.epoch, known.stamp) == (epoch, stamp)) {
            return Ok(());
        }
        let lines = lines::durable_lines(&path)?;
        let of = lines.into_iter().map(|line: Line<'_>| (line.subject.into(), line.pseudonym.into())).collect();
        let mut known = self.write();
        known.retain(|known| known.epoch != epoch);
        while known.len() >= MOST_EPOCHS {
            known.pop_front();
        }
        known.push_back(Known { epoch, of, stamp });
        Ok(())
    }

    /// Forgets whom another process erased, and has `record` say in the log how many pseudonyms were erased since it said so
    /// last. Blocks.
    ///
    /// # Errors
    /// The files cannot be read, or the log takes no record; it is tried again the next time.
    fn heed(&self, record: impl FnOnce(Event) -> Result<(), String>) -> Result<(), String> {
        let words = |error: io::Error| error.to_string();
        {
            let _one = lock(&self.writing);
            let epochs: Vec<Epoch> = self.read().iter().map(|known| known.epoch).collect();
            epochs.into_iter().try_for_each(|epoch| self.look(epoch)).map_err(words)?;
        }
        let mut told = lock(&self.told);
        let now = lines::stamp(&self.folder.join(erase::ERASED)).map_err(words)?;
        if now.is_none() || *told == now {
            return Ok(());
        }
        if let Some(Unrecorded { pseudonyms, total, despite_holds }) = erase::unrecorded(&self.folder).map_err(words)? {
            record(Event::Erase { pseudonyms, total, despite_holds })?;
            lines::tell(&self.folder, total).map_err(words)?;
        }
        *told = now;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SubjectError {
        SubjectError::Io { path: self.folder.clone(), source }
    }

    fn read(&self) -> RwLockReadGuard<'_, VecDeque<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, VecDeque<Known>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new pseudonym.
fn pseudonym() -> Result<Arc<str>, SubjectError> {
    let mut bytes = [0; RANDOM];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(SubjectError::Random)?;
    Ok(format!("{PREFIX}{}", hex(&bytes)).into())
}

/// Heeds erasures now and every ten seconds, for as long as it is polled.
pub async fn follow(gateway: Arc<Gateway>) {
    let mut every = tokio::time::interval(HEARTBEAT);
    loop {
        every.tick().await;
        heed(&gateway.subjects, &gateway.instance).await;
    }
}

/// Heeds what was erased since it was last looked.
pub async fn heed(subjects: &Arc<Subjects>, instance: &Arc<Instance>) {
    let (subjects, instance) = (Arc::clone(subjects), Arc::clone(instance));
    let record = move |event: Event| instance.recorded(event).map_err(|error| error.to_string());
    let heeded = tokio::task::spawn_blocking(move || subjects.heed(record)).await;
    if let Err(why) = heeded.unwrap_or_else(|error| Err(error.to_string())) {
        tracing::error!(why, "erasures of personal data cannot be heeded; it is tried again in ten seconds");
    }
}
