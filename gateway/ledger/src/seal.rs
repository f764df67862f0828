//! Signs what the log holds: each second that brought records, a checkpoint over all of them.
//!
//! A checkpoint is a note (c2sp.org/tlog-checkpoint, signed-note): the log's name, how many records it has, the root of their tree
//! ([`crate::tree`]), and an Ed25519 signature by the log's own key (another by ML-DSA where that is wanted). Whoever has one can tell later whether any record that it
//! covers was changed, removed, put in or moved. The newest is `checkpoint`; one a minute, and the last of each run, are kept one
//! after the other in `checkpoints`.
//!
//! The same thread answers whoever needs what only it has: the tree, for proofs, and a checkpoint that is kept right now.
//!
//! One thread reads what is durable back from the segments, so no record waits for it, and what is signed is what is on disk. A
//! log that has fewer records than were signed was rolled back and is not opened; neither is one whose records have another
//! root.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use crate::{
    Damage, OpenError, ReadError, Reader,
    keys::Keys,
    note::{Checkpoint, last_note, tail, whole},
    prune,
    queue::Queue,
    read::read_from,
    storage::{self, Output},
    tree::{Hash, Tree, WIDTH, leaf},
};

/// How often a checkpoint is kept for good while the log grows.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

/// The folder of checkpoints and tiles in that of the log.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("tlog")
}

/// See the module.
pub(crate) struct Seal {
    dir: PathBuf,
    keys: Arc<Keys>,
    tree: Tree,
    /// Where the records after those of the tree begin.
    reader: Option<Reader>,
    checkpoints: Output,
    /// Where the checkpoints that are kept end. What is after it, a write that failed left there.
    kept_end: u64,
    /// The newest checkpoint, and over how many records it is: fewer than the tree has where it could not be written.
    newest: String,
    newest_size: u64,
    /// When one was kept last, and over how many records.
    kept_at: Option<Instant>,
    kept_size: u64,
}

/// What is asked of the thread that signs.
pub(crate) enum Ask {
    /// To sign all that is durable and keep that checkpoint: over how many records it is.
    Keep(SyncSender<Result<u64, String>>),
    /// The hashes that lead from the tree of one size to that of another, both within what is signed.
    Consistency { old: u64, new: u64, answer: SyncSender<Result<Vec<Hash>, String>> },
}

impl Seal {
    /// Goes on where the last checkpoint of the log in `dir` ends, which has so many records.
    ///
    /// # Errors
    /// The log has fewer records than were signed, or others; its key is gone; the file system refuses.
    pub(crate) fn open(dir: &Path, durable: u64, ml_dsa: bool) -> Result<Self, OpenError> {
        let folder = folder(dir);
        let path = folder.join("checkpoints");
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { action, path, cause }
        };
        let make = || storage::folder(&folder).and_then(|()| storage::sync_folder(dir));
        make().map_err(io("create", &folder))?;
        let mut checkpoints = Output::append(&path).map_err(io("open", &path))?;
        let (tail, before) = tail(checkpoints.file()).map_err(io("read", &path))?;
        let newest = folder.join("checkpoint");
        let mut newest = match fs::read_to_string(&newest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(io("read", &newest))?,
        };
        let keys = Keys::open(&folder, tail.is_empty() && newest.is_empty(), ml_dsa)?;
        let whole = whole(&tail);
        let ends = before + whole as u64;
        if ends < checkpoints.file().metadata().map_err(io("read", &path))?.len() {
            // A crash tore the last one.
            checkpoints.set_length(ends).and_then(|()| checkpoints.sync()).map_err(io("cut", &path))?;
        }
        let (mut last, mut kept_size): (Option<Checkpoint>, u64) = (None, 0);
        let kept = last_note(&tail[..whole]);
        for (note, name) in [(kept, "checkpoints"), (&*newest, "checkpoint")] {
            if note.is_empty() {
                continue;
            }
            let checkpoint = keys.verified(note).ok_or_else(|| Damage::Checkpoint { path: folder.join(name) })?;
            if name == "checkpoints" {
                kept_size = checkpoint.size;
            }
            last = last.filter(|last| last.size >= checkpoint.size).or(Some(checkpoint));
        }
        if last.as_ref().is_some_and(|last| last.size == kept_size) {
            newest = format!("{kept}\n");
        }
        let newest_size = last.as_ref().map_or(0, |last| last.size);
        let pruned = prune::mark(dir)?;
        let (tree, reader) = match &last {
            None => (Tree::default(), None),
            Some(Checkpoint { size, .. }) if *size > durable => {
                return Err(Damage::RolledBack { signed: *size, found: durable }.into());
            }
            Some(Checkpoint { size, root }) => {
                let is_it = |tree: &Tree| tree.root() == *root;
                let kept = Tree::read(&folder, *size).filter(is_it);
                // A crash may have come between tiles and checkpoint: then the whole tiles are there, the parts are not.
                let (tree, reader) = match kept.or_else(|| edge(dir, *size).filter(is_it)) {
                    Some(tree) => (tree, None),
                    // Or it took them, or somebody did.
                    None => grown(dir, *size, pruned)?,
                };
                if tree.root() != *root {
                    return Err(Damage::Root { signed: *size }.into());
                }
                (tree, reader)
            }
        };
        if pruned > tree.size() {
            return Err(Damage::Pruned { path: prune::path(dir) }.into());
        }
        let keys = Arc::new(keys);
        let dir = dir.to_owned();
        Ok(Self { dir, keys, tree, reader, checkpoints, kept_end: ends, newest, newest_size, kept_at: None, kept_size })
    }

    /// Whose log it is.
    pub(crate) fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The newest checkpoint; of an empty log the one that it would have.
    pub(crate) fn signed(&self) -> Checkpoint {
        Checkpoint { size: self.tree.size(), root: self.tree.root() }
    }

    /// Signs the records that are durable and were not signed yet, if there are any; `keeps` where the checkpoint over them is to
    /// be kept whenever the last one was.
    pub(crate) fn seal(&mut self, durable: u64, keeps: bool) -> Result<(), String> {
        let why = |error: &dyn std::fmt::Display| error.to_string();
        let folder = folder(&self.dir);
        if durable > self.tree.size() {
            if self.reader.is_none() {
                self.reader = Some(read_from(&self.dir, self.tree.size()).map_err(|error| why(&error))?);
            }
            let reader = self.reader.as_mut().expect("it was just opened");
            grow(&mut self.tree, reader, durable).map_err(|error| why(&error))?;
        }
        if self.newest_size < self.tree.size() {
            self.tree.write(&folder).map_err(|error| why(&error))?;
            let note = self.keys.sign(&self.signed());
            storage::replace(&folder.join("checkpoint"), note.as_bytes()).map_err(|error| why(&error))?;
            (self.newest, self.newest_size) = (note, self.tree.size());
        }
        let is_due = keeps || self.kept_at.is_none_or(|kept| kept.elapsed() >= KEPT);
        if !is_due || self.kept_size >= self.newest_size {
            return Ok(());
        }
        let mut keep = || -> io::Result<()> {
            let note = format!("{}\n", self.newest);
            if self.checkpoints.file().metadata()?.len() > self.kept_end {
                self.checkpoints.set_length(self.kept_end)?;
            }
            self.checkpoints.seek(self.kept_end)?;
            self.checkpoints.write(note.as_bytes())?;
            self.checkpoints.sync()?;
            self.kept_end += note.len() as u64;
            Ok(())
        };
        keep().map_err(|error| why(&error))?;
        (self.kept_at, self.kept_size) = (Some(Instant::now()), self.newest_size);
        Ok(())
    }

    /// Signs at intervals until told to stop, by nobody being there to ask any more, and once more then.
    pub(crate) fn run(mut self, queue: &Arc<Queue>, every: Duration, asked: &Receiver<Ask>) {
        let mut failed = false;
        let mut due = Instant::now() + every;
        loop {
            // However often it is asked, it signs at its times.
            let ends = match asked.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Ask::Keep(answer)) => {
                    let kept = self.seal(queue.status().durable_records, true).map(|()| self.kept_size);
                    // Whoever asked may have gone.
                    answer.send(kept).ok();
                    continue;
                }
                Ok(Ask::Consistency { old, new, answer }) => {
                    let hashes = self.tree.consistency(&folder(&self.dir), old, new);
                    answer.send(hashes.map_err(|error| error.to_string())).ok();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            due = Instant::now() + every;
            match self.seal(queue.status().durable_records, ends) {
                Ok(()) => failed = false,
                Err(why) if !std::mem::replace(&mut failed, true) => {
                    tracing::error!(why, "the ledger cannot be signed; it is tried again each second");
                }
                Err(_) => {}
            }
            if ends {
                return;
            }
        }
    }
}

/// The tree of the first `size` records by its whole tiles and the records after those, of which there are few; `None` where they
/// are not there.
fn edge(dir: &Path, size: u64) -> Option<Tree> {
    let after = size % WIDTH as u64;
    let records = read_from(dir, size - after).ok()?.take(after as usize);
    let leaves: Vec<Hash> = records.map(|record| Some(leaf(&record.ok()?.1))).collect::<Option<_>>()?;
    Tree::edge(&folder(dir), size, leaves).ok()
}

/// The tree of the first `size` records, made again, and what reads on: of those that were pruned from the hashes that were kept,
/// of the others from the records.
fn grown(dir: &Path, size: u64, pruned: u64) -> Result<(Tree, Option<Reader>), OpenError> {
    let folder = folder(dir);
    let mut tree = Tree::default();
    let failed = |cause| OpenError::Io { action: "read the tiles in", path: folder.clone(), cause };
    tree.push_kept(&folder, pruned.min(size)).map_err(failed)?;
    let mut reader = read_from(dir, tree.size())?;
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
