//! Signs what the log holds: each second that brought records, a checkpoint over all of them.
//!
//! A checkpoint is a note (c2sp.org/tlog-checkpoint, signed-note): the log's name, how many records it has, the root of their tree
//! ([`crate::tree`]), and an Ed25519 signature by the log's own key. Whoever has one can tell later whether any record that it
//! covers was changed, removed, put in or moved. The newest is `checkpoint`; one a minute, and the last of each run, are kept one
//! after the other in `checkpoints`.
//!
//! One thread reads what is durable back from the segments, so no record waits for it, and what is signed is what is on disk. A
//! log that has fewer records than were signed was rolled back and is not opened; neither is one whose records have another
//! root.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use sha2::{Digest as _, Sha256};

use crate::{
    Damage, OpenError, ReadError, Reader,
    queue::Queue,
    read::read_from,
    tree::{Hash, Tree},
};

/// How often a checkpoint is kept for good while the log grows.
const KEPT: Duration = Duration::from_secs(60);
/// The end of the history that is read at a start; a note has some hundred bytes.
const TAIL_BYTES: u64 = 64 << 10;

/// The kind of an Ed25519 key in a note.
const ED25519_KIND: u8 = 1;

/// The folder of checkpoints and tiles in that of the log.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("tlog")
}

/// The key that a log is signed with, and its name.
struct Signer {
    pair: Ed25519KeyPair,
    name: String,
}

/// See the module.
pub(crate) struct Seal {
    dir: PathBuf,
    signer: Signer,
    tree: Tree,
    /// Where the records after those of the tree begin.
    reader: Option<Reader>,
    checkpoints: File,
    /// When one was kept last, and over how many records.
    kept_at: Option<Instant>,
    kept_size: u64,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checkpoint {
    size: u64,
    root: Hash,
}

impl Signer {
    /// The key of a log; a new one where there is none yet.
    fn open(folder: &Path, may_be_new: bool) -> Result<Self, OpenError> {
        let path = folder.join("key");
        let io = |action| {
            let path = path.clone();
            move |cause| OpenError::Io { action, path, cause }
        };
        let bad = |_| io::Error::other("it is not a key that can be signed with");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_new => {
                let new = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
                let new = new.map_err(|_| io("make")(io::Error::other("no random numbers")))?;
                let write = || -> io::Result<()> {
                    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                    file.write_all(new.as_ref())?;
                    file.sync_all()
                };
                write().map_err(io("write"))?;
                new.as_ref().to_vec()
            }
            Err(error) => return Err(io("read")(error)),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(bad).map_err(io("use"))?;
        let digest = Sha256::digest(pair.public_key().as_ref());
        let name = format!("pointsman/{}", hex(&digest[..8]));
        Ok(Self { pair, name })
    }

    /// The first four bytes of the hash that tells a key in a note.
    fn hint(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ED25519_KIND]);
        hash.update(self.pair.public_key().as_ref());
        let digest = hash.finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// What a verifier has to know: name, hint and key, as signed notes write them.
    fn verifier_key(&self) -> String {
        let key = [&[ED25519_KIND], self.pair.public_key().as_ref()].concat();
        format!("{}+{}+{}", self.name, hex(&self.hint()), BASE64_STANDARD.encode(key))
    }

    fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = format!("{}\n{}\n{}\n", self.name, checkpoint.size, BASE64_STANDARD.encode(checkpoint.root));
        let signature = self.pair.sign(text.as_bytes());
        let signed = [&self.hint(), signature.as_ref()].concat();
        format!("{text}\n\u{2014} {} {}\n", self.name, BASE64_STANDARD.encode(signed))
    }

    /// The checkpoint of a note that this key signed.
    fn verified(&self, note: &str) -> Option<Checkpoint> {
        let (text, signature) = note.split_once("\n\n")?;
        let mut lines = text.lines();
        let (name, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let signed = signature.trim_end().strip_prefix("\u{2014} ")?.strip_prefix(&self.name)?.strip_prefix(' ')?;
        let signed = BASE64_STANDARD.decode(signed).ok()?;
        let (hint, signature) = signed.split_first_chunk::<4>()?;
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key());
        let holds =
            name == self.name && *hint == self.hint() && key.verify(format!("{text}\n").as_bytes(), signature).is_ok();
        let root = BASE64_STANDARD.decode(root).ok()?.try_into().ok()?;
        holds.then_some(Checkpoint { size: size.parse().ok()?, root })
    }
}

impl Seal {
    /// Goes on where the last checkpoint of the log in `dir` ends, which has so many records.
    ///
    /// # Errors
    /// The log has fewer records than were signed, or others; its key is gone; the file system refuses.
    pub(crate) fn open(dir: &Path, durable: u64) -> Result<Self, OpenError> {
        let folder = folder(dir);
        let path = folder.join("checkpoints");
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { action, path, cause }
        };
        fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        let checkpoints = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path);
        let checkpoints = checkpoints.map_err(io("open", &path))?;
        let (tail, before) = tail(&checkpoints).map_err(io("read", &path))?;
        let newest = folder.join("checkpoint");
        let newest = match fs::read_to_string(&newest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(io("read", &newest))?,
        };
        let signer = Signer::open(&folder, tail.is_empty() && newest.is_empty())?;
        let whole = whole(&tail);
        let end = checkpoints.metadata().map_err(io("read", &path))?.len();
        if before + (whole as u64) < end {
            // A crash tore the last one.
            checkpoints.set_len(before + whole as u64).map_err(io("cut", &path))?;
        }
        let (mut last, mut kept_size): (Option<Checkpoint>, u64) = (None, 0);
        for (note, name) in [(last_note(&tail[..whole]), "checkpoints"), (&*newest, "checkpoint")] {
            if note.is_empty() {
                continue;
            }
            let checkpoint = signer.verified(note).ok_or_else(|| Damage::Checkpoint { path: folder.join(name) })?;
            if name == "checkpoints" {
                kept_size = checkpoint.size;
            }
            last = last.filter(|last| last.size >= checkpoint.size).or(Some(checkpoint));
        }
        let (tree, reader) = match &last {
            None => (Tree::default(), None),
            Some(Checkpoint { size, .. }) if *size > durable => {
                return Err(Damage::RolledBack { signed: *size, found: durable }.into());
            }
            Some(Checkpoint { size, root }) => {
                let kept = Tree::read(&folder, *size).filter(|tree| tree.root() == *root);
                let (tree, reader) = match kept {
                    Some(tree) => (tree, None),
                    // A crash may have come between tiles and checkpoint, or somebody took them away.
                    None => grown(dir, *size).map_err(|error| of_reading(dir, error))?,
                };
                if tree.root() != *root {
                    return Err(Damage::Root { signed: *size }.into());
                }
                (tree, reader)
            }
        };
        Ok(Self { dir: dir.to_owned(), signer, tree, reader, checkpoints, kept_at: None, kept_size })
    }

    /// What a verifier has to know.
    pub(crate) fn verifier_key(&self) -> String {
        self.signer.verifier_key()
    }

    /// Signs the records that are durable and were not signed yet, if there are any; `ends` where no more come.
    fn seal(&mut self, durable: u64, ends: bool) -> Result<(), String> {
        let grown = durable > self.tree.size();
        let keeps = ends || self.kept_at.is_none_or(|kept| kept.elapsed() >= KEPT);
        let is_kept = self.tree.size() <= self.kept_size;
        if !grown && (!ends || is_kept) {
            return Ok(());
        }
        let why = |error: &dyn std::fmt::Display| error.to_string();
        if self.reader.is_none() {
            self.reader = Some(read_from(&self.dir, self.tree.size()).map_err(|error| why(&error))?);
        }
        let reader = self.reader.as_mut().expect("it was just opened");
        grow(&mut self.tree, reader, durable).map_err(|error| why(&error))?;
        let folder = folder(&self.dir);
        self.tree.write(&folder).map_err(|error| why(&error))?;
        let note = self.signer.sign(&Checkpoint { size: self.tree.size(), root: self.tree.root() });
        let mut write = || -> io::Result<()> {
            let (beside, newest) = (folder.join("checkpoint.new"), folder.join("checkpoint"));
            let mut file = File::create(&beside)?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            fs::rename(beside, newest)?;
            if keeps {
                (&self.checkpoints).write_all(format!("{note}\n").as_bytes())?;
                self.checkpoints.sync_data()?;
                (self.kept_at, self.kept_size) = (Some(Instant::now()), self.tree.size());
            }
            Ok(())
        };
        write().map_err(|error| why(&error))
    }

    /// Signs at intervals until told to stop, and once more then.
    pub(crate) fn run(mut self, queue: &Arc<Queue>, every: Duration, stop: &Receiver<()>) {
        let mut failed = false;
        loop {
            let stops = !matches!(stop.recv_timeout(every), Err(RecvTimeoutError::Timeout));
            match self.seal(queue.status().durable_records, stops) {
                Ok(()) => failed = false,
                Err(why) if !std::mem::replace(&mut failed, true) => {
                    tracing::error!(why, "the ledger cannot be signed; it is tried again each second");
                }
                Err(_) => {}
            }
            if stops {
                return;
            }
        }
    }
}

/// What whoever verifies the log in `dir` has to know of its key; `None` where it was never signed.
///
/// # Errors
/// When the key cannot be read.
pub fn verifier_key(dir: &Path) -> Result<Option<String>, OpenError> {
    let folder = folder(dir);
    match folder.join("key").exists() {
        true => Signer::open(&folder, false).map(|signer| Some(signer.verifier_key())),
        false => Ok(None),
    }
}

/// Whether a text has the form of a verifier's key of a signed note: `NAME+HASH+KEY`.
pub fn is_verifier_key(text: &str) -> bool {
    let parts = text.splitn(3, '+').collect::<Vec<_>>();
    let [name, hash, key] = parts[..] else { return false };
    let is_hash = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    is_name && is_hash && BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 33)
}

/// The end of a history, and how many bytes are before it.
fn tail(mut file: &File) -> io::Result<(String, u64)> {
    let before = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // The first line may be cut in two, and a crash may have torn a character at the end; else all of it is text.
    let first =
        if before > 0 { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) } else { 0 };
    let text = match std::str::from_utf8(&bytes[first..]) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[first..first + error.valid_up_to()]).into_owned()
        }
        Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    };
    Ok((text, before + first as u64))
}

/// Where the last whole note ends: with an empty line after its signatures.
fn whole(history: &str) -> usize {
    let mut end = history.len();
    while let Some(at) = history[..end].rfind("\n\n") {
        let paragraph = history[..at].rfind("\n\n").map_or(0, |before| before + 2);
        if history[paragraph..at].starts_with('\u{2014}') {
            return at + 2;
        }
        end = at + 1;
    }
    0
}

/// The last of some whole notes, without the empty line after it.
fn last_note(history: &str) -> &str {
    let Some(history) = history.strip_suffix("\n\n") else { return "" };
    let Some(text_ends) = history.rfind("\n\n") else { return "" };
    let begins = history[..text_ends].rfind("\n\n").map_or(0, |before| before + 2);
    &history[begins..]
}

/// The tree of the first `size` records, read again, and what reads on.
fn grown(dir: &Path, size: u64) -> Result<(Tree, Option<Reader>), ReadError> {
    let (mut tree, mut reader) = (Tree::default(), read_from(dir, 0)?);
    grow(&mut tree, &mut reader, size)?;
    Ok((tree, Some(reader)))
}

/// Adds records to a tree until it has `size`, or as many as there are.
fn grow(tree: &mut Tree, reader: &mut Reader, size: u64) -> Result<(), ReadError> {
    while tree.size() < size
        && let Some((_, record)) = reader.advance()?
    {
        tree.push(&record);
    }
    Ok(())
}

fn of_reading(dir: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Damaged(damage) => damage.into(),
        ReadError::Io { cause, .. } => OpenError::Io { action: "read", path: dir.to_owned(), cause },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, Options};

    const EVERY: Duration = Duration::from_millis(1);

    fn options() -> Options {
        Options { checkpoints: Some(EVERY), segment_bytes: 4_096, ..Options::default() }
    }

    fn append(dir: &Path, from: u64, count: u64) -> String {
        let (ledger, _) = Ledger::open(dir, options()).unwrap();
        for nth in from..from + count {
            drop(ledger.append(&serde_json::json!({"nth": nth})).unwrap());
        }
        let key = ledger.verifier_key().unwrap().to_owned();
        ledger.close().unwrap();
        key
    }

    fn newest(dir: &Path) -> String {
        fs::read_to_string(folder(dir).join("checkpoint")).unwrap()
    }

    #[test]
    fn all_records_are_signed_at_the_end_and_the_log_goes_on_under_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = append(dir.path(), 0, 700);
        assert_eq!(newest(dir.path()).lines().nth(1), Some("700"));
        let second = append(dir.path(), 700, 50);
        assert_eq!(first, second);
        let note = newest(dir.path());
        assert_eq!(note.lines().nth(1), Some("750"));
        // The root is that of all records, whichever run they came in.
        let other = tempfile::tempdir().unwrap();
        append(other.path(), 0, 750);
        assert_eq!(newest(other.path()).lines().nth(2), note.lines().nth(2));
    }

    #[test]
    fn a_checkpoint_is_kept_once_however_often_it_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        for run in 1..4 {
            let (ledger, _) = Ledger::open(dir.path(), options()).unwrap();
            for nth in [2 * run - 1, 2 * run] {
                ledger.append(&"x").unwrap().wait().unwrap();
                // Until it is signed: the second one within the minute that the first one was kept in.
                let size = nth.to_string();
                let newest = || fs::read_to_string(folder(dir.path()).join("checkpoint")).unwrap_or_default();
                while newest().lines().nth(1) != Some(&size) {
                    std::thread::yield_now();
                }
            }
            ledger.close().unwrap();
        }
        let history = fs::read_to_string(folder(dir.path()).join("checkpoints")).unwrap();
        let sizes: Vec<&str> = history.split("\n\n").filter_map(|part| part.lines().nth(1)).collect();
        assert_eq!(sizes, ["1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn a_log_that_lost_signed_records_or_has_others_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), 0, 10);
        let segment = dir.path().join(format!("{:020}.log", 0));
        let whole = fs::read(&segment).unwrap();
        fs::write(&segment, &whole[..crate::segment::HEADER_BYTES]).unwrap();
        let refused = Ledger::open(dir.path(), options()).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged(Damage::RolledBack { signed: 10, found: 0 })), "{refused}");
        // The same number of records of another log, and its tiles.
        let other = tempfile::tempdir().unwrap();
        append(other.path(), 90, 10);
        fs::copy(other.path().join(format!("{:020}.log", 0)), &segment).unwrap();
        fs::remove_dir_all(folder(dir.path()).join("tile")).unwrap();
        let refused = Ledger::open(dir.path(), options()).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged(Damage::Root { signed: 10 })), "{refused}");
        fs::write(&segment, whole).unwrap();
        append(dir.path(), 10, 5);
        assert_eq!(newest(dir.path()).lines().nth(1), Some("15"), "with its own records and no tiles it goes on");
    }

    #[test]
    fn a_checkpoint_that_was_changed_or_a_key_that_is_gone_stops_the_start_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), 0, 10);
        let path = folder(dir.path()).join("checkpoints");
        let history = fs::read_to_string(&path).unwrap();
        fs::write(&path, &history[..history.len() - 20]).unwrap();
        append(dir.path(), 10, 1);
        assert_eq!(newest(dir.path()).lines().nth(1), Some("11"));
        let history = fs::read_to_string(&path).unwrap();
        fs::write(&path, history.replace("\n11\n", "\n10\n")).unwrap();
        let refused = Ledger::open(dir.path(), options()).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged(Damage::Checkpoint { .. })), "{refused}");
        fs::write(&path, &history).unwrap();
        fs::remove_file(folder(dir.path()).join("key")).unwrap();
        assert!(matches!(Ledger::open(dir.path(), options()).unwrap_err(), OpenError::Io { action: "read", .. }));
    }
}
