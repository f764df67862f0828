//! What any power cut, and any failure of the file system, may leave of a log: nothing that was acknowledged is lost, and what is
//! left is a log that opens, goes on and verifies.
//!
//! A life of a log is recorded, change by change, with what was acknowledged between them. From the record a state of the disk
//! is made as a power cut may leave it at any change: what was synced is there, of what was not each sector is there or is not,
//! and names come and go in their order, as in a journal, those of a synced folder for certain.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use audit::{
    evidence::Evidence,
    verify::{Verdict, verify_against},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    Ledger, Options, read, rotate_key, segment,
    storage::{Change, Refused},
    witness::{Refusal, Witness},
};

const SECTOR: usize = 512;

/// What is told of a change to the files of a folder that is watched.
static WATCHED: Mutex<Vec<Arc<Watch>>> = Mutex::new(Vec::new());

/// Told by [`crate::storage`] before each change.
pub(crate) fn before(change: Change<'_>) -> Result<(), Refused> {
    let path = match change {
        Change::Create(path)
        | Change::Write(path, ..)
        | Change::Length(path, _)
        | Change::Sync(path)
        | Change::Rename(path, _)
        | Change::Remove(path)
        | Change::Folder(path)
        | Change::SyncFolder(path) => path,
    };
    let watch = locked(&WATCHED).iter().find(|watch| path.starts_with(&watch.root)).cloned();
    watch.map_or(Ok(()), |watch| watch.before(change))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder whose changes are recorded, until it is dropped.
struct Watched(Arc<Watch>);

struct Watch {
    root: PathBuf,
    steps: Mutex<Vec<Step>>,
    fault: Mutex<Option<Fault>>,
}

/// A failure of the file system.
#[derive(Debug, Clone, Copy)]
struct Fault {
    /// How many changes are made before it.
    after: usize,
    kind: io::ErrorKind,
    /// Whether it stays, as a full disk does.
    stays: bool,
    /// The share of a write that is made all the same, of 255.
    written: u8,
}

/// A change, or what was acknowledged after those before it.
enum Step {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Length(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Folder(PathBuf),
    SyncFolder(PathBuf),
    /// So many records are durable.
    Acknowledged(u64),
}

impl Watched {
    fn new(root: &Path, fault: Option<Fault>) -> Self {
        let watch = Arc::new(Watch { root: root.into(), steps: Mutex::default(), fault: Mutex::new(fault) });
        locked(&WATCHED).push(Arc::clone(&watch));
        Self(watch)
    }

    fn acknowledged(&self, records: u64) {
        locked(&self.0.steps).push(Step::Acknowledged(records));
    }

    fn steps(self) -> Vec<Step> {
        std::mem::take(&mut *locked(&self.0.steps))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        locked(&WATCHED).retain(|watch| !Arc::ptr_eq(watch, &self.0));
    }
}

impl Watch {
    fn before(&self, change: Change<'_>) -> Result<(), Refused> {
        let mut steps = locked(&self.steps);
        let own = |path: &Path| path.strip_prefix(&self.root).expect("it is watched").to_path_buf();
        let mut fault = locked(&self.fault);
        match &mut *fault {
            Some(Fault { after: 0, kind, stays, written }) => {
                let error = io::Error::from(*kind);
                let share = usize::from(*written);
                let done = match change {
                    Change::Write(path, at, bytes) => {
                        let done = bytes.len() * share / 256;
                        steps.push(Step::Write(own(path), at, bytes[..done].to_vec()));
                        done
                    }
                    _ => 0,
                };
                if !*stays {
                    *fault = None;
                }
                return Err(Refused { error, written: done });
            }
            Some(fault) => fault.after -= 1,
            None => {}
        }
        steps.push(match change {
            Change::Create(path) => Step::Create(own(path)),
            Change::Write(path, at, bytes) => Step::Write(own(path), at, bytes.to_vec()),
            Change::Length(path, length) => Step::Length(own(path), length),
            Change::Sync(path) => Step::Sync(own(path)),
            Change::Rename(from, to) => Step::Rename(own(from), own(to)),
            Change::Remove(path) => Step::Remove(own(path)),
            Change::Folder(path) => Step::Folder(own(path)),
            Change::SyncFolder(path) => Step::SyncFolder(own(path)),
        });
        Ok(())
    }
}

/// What is on a disk: its files by their names.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(root: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

fn put(files: &Files) -> TempDir {
    let root = folder();
    for (name, bytes) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

/// In memory where there is such a folder: thousands of files are written.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A file as a disk has it: what is certainly there, and what may be.
#[derive(Default)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<Pending>,
}

enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

enum Name {
    Is(PathBuf, usize),
    Moves(PathBuf, PathBuf),
    Goes(PathBuf),
    Folder(PathBuf),
}

impl Name {
    fn is_in(&self, folder: &Path) -> bool {
        match self {
            Self::Is(path, _) | Self::Goes(path) | Self::Folder(path) => path.parent() == Some(folder),
            Self::Moves(from, to) => from.parent() == Some(folder) || to.parent() == Some(folder),
        }
    }

    fn happens(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Is(path, inode) => drop(names.insert(path, inode)),
            Self::Moves(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
            Self::Goes(path) => names.retain(|name, _| !name.starts_with(&path)),
            Self::Folder(_) => {}
        }
    }
}

impl Inode {
    fn all(&self) -> Vec<u8> {
        self.pending.iter().fold(self.synced.clone(), |mut bytes, pending| {
            pending.happens(&mut bytes, |_| true);
            bytes
        })
    }
}

impl Pending {
    /// Happens to the bytes, as far as the sectors say.
    fn happens(&self, bytes: &mut Vec<u8>, mut kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(length) => {
                if kept(0) {
                    bytes.resize(*length as usize, 0);
                }
            }
            Self::Write(at, written) => {
                let at = *at as usize;
                let mut from = 0;
                while from < written.len() {
                    let sector = (at + from) / SECTOR;
                    let until = written.len().min((sector + 1) * SECTOR - at);
                    if kept(sector) {
                        bytes.resize(bytes.len().max(at + until), 0);
                        bytes[at + from..at + until].copy_from_slice(&written[from..until]);
                    }
                    from = until;
                }
            }
        }
    }
}

/// What a power cut after some steps leaves of a disk.
fn after_a_cut(start: &Files, steps: &[Step], random: &mut StdRng) -> Files {
    let mut inodes: Vec<Inode> = Vec::new();
    let (mut now, mut durable, mut journal) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (name, bytes) in start {
        inodes.push(Inode { synced: bytes.clone(), pending: Vec::new() });
        now.insert(name.clone(), inodes.len() - 1);
        durable.insert(name.clone(), inodes.len() - 1);
    }
    let mut happens = |name: Name, now: &mut BTreeMap<PathBuf, usize>| {
        match &name {
            Name::Is(path, inode) => Name::Is(path.clone(), *inode),
            Name::Moves(from, to) => Name::Moves(from.clone(), to.clone()),
            Name::Goes(path) => Name::Goes(path.clone()),
            Name::Folder(path) => Name::Folder(path.clone()),
        }
        .happens(now);
        journal.push(name);
    };
    let mut synced_until = 0;
    let mut synced_folders = Vec::new();
    for step in steps {
        match step {
            Step::Create(path) => {
                inodes.push(Inode::default());
                happens(Name::Is(path.clone(), inodes.len() - 1), &mut now);
            }
            Step::Write(path, at, bytes) => {
                if let Some(inode) = now.get(path) {
                    inodes[*inode].pending.push(Pending::Write(*at, bytes.clone()));
                }
            }
            Step::Length(path, length) => {
                if let Some(inode) = now.get(path) {
                    inodes[*inode].pending.push(Pending::Length(*length));
                }
            }
            Step::Sync(path) => {
                if let Some(inode) = now.get(path) {
                    let inode = &mut inodes[*inode];
                    inode.synced = inode.all();
                    inode.pending.clear();
                }
            }
            Step::Rename(from, to) => happens(Name::Moves(from.clone(), to.clone()), &mut now),
            Step::Remove(path) => happens(Name::Goes(path.clone()), &mut now),
            Step::Folder(path) => happens(Name::Folder(path.clone()), &mut now),
            Step::SyncFolder(path) => synced_folders.push((path.clone(), synced_until)),
            Step::Acknowledged(_) => {}
        }
        synced_until +=
            usize::from(matches!(step, Step::Create(_) | Step::Rename(..) | Step::Remove(_) | Step::Folder(_)));
    }
    // A journal is in order: with the newest name of a synced folder all before it are durable.
    let certain = synced_folders.iter().filter_map(|(folder, until)| {
        journal[..*until].iter().rposition(|name| name.is_in(folder)).map(|last| last + 1)
    });
    let certain = certain.max().unwrap_or(0);
    let until = random.random_range(certain..=journal.len());
    journal.into_iter().take(until).for_each(|name| name.happens(&mut durable));
    // Sometimes nearly all of it is there, sometimes nearly nothing.
    let share = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
    let mut left = Files::new();
    for (name, inode) in durable {
        let Inode { synced: mut bytes, pending } = std::mem::take(&mut inodes[inode]);
        for pending in pending {
            pending.happens(&mut bytes, |_| random.random_bool(share));
        }
        left.insert(name, bytes);
    }
    left
}

/// A log, as whoever appends to it knows it.
#[derive(Clone)]
struct Known {
    /// What was appended, by number.
    records: Vec<String>,
    /// The key that the log had first, once one record was acknowledged.
    key: Option<String>,
    /// Who cosigns its checkpoints, on another machine.
    witness: Arc<(Witness, TempDir)>,
}

impl Known {
    fn nothing() -> Self {
        let folder = folder();
        let witness = Witness::open(folder.path(), "witness.example/w").unwrap();
        Self { records: Vec::new(), key: None, witness: Arc::new((witness, folder)) }
    }

    fn options(&self) -> Options {
        Options {
            segment_bytes: 1_500,
            pace: Duration::ZERO,
            checkpoints: Some(Duration::from_millis(1)),
            witnesses: vec![self.witness.0.verifier_key()],
            ..Options::default()
        }
    }

    /// Asks the witness to cosign the newest checkpoint; it may refuse, and the log may fail.
    fn cosign(&self, ledger: &Ledger) {
        let known = [ledger.verifier_key().unwrap().parse().unwrap()];
        let Ok(Some(checkpoint)) = ledger.checkpoint() else { return };
        let ask = |old| {
            let body = ledger.submission(&checkpoint, old).ok()?;
            Some(self.witness.0.add_checkpoint(body.as_bytes(), &known))
        };
        let answer: Option<Result<String, Refusal>> = match ask(0) {
            Some(Err(Refusal::Conflict { size })) => ask(size),
            answer => answer,
        };
        if let Some(Ok(answer)) = answer {
            ledger.cosigned(&checkpoint, &answer).ok();
        }
    }
}

/// Appends so many records, in groups, and notes which are durable.
fn append(ledger: &Ledger, known: &mut Known, watched: &Watched, count: usize, random: &mut StdRng) -> bool {
    let mut waiting = Vec::new();
    for nth in 0..count {
        let prunes = random.random_range(0..40) == 0;
        let record = match prunes {
            true => json!({"kind": "prune", "before": known.records.len()}),
            false => json!({"kind": "decision", "request": format!("r-{}", known.records.len())}),
        };
        let Ok(ticket) = ledger.append(&record) else { return false };
        assert_eq!(ticket.sequence(), known.records.len() as u64, "numbers have no gaps");
        known.records.push(record.to_string());
        waiting.push(ticket);
        if prunes || nth + 1 == count || random.random_range(0..8) == 0 {
            for ticket in waiting.drain(..) {
                let number = ticket.sequence();
                if ticket.wait().is_err() {
                    return false;
                }
                known.key.get_or_insert_with(|| ledger.verifier_key().unwrap().to_owned());
                watched.acknowledged(number + 1);
            }
        }
        // Right after a record that says so was acknowledged. What is pruned is under a signature, or it is not pruned.
        if prunes && ledger.prune(known.records.len() as u64).is_err() && ledger.status().failure.is_some() {
            return false;
        }
    }
    true
}

/// A run of a gateway, and perhaps a rotation of the key. Faults may end it early.
fn live(root: &Path, known: &mut Known, watched: &Watched, random: &mut StdRng) {
    if random.random_range(0..3) == 0 && !known.records.is_empty() {
        rotate_key(root).ok();
    }
    let Ok((ledger, recovery)) = Ledger::open(root, known.options()) else { return };
    known.records.truncate(recovery.records as usize);
    for _ in 0..random.random_range(1..4) {
        let count = random.random_range(1..120);
        if !append(&ledger, known, watched, count, random) {
            break;
        }
        known.cosign(&ledger);
    }
    if random.random_bool(0.7) {
        ledger.close().ok();
    }
}

/// Opens what was left, goes on with it, and verifies it; says what it knows of it then.
fn opens_and_verifies(root: &Path, known: &Known, acknowledged: u64, why: &str) -> Known {
    let newest = segment::list(root).unwrap().last().copied();
    let data_end = |first: u64| {
        let bytes = fs::read(segment::path(root, first)).unwrap_or_default();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    };
    let before = newest.map(|first| (first, data_end(first)));
    let (ledger, recovery) = match Ledger::open(root, known.options()) {
        Ok(opened) => opened,
        Err(error) => panic!("{why}: {error}: {:?}", std::error::Error::source(&error)),
    };
    let there = recovery.records;
    assert!(there >= acknowledged, "{why}: {there} of {acknowledged} records that were acknowledged");
    assert!(there <= known.records.len() as u64, "{why}");
    if let Some((first, end)) = before {
        let after = fs::metadata(segment::path(root, first)).map_or(0, |metadata| metadata.len().min(end));
        // The header of a segment that was only just made is made again.
        let cut = end - after;
        assert!(recovery.bytes_cut >= cut, "{why}: {cut} bytes were cut, {} were reported", recovery.bytes_cut);
    }
    let after = json!({"kind": "recovery"});
    assert_eq!(ledger.append(&after).unwrap().wait().unwrap().sequence, there, "{why}");
    ledger.close().unwrap();
    let mut known = known.clone();
    known.records.truncate(there as usize);
    known.records.push(after.to_string());
    let mut next = None;
    for record in read(root).unwrap() {
        let (position, record) = record.unwrap_or_else(|error| panic!("{why}: {error}"));
        assert_eq!(position.sequence, next.unwrap_or(position.sequence), "{why}: numbers have no gaps");
        assert_eq!(String::from_utf8(record).unwrap(), known.records[position.sequence as usize], "{why}");
        next = Some(position.sequence + 1);
    }
    assert_eq!(next, Some(there + 1), "{why}");
    let first = known.key.as_ref().filter(|_| acknowledged > 0);
    for key in first.map(String::as_str).into_iter().chain(ledger.verifier_key()) {
        let witnesses = vec![known.witness.0.verifier_key().parse().unwrap()];
        let report = verify_against(root, &key.parse().unwrap(), &Evidence { witnesses, ..Evidence::default() });
        assert!(matches!(report.verdict, Verdict::Ok | Verdict::Pruned), "{why}: {report:?}");
        assert_eq!(report.signed, there + 1, "{why}");
    }
    known
}

fn acknowledged(steps: &[Step]) -> u64 {
    let numbers = steps.iter().map(|step| if let Step::Acknowledged(number) = step { *number } else { 0 });
    numbers.max().unwrap_or(0)
}

/// Lives that begin with what a power cut left of the one before, each cut at many places.
#[test]
fn after_a_thousand_power_cuts_nothing_acknowledged_is_lost_and_every_log_opens_and_verifies() {
    let (mut cuts, mut pruned, mut rotated, mut cosigned) = (0, 0, 0, 0);
    for chain in 0..16 {
        let mut random = StdRng::seed_from_u64(chain);
        let (mut start, mut known, mut there) = (Files::new(), Known::nothing(), 0);
        for generation in 0..6 {
            let root = put(&start);
            let watched = Watched::new(root.path(), None);
            live(root.path(), &mut known, &watched, &mut random);
            let steps = watched.steps();
            let mut left = start.clone();
            for cut in 0..12 {
                // The last one late, so that logs grow from generation to generation.
                let from = if cut == 11 { steps.len() / 2 } else { 0 };
                let at = random.random_range(from..=steps.len());
                let acknowledged = acknowledged(&steps[..at]).max(there);
                left = after_a_cut(&start, &steps[..at], &mut random);
                let why = format!("chain {chain}, generation {generation}, cut {cut} at {at} of {}", steps.len());
                let copy = put(&left);
                opens_and_verifies(copy.path(), &known, acknowledged, &why);
                cuts += 1;
                pruned += u32::from(left.contains_key(Path::new("tlog/pruned")));
                rotated += u32::from(left.contains_key(Path::new("tlog/keys")));
                cosigned += u32::from(left.contains_key(Path::new("tlog/cosigned")));
                if cut == 11 {
                    there = acknowledged;
                    // A log of which nothing was acknowledged may begin anew, with another key.
                    known.key = known.key.filter(|_| there > 0);
                }
            }
            start = left;
        }
    }
    println!("{cuts} power cuts, of logs that were pruned {pruned}, rotated {rotated}, cosigned {cosigned}");
    assert!(cuts >= 1_000 && pruned.min(rotated).min(cosigned) > 20, "{cuts} {pruned} {rotated} {cosigned}");
}

#[test]
fn after_any_failure_of_the_file_system_nothing_acknowledged_is_lost() {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other, io::ErrorKind::Interrupted];
    let mut failed = 0;
    for nth in 0..200 {
        let mut random = StdRng::seed_from_u64(1_000 + nth);
        let (root, mut known) = (folder(), Known::nothing());
        // A life without faults, so that there is something to lose.
        let watched = Watched::new(root.path(), None);
        live(root.path(), &mut known, &watched, &mut random);
        let there = acknowledged(&watched.steps());
        let start = files(root.path());
        let fault = Fault {
            after: random.random_range(0..250),
            kind: kinds[random.random_range(0..kinds.len())],
            stays: random.random(),
            written: random.random(),
        };
        let watched = Watched::new(root.path(), Some(fault));
        live(root.path(), &mut known, &watched, &mut random);
        failed += u32::from(locked(&watched.0.fault).is_none_or(|fault| fault.after == 0));
        let steps = watched.steps();
        let acknowledged = acknowledged(&steps).max(there);
        // Opened again, once as the system still has it, and once after a power cut.
        let left = after_a_cut(&start, &steps, &mut random);
        let why = format!("run {nth}, {fault:?}");
        opens_and_verifies(root.path(), &known, acknowledged, &why);
        opens_and_verifies(put(&left).path(), &known, acknowledged, &format!("{why}, and a power cut"));
    }
    println!("200 lives, {failed} with a failure");
    assert!(failed > 50, "{failed}");
}
