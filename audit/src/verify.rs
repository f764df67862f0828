//! Holds a ledger's records against every checkpoint that was signed over them, and against what is known outside of it.

use std::{
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use serde::Serialize;

use crate::{
    evidence::{Evidence, Receipt},
    fields::Fields,
    ml_dsa::MlDsaKey,
    note::{Checkpoint, Keys, VerifierKey, notes},
    segments::{self, Broken, End},
    tiles,
    tree::{self, Hash},
};

/// Fewer signatures than this are not worth a thread.
const LEAST_SHARE: usize = 64;
/// So often a ledger is read anew because it was pruned meanwhile.
const MOST_ATTEMPTS: usize = 3;
/// So many findings are told one by one.
const MOST_FINDINGS: usize = 100;

/// What a verification found. As an exit status, its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was signed is there as it was.
    Ok = 0,
    /// Something that was signed is not as it was.
    Altered = 2,
    /// Records that were signed are not there any more.
    Truncated = 3,
    /// More records than allowed are after the newest checkpoint that somebody outside has.
    Unanchored = 5,
    /// Old records were removed, as a record that was signed says; all others are there as they were.
    Pruned = 6,
    /// It cannot be read.
    Unreadable = 7,
}

/// A verification.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was found, the worst of it.
    pub verdict: Verdict,
    /// Records that are there, those that were pruned included.
    pub records: u64,
    /// How many of them were pruned: their hashes are there.
    pub pruned: u64,
    /// How many of them are under the newest checkpoint.
    pub signed: u64,
    /// Checkpoints that were held against them.
    pub checkpoints: usize,
    /// Receipts that were held against them.
    pub receipts: usize,
    /// How many of them are under the newest checkpoint that somebody outside has.
    pub anchored: u64,
    /// How much time the records after that one span, in milliseconds, where they say so.
    pub unanchored_ms: Option<u64>,
    /// What is wrong, or noteworthy.
    pub findings: Vec<String>,
    /// How many findings more there are.
    pub more_findings: usize,
}

/// The hashes of a ledger's records, and what was found on the way.
pub struct Read {
    /// Of each record.
    pub leaves: Vec<Hash>,
    /// How many of them are of records that were pruned.
    pruned: u64,
    end: Result<End, Broken>,
}

impl Read {
    /// Reads the records of a ledger's folder as far as they can be read, and looks at each.
    pub fn folder(folder: &Path, look: impl Fn(u64, &[u8]) + Sync) -> Self {
        let failed = |end| Self { leaves: Vec::new(), pruned: 0, end: Err(end) };
        let pruned = match tiles::pruned(folder) {
            Ok(Some(pruned)) => pruned,
            Ok(None) => return failed(Broken::Altered("`tlog/pruned` does not say from which record on".to_owned())),
            Err(error) => return failed(error.into()),
        };
        let mut leaves = match tiles::leaves(folder, pruned) {
            Ok(leaves) => leaves,
            Err(error) => return failed(error.into()),
        };
        if (leaves.len() as u64) < pruned {
            return Self { pruned, leaves, end: Ok(End::Whole) };
        }
        let (kept, end) = segments::records(folder, pruned, |number, record| {
            look(number, record);
            tree::leaf(record)
        });
        leaves.extend(kept);
        Self { leaves, pruned, end }
    }

    /// Whether the hashes of records that were pruned are missing.
    fn lacks_hashes(&self) -> bool {
        (self.leaves.len() as u64) < self.pruned
    }
}

/// The checkpoints that somebody outside of the folder has.
#[derive(Default)]
struct Outside {
    /// Those that were put away, and those that enough witnesses cosigned.
    anchors: Vec<Checkpoint>,
    /// Those that too few witnesses cosigned.
    others: Vec<Checkpoint>,
}

/// Verifies the ledger in a folder by its key, and by checkpoints that somebody put away.
pub fn verify(folder: &Path, key: &VerifierKey, kept: &[String]) -> Report {
    verify_against(folder, key, &Evidence { checkpoints: kept.to_vec(), ..Evidence::default() })
}

/// Verifies the ledger in a folder by its key, and by all that is known of it outside.
pub fn verify_against(folder: &Path, key: &VerifierKey, evidence: &Evidence) -> Report {
    let mut report = Report::default();
    for _ in 0..MOST_ATTEMPTS {
        let before = tiles::pruned(folder).ok();
        report = Report::default();
        if let Err(error) = report.against(folder, key, evidence) {
            report.finds(Verdict::Unreadable, error);
        }
        // A gateway that runs may have pruned what was about to be read.
        if matches!(report.verdict, Verdict::Ok | Verdict::Pruned) || tiles::pruned(folder).ok() == before {
            break;
        }
    }
    report
}

/// The keys of the log in a folder, by one of them.
///
/// # Errors
/// A rotation is none, as it says; or they cannot be read.
pub fn keys(folder: &Path, key: &VerifierKey) -> io::Result<Result<Keys, String>> {
    let (rotations, _) = notes(&text(&folder.join("tlog/keys"))?);
    Ok(Keys::follow(key, &rotations))
}

impl Default for Report {
    fn default() -> Self {
        Self {
            verdict: Verdict::Ok,
            records: 0,
            pruned: 0,
            signed: 0,
            checkpoints: 0,
            receipts: 0,
            anchored: 0,
            unanchored_ms: None,
            findings: Vec::new(),
            more_findings: 0,
        }
    }
}

impl Report {
    /// An error says what cannot be read.
    fn against(&mut self, folder: &Path, key: &VerifierKey, evidence: &Evidence) -> Result<(), String> {
        // Before the records: a gateway that runs signs what is on disk, so all that is signed by now is there to be read.
        let keys = self.keys(folder, key)?;
        let mut all = self.own(folder, &keys)?;
        if let Some(key) = &evidence.ml_dsa {
            self.second(folder, key, all.last())?;
        }
        let Outside { anchors, others } = self.outside(folder, &keys, evidence)?;
        all.extend(anchors.iter().cloned().chain(others));
        all.extend(keys.rotations().iter().cloned());
        all.sort_by_key(|checkpoint| checkpoint.size);
        self.checkpoints = all.len();
        self.signed = all.last().map_or(0, |newest| newest.size);
        let (mut receipts, receipts_found) = (evidence.receipts.clone(), Mutex::new(Vec::new()));
        receipts.sort();
        let prunes = Mutex::new(Vec::new());
        let has_pruned = !matches!(tiles::pruned(folder), Ok(Some(0)));
        let read = Read::folder(folder, |number, record| {
            let told = of(&receipts, number);
            if !told.is_empty() {
                let request = Fields::of(record).request;
                let others = told.iter().filter(|told| told.request.is_some() && told.request != request);
                locked(&receipts_found).extend(others.map(|told| (told.clone(), request.clone())));
            }
            if has_pruned {
                let fields = Fields::of(record);
                if let (Some("prune"), Some(before)) = (fields.kind.as_deref(), fields.before) {
                    locked(&prunes).push((number, before));
                }
            }
        });
        (self.records, self.pruned) = (read.leaves.len() as u64, read.pruned);
        let torn = match &read.end {
            Ok(End::Whole) => false,
            Ok(End::Torn) => true,
            Err(Broken::Altered(why)) => {
                self.finds(Verdict::Altered, why.clone());
                false
            }
            Err(Broken::Io(error)) => return Err(format!("the records cannot be read: {error}")),
        };
        if read.lacks_hashes() {
            let why = format!("the hashes of records that were pruned are missing from record {} on", self.records);
            self.finds(Verdict::Truncated, why);
            return Ok(());
        }
        let good = self.holds(&read.leaves, &all, torn);
        self.prunes(&read, good, &locked(&prunes));
        self.receipts(&receipts, &locked(&receipts_found));
        self.anchors(folder, &anchors, evidence);
        Ok(())
    }

    fn keys(&mut self, folder: &Path, key: &VerifierKey) -> Result<Keys, String> {
        let history = text(&folder.join("tlog/keys")).map_err(|error| format!("the keys cannot be read: {error}"))?;
        let (rotations, last_torn) = notes(&history);
        if last_torn {
            self.notes("the last rotation of the key is torn, as a crash leaves it; it counts for nothing".to_owned());
        }
        Ok(Keys::follow(key, &rotations).unwrap_or_else(|why| {
            self.finds(Verdict::Altered, why);
            Keys::one(key)
        }))
    }

    /// The checkpoints that the folder has itself.
    fn own(&mut self, folder: &Path, keys: &Keys) -> Result<Vec<Checkpoint>, String> {
        let unreadable = |error: io::Error| format!("the checkpoints cannot be read: {error}");
        let history = folder.join("tlog/checkpoints");
        if !history.exists() {
            self.finds(Verdict::Altered, "there are no checkpoints, so nothing can be verified".to_owned());
        }
        let (own, last_torn) = notes(&text(&history).map_err(unreadable)?);
        if last_torn {
            self.notes("the last checkpoint is torn, as a crash leaves it; it counts for nothing".to_owned());
        }
        let mut all: Vec<Checkpoint> = Vec::new();
        for (nth, checkpoint) in on_all_cores(&own, |note| keys.checkpoint(note)).into_iter().enumerate() {
            let nth = nth + 1;
            match checkpoint {
                Some(checkpoint) if all.last().is_none_or(|before| before.size < checkpoint.size) => {
                    all.push(checkpoint);
                }
                Some(_) => {
                    self.finds(Verdict::Altered, format!("checkpoint {nth} is over no more than the one before"));
                }
                None => self.finds(Verdict::Altered, format!("checkpoint {nth} was not signed by the key")),
            }
        }
        let newest = text(&folder.join("tlog/checkpoint")).map_err(unreadable)?;
        if !newest.is_empty() {
            match keys.checkpoint(&newest) {
                Some(checkpoint) => all.push(checkpoint),
                None => self.finds(Verdict::Altered, "the newest checkpoint was not signed by the key".to_owned()),
            }
        }
        Ok(all)
    }

    /// Holds the second signature of the newest checkpoint, which covers all records, against its key.
    fn second(&mut self, folder: &Path, key: &MlDsaKey, newest: Option<&Checkpoint>) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("the checkpoints cannot be read: {error}");
        let mut note = text(&folder.join("tlog/checkpoint")).map_err(unreadable)?;
        if note.is_empty() {
            let (own, _) = notes(&text(&folder.join("tlog/checkpoints")).map_err(unreadable)?);
            note = own.into_iter().next_back().unwrap_or_default();
        }
        match key.checkpoint(&note) {
            Ok(Some(signed)) if newest == Some(&signed) => {}
            Ok(Some(_)) => {
                let why = "the newest checkpoint is not the one that is signed by ML-DSA".to_owned();
                self.finds(Verdict::Altered, why);
            }
            Ok(None) => self.finds(Verdict::Altered, "the newest checkpoint has no signature by ML-DSA".to_owned()),
            Err(_) => self.finds(Verdict::Altered, "the newest checkpoint was not signed by the ML-DSA key".to_owned()),
        }
        Ok(())
    }

    /// The checkpoints that somebody outside has.
    fn outside(&mut self, folder: &Path, keys: &Keys, evidence: &Evidence) -> Result<Outside, String> {
        let mut outside = Outside::default();
        for (nth, note) in evidence.checkpoints.iter().enumerate() {
            match keys.checkpoint(note) {
                Some(checkpoint) => outside.anchors.push(checkpoint),
                None => self.finds(Verdict::Altered, format!("kept checkpoint {} was not signed by the key", nth + 1)),
            }
        }
        if !evidence.witnesses.is_empty() {
            self.witnesses(folder, keys, evidence, &mut outside)?;
        }
        Ok(outside)
    }

    fn witnesses(
        &mut self,
        folder: &Path,
        keys: &Keys,
        evidence: &Evidence,
        outside: &mut Outside,
    ) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("the cosignatures cannot be read: {error}");
        let (mut cosigned, last_torn) = notes(&text(&folder.join("tlog/cosignatures")).map_err(unreadable)?);
        if last_torn {
            self.notes("the last cosigned checkpoint is torn, as a crash leaves it; it counts for nothing".to_owned());
        }
        let newest = text(&folder.join("tlog/cosigned")).map_err(unreadable)?;
        cosigned.extend((!newest.is_empty()).then_some(newest));
        let quorum = evidence.quorum;
        let mut is_reached = quorum == 0;
        for (nth, note) in cosigned.iter().enumerate() {
            let nth = nth + 1;
            let Some(checkpoint) = keys.checkpoint(note) else {
                self.finds(Verdict::Altered, format!("cosigned checkpoint {nth} was not signed by the key"));
                continue;
            };
            let mut count = 0;
            for witness in &evidence.witnesses {
                match witness.cosigned(note) {
                    Ok(time) => count += usize::from(time.is_some()),
                    Err(_) => {
                        let why = format!("cosigned checkpoint {nth} was not cosigned by `{}`", witness.name());
                        self.finds(Verdict::Altered, why);
                    }
                }
            }
            is_reached |= count >= quorum;
            match count {
                0 => {}
                count if count >= quorum => outside.anchors.push(checkpoint),
                _ => outside.others.push(checkpoint),
            }
        }
        if !is_reached {
            let why = format!("no checkpoint was cosigned by {quorum} of the {} witnesses", evidence.witnesses.len());
            self.finds(Verdict::Unanchored, why);
        }
        Ok(())
    }

    /// Holds the records against checkpoints in order of their sizes; says how many records those hold that hold.
    fn holds(&mut self, leaves: &[Hash], all: &[Checkpoint], torn: bool) -> u64 {
        let within = all.partition_point(|checkpoint| checkpoint.size <= leaves.len() as u64);
        let sizes: Vec<usize> = all[..within].iter().map(|checkpoint| checkpoint.size as usize).collect();
        let mut good = 0;
        for (checkpoint, root) in all.iter().zip(tree::roots(leaves, &sizes)) {
            if root != checkpoint.root {
                let (from, size) = (good, checkpoint.size);
                let why = format!("records {from} to {} are not those that were signed", size.saturating_sub(1));
                self.finds(Verdict::Altered, why);
                return good;
            }
            good = checkpoint.size;
        }
        match (within < all.len(), torn) {
            // Something lies where signed records were.
            (true, true) => {
                let why = format!("record {} was signed and is broken", leaves.len());
                self.finds(Verdict::Altered, why);
            }
            (true, false) => {
                let why = format!("{} records were signed, and {} are there", self.signed, leaves.len());
                self.finds(Verdict::Truncated, why);
            }
            (false, true) => self.notes("a torn record at the end was never signed; a crash leaves one".to_owned()),
            (false, false) => {}
        }
        good
    }

    /// That records are not there must be said by a record that is, and that was signed.
    fn prunes(&mut self, read: &Read, signed: u64, prunes: &[(u64, u64)]) {
        let pruned = read.pruned;
        if pruned == 0 {
            return;
        }
        match prunes.iter().filter(|(number, before)| *number < signed && *before >= pruned).min() {
            Some((number, _)) => {
                let why = format!("records 0 to {} were pruned, as record {number} says", pruned - 1);
                self.finds(Verdict::Pruned, why);
            }
            None => {
                let why = format!("records 0 to {} are not there, and no record that was signed says so", pruned - 1);
                self.finds(Verdict::Truncated, why);
            }
        }
    }

    fn receipts(&mut self, receipts: &[Receipt], found: &[(Receipt, Option<String>)]) {
        self.receipts = receipts.len();
        let there = self.records;
        for (Receipt { number, request }, found) in found.iter().filter(|(receipt, _)| receipt.number < there) {
            let request = request.as_deref().unwrap_or_default();
            let found = found.as_deref().map_or("no request".to_owned(), |found| format!("request `{found}`"));
            let why = format!("record {number} was given to request `{request}` by its receipt, and is about {found}");
            self.finds(Verdict::Altered, why);
        }
        let beyond = &receipts[receipts.partition_point(|receipt| receipt.number < there)..];
        if let Some(Receipt { number, .. }) = beyond.last() {
            let count = beyond.len();
            let why = format!("{count} receipts are of records up to {number}, and {there} records are there");
            self.finds(Verdict::Truncated, why);
        }
        let gone = receipts.partition_point(|receipt| receipt.number < self.pruned);
        if gone > 0 {
            self.notes(format!("{gone} receipts are of records that were pruned"));
        }
    }

    /// How much is after the newest checkpoint that somebody outside has.
    fn anchors(&mut self, folder: &Path, outside: &[Checkpoint], evidence: &Evidence) {
        self.anchored = outside.iter().map(|checkpoint| checkpoint.size).max().unwrap_or(0);
        let after = self.records.saturating_sub(self.anchored);
        if after > 0 && self.anchored > 0 {
            let time =
                |number| segments::record(folder, number).ok().flatten().and_then(|record| Fields::of(&record).time);
            let span = time(self.anchored - 1).zip(time(self.records - 1));
            self.unanchored_ms = span.map(|(from, to)| to.saturating_sub(from));
        }
        if let Some(most) = evidence.most_unanchored.filter(|most| after > *most) {
            let why = format!("{after} records are after the newest checkpoint that was put away, {most} are allowed");
            self.finds(Verdict::Unanchored, why);
        }
    }

    fn finds(&mut self, verdict: Verdict, why: String) {
        // What was altered is worse than what is missing; what nobody outside vouches for is worse than what was removed by the
        // rules; what cannot be read says least of those that are wrong.
        let worse = |verdict| match verdict {
            Verdict::Ok => 0,
            Verdict::Pruned => 1,
            Verdict::Unanchored => 2,
            Verdict::Unreadable => 3,
            Verdict::Truncated => 4,
            Verdict::Altered => 5,
        };
        if worse(verdict) > worse(self.verdict) {
            self.verdict = verdict;
        }
        self.notes(why);
    }

    fn notes(&mut self, why: String) {
        match self.findings.len() < MOST_FINDINGS {
            true => self.findings.push(why),
            false => self.more_findings += 1,
        }
    }
}

/// What `each` says of all of some: a year has half a million checkpoints, and a signature takes a while.
fn on_all_cores<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let share = all.len().div_ceil(segments::cores()).max(LEAST_SHARE);
    thread::scope(|scope| {
        let mut shares = all.chunks(share);
        let first = shares.next().unwrap_or_default();
        let each = &each;
        let others: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().map(each).collect::<Vec<_>>())).collect();
        let mut said: Vec<R> = first.iter().map(each).collect();
        for other in others {
            said.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        said
    })
}

/// The receipts of a record, of some in order.
fn of(receipts: &[Receipt], number: u64) -> &[Receipt] {
    let from = &receipts[receipts.partition_point(|receipt| receipt.number < number)..];
    &from[..from.partition_point(|receipt| receipt.number == number)]
}

/// A file that may not be there, as text; what is no text in it was signed by nobody.
fn text(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(String::from_utf8_lossy(&read?).into_owned()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
