//! Holds a ledger's records against every checkpoint that was signed over them.

use std::{fs, io, path::Path};

use serde::Serialize;

use crate::{
    note::{Checkpoint, VerifierKey, notes},
    segments::{Broken, End, records},
    tree::{self, Hash},
};

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
    /// It cannot be read.
    Unreadable = 7,
}

/// A verification.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was found, the worst of it.
    pub verdict: Verdict,
    /// Records that are there.
    pub records: u64,
    /// How many of them are under the newest checkpoint.
    pub signed: u64,
    /// Checkpoints that were held against them.
    pub checkpoints: usize,
    /// What is wrong, or noteworthy.
    pub findings: Vec<String>,
}

/// The hashes of a ledger's records, and what was found on the way.
pub struct Read {
    /// Of each record.
    pub leaves: Vec<Hash>,
    end: Result<End, Broken>,
}

impl Read {
    /// Reads the records of a ledger's folder as far as they can be read.
    pub fn folder(folder: &Path) -> Self {
        let (leaves, end) = records(folder, |_, record| tree::leaf(record));
        Self { leaves, end }
    }
}

/// Verifies the ledger in a folder by its key. `kept` are checkpoints that somebody put away: what the folder itself says now
/// may have been made anew with all its checkpoints, what they say may not.
pub fn verify(folder: &Path, key: &VerifierKey, kept: &[String]) -> Report {
    let mut report = Report { verdict: Verdict::Ok, records: 0, signed: 0, checkpoints: 0, findings: Vec::new() };
    let read = Read::folder(folder);
    report.records = read.leaves.len() as u64;
    let torn = match read.end {
        Ok(End::Whole) => false,
        Ok(End::Torn) => true,
        Err(Broken::Altered(why)) => {
            report.finds(Verdict::Altered, why);
            false
        }
        Err(Broken::Io(error)) => {
            report.finds(Verdict::Unreadable, format!("the records cannot be read: {error}"));
            return report;
        }
    };
    let history = match fs::read(folder.join("tlog/checkpoints")) {
        // What is no text was not signed as one.
        Ok(history) => String::from_utf8_lossy(&history).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.finds(Verdict::Altered, "there are no checkpoints, so nothing can be verified".to_owned());
            String::new()
        }
        Err(error) => {
            report.finds(Verdict::Unreadable, format!("the checkpoints cannot be read: {error}"));
            return report;
        }
    };
    let (own, last_torn) = notes(&history);
    if last_torn {
        report.findings.push("the last checkpoint is torn, as a crash leaves it; it counts for nothing".to_owned());
    }
    let mut all: Vec<Checkpoint> = Vec::new();
    for (nth, note) in own.iter().enumerate() {
        match key.checkpoint(note) {
            Some(checkpoint) if all.last().is_none_or(|before| before.size < checkpoint.size) => all.push(checkpoint),
            Some(_) => {
                report.finds(Verdict::Altered, format!("checkpoint {} is over no more than the one before", nth + 1))
            }
            None => report.finds(Verdict::Altered, format!("checkpoint {} was not signed by the key", nth + 1)),
        }
    }
    if let Ok(newest) = fs::read(folder.join("tlog/checkpoint")) {
        match key.checkpoint(&String::from_utf8_lossy(&newest)) {
            Some(checkpoint) => all.push(checkpoint),
            None => report.finds(Verdict::Altered, "the newest checkpoint was not signed by the key".to_owned()),
        }
    }
    for (nth, note) in kept.iter().enumerate() {
        match key.checkpoint(note) {
            Some(checkpoint) => all.push(checkpoint),
            None => report.finds(Verdict::Altered, format!("kept checkpoint {} was not signed by the key", nth + 1)),
        }
    }
    all.sort_by_key(|checkpoint| checkpoint.size);
    report.checkpoints = all.len();
    report.signed = all.last().map_or(0, |newest| newest.size);
    report.holds(&read.leaves, &all, torn);
    report
}

impl Report {
    fn finds(&mut self, verdict: Verdict, why: String) {
        // What was altered is worse than what is missing; what cannot be read says least.
        let worse = |verdict| match verdict {
            Verdict::Ok => 0,
            Verdict::Unreadable => 1,
            Verdict::Truncated => 2,
            Verdict::Altered => 3,
        };
        if worse(verdict) > worse(self.verdict) {
            self.verdict = verdict;
        }
        self.findings.push(why);
    }

    /// Holds the records against checkpoints in order of their sizes.
    fn holds(&mut self, leaves: &[Hash], all: &[Checkpoint], torn: bool) {
        let within = all.partition_point(|checkpoint| checkpoint.size <= leaves.len() as u64);
        let sizes: Vec<usize> = all[..within].iter().map(|checkpoint| checkpoint.size as usize).collect();
        let mut good = 0;
        for (checkpoint, root) in all.iter().zip(tree::roots(leaves, &sizes)) {
            if root != checkpoint.root {
                let (from, size) = (good, checkpoint.size);
                let why = format!("records {from} to {} are not those that were signed", size.saturating_sub(1));
                self.finds(Verdict::Altered, why);
                return;
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
            (false, true) => {
                self.findings.push("a torn record at the end was never signed; a crash leaves one".to_owned())
            }
            (false, false) => {}
        }
    }
}
