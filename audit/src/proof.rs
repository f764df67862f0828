//! Proofs for somebody who has none of the records.
//!
//! - That one record is in a log (c2sp.org/tlog-proof): its number, the hashes beside its way to the root, and the checkpoint that
//!   says the root.
//! - That a log only grew since a checkpoint that was put away: the size of that one, the hashes that lead from its root to that of
//!   a newer checkpoint, and that one. It is what a log sends to a witness (c2sp.org/tlog-witness), so a witness can check it too.

use std::{fmt::Write as _, fs, io, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    fields::Fields,
    note::{Checkpoint, Keys, VerifierKey},
    segments::{self, Broken},
    tiles,
    tree::{self, Hash},
    verify::{self, Read},
};

/// How the proof of a record begins.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// How the proof that a log only grew begins.
const OLD: &str = "old ";
/// No proof is longer: a log has fewer than 2^64 records.
const MOST_HASHES: usize = 64;

/// Why there is no proof, or none that holds.
#[derive(Debug)]
pub enum NoProof {
    /// The file system.
    Io(io::Error),
    /// In plain words.
    Because(String),
}

impl std::fmt::Display for NoProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Because(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NoProof {}

/// A record of a ledger, by its number.
///
/// # Errors
/// There is none of that number, or it cannot be read.
pub fn record(folder: &Path, number: u64) -> Result<Vec<u8>, NoProof> {
    match segments::record(folder, number) {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(NoProof::Because(format!("there is no record {number}"))),
        Err(Broken::Io(error)) => Err(NoProof::Io(error)),
        Err(Broken::Altered(why)) => Err(NoProof::Because(format!("there is no record {number}: {why}"))),
    }
}

/// The number of the record that says what was decided on a request.
///
/// # Errors
/// There is none, or there are several, or the ledger cannot be read.
pub fn decision(folder: &Path, request: &str) -> Result<u64, NoProof> {
    let first = tiles::pruned(folder).map_err(NoProof::Io)?.unwrap_or(0);
    let is_it = |at, record: &[u8]| Fields::of(record).is_decision_on(request).then_some(at);
    let (found, end) = segments::records(folder, first, is_it);
    let found: Vec<u64> = found.into_iter().flatten().collect();
    match (&found[..], end) {
        (_, Err(Broken::Io(error))) => Err(NoProof::Io(error)),
        ([number], _) => Ok(*number),
        ([], Err(Broken::Altered(why))) => {
            Err(NoProof::Because(format!("no decision on `{request}` was found: {why}")))
        }
        ([], Ok(_)) => Err(NoProof::Because(format!("there is no decision on a request `{request}`"))),
        (several, _) => {
            let several: Vec<String> = several.iter().take(10).map(u64::to_string).collect();
            let why =
                format!("there are several decisions on `{request}`; name one by its number: {}", several.join(", "));
            Err(NoProof::Because(why))
        }
    }
}

/// The proof that a record is in the ledger of a folder, under its newest checkpoint.
///
/// # Errors
/// The record is not under it, or the ledger is not what it says.
pub fn prove(folder: &Path, key: &VerifierKey, index: u64) -> Result<String, NoProof> {
    let (checkpoint, note) = newest(folder, key)?;
    if index >= checkpoint.size {
        let why = format!("record {index} is not signed yet: the newest checkpoint is over {}", checkpoint.size);
        return Err(NoProof::Because(why));
    }
    let leaves = signed(folder, &checkpoint)?;
    let mut proof = format!("{FIRST_LINE}\nindex {index}\n");
    write_hashes(&mut proof, &tree::inclusion(&leaves, index as usize));
    Ok(format!("{proof}\n{note}"))
}

/// The proof that the ledger of a folder, under its newest checkpoint, only grew since a checkpoint that was put away.
///
/// # Errors
/// It did not, or the ledger is not what it says.
pub fn prove_consistency(folder: &Path, key: &VerifierKey, old: &str) -> Result<String, NoProof> {
    let old = keys(folder, key)?.checkpoint(old).ok_or_else(old_not_signed)?;
    let (checkpoint, note) = newest(folder, key)?;
    if old.size > checkpoint.size {
        let why = format!(
            "the old checkpoint is over {} records, the newest one of the ledger over {}; see `verify`",
            old.size, checkpoint.size
        );
        return Err(NoProof::Because(why));
    }
    let leaves = signed(folder, &checkpoint)?;
    if tree::root(&leaves[..old.size as usize]) != old.root {
        let why = format!("the first {} records are not those of the old checkpoint; see `verify`", old.size);
        return Err(NoProof::Because(why));
    }
    let mut proof = format!("{OLD}{}\n", old.size);
    write_hashes(&mut proof, &tree::consistency(&leaves, old.size as usize));
    Ok(format!("{proof}\n{note}"))
}

/// The newest checkpoint of a folder, and its note.
fn newest(folder: &Path, key: &VerifierKey) -> Result<(Checkpoint, String), NoProof> {
    let note = fs::read_to_string(folder.join("tlog/checkpoint")).map_err(NoProof::Io)?;
    let checkpoint = keys(folder, key)?.checkpoint(&note);
    let checkpoint =
        checkpoint.ok_or_else(|| NoProof::Because("the newest checkpoint was not signed by the key".to_owned()))?;
    Ok((checkpoint, note))
}

fn keys(folder: &Path, key: &VerifierKey) -> Result<Keys, NoProof> {
    verify::keys(folder, key).map_err(NoProof::Io)?.map_err(NoProof::Because)
}

fn old_not_signed() -> NoProof {
    NoProof::Because("the old checkpoint was not signed by the key".to_owned())
}

/// The leaves under a checkpoint.
fn signed(folder: &Path, checkpoint: &Checkpoint) -> Result<Vec<Hash>, NoProof> {
    let mut leaves = Read::folder(folder, |_, _| {}).leaves;
    let is_there = usize::try_from(checkpoint.size).is_ok_and(|size| size <= leaves.len());
    leaves.truncate(checkpoint.size as usize);
    match is_there && tree::root(&leaves) == checkpoint.root {
        true => Ok(leaves),
        false => Err(NoProof::Because("the records are not those that were signed; see `verify`".to_owned())),
    }
}

fn write_hashes(proof: &mut String, hashes: &[Hash]) {
    for hash in hashes {
        let _ = writeln!(proof, "{}", BASE64_STANDARD.encode(hash));
    }
}

/// Hashes, one a line, of a proof; `None` where a line is no hash, or there are more than any proof has.
fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<Hash>> {
    let hashes: Option<Vec<Hash>> =
        lines.take(MOST_HASHES + 1).map(|line| BASE64_STANDARD.decode(line).ok()?.try_into().ok()).collect();
    hashes.filter(|hashes| hashes.len() <= MOST_HASHES)
}

/// The number of a record that a proof proves to be in the log of a key.
///
/// # Errors
/// It does not.
pub fn check(proof: &str, record: &[u8], key: &VerifierKey) -> Result<u64, NoProof> {
    let no = |why: &str| NoProof::Because(why.to_owned());
    let (head, note) = proof.split_once("\n\n").ok_or_else(|| no("it is no proof: there is no checkpoint in it"))?;
    let mut lines = head.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(no("it is no proof: its first line is another"));
    }
    let index = lines.next().and_then(|line| line.strip_prefix("index ")?.parse().ok());
    let index: u64 = index.ok_or_else(|| no("it is no proof: there is no index in it"))?;
    let path = hashes(lines).ok_or_else(|| no("it is no proof: it has lines that are no hashes"))?;
    let checkpoint = key.checkpoint(note).ok_or_else(|| no("its checkpoint was not signed by the key"))?;
    match tree::root_by(tree::leaf(record), index, checkpoint.size, &path) {
        Some(root) if root == checkpoint.root => Ok(index),
        _ => Err(no("the record is not the one that the proof is about")),
    }
}

/// The checkpoint that a proof proves to be of a log which only grew since an older one. The keys are those of the log: one, and
/// the later ones where it was rotated.
///
/// # Errors
/// It does not.
pub fn check_consistency(proof: &str, old: &str, keys: &[VerifierKey]) -> Result<Checkpoint, NoProof> {
    let no = |why: &str| NoProof::Because(why.to_owned());
    if keys.iter().any(|key| key.name() != keys[0].name()) {
        return Err(no("the keys are of several logs"));
    }
    let signed = |note: &str| keys.iter().find_map(|key| key.checkpoint(note));
    let old = signed(old).ok_or_else(old_not_signed)?;
    let (head, note) = proof.split_once("\n\n").ok_or_else(|| no("it is no proof: there is no checkpoint in it"))?;
    let mut lines = head.lines();
    let from = lines.next().and_then(|line| line.strip_prefix(OLD)?.parse::<u64>().ok());
    let from = from.ok_or_else(|| no("it is no proof: its first line does not say from which size"))?;
    let path = hashes(lines).ok_or_else(|| no("it is no proof: it has lines that are no hashes"))?;
    let new = signed(note).ok_or_else(|| no("its checkpoint was not signed by the key"))?;
    if from != old.size {
        let why = format!("the proof is about a checkpoint over {from} records, the old one is over {}", old.size);
        return Err(NoProof::Because(why));
    }
    match tree::extends((old.size, old.root), (new.size, new.root), &path) {
        true => Ok(new),
        false => Err(no("the log of its checkpoint does not begin with the records of the old one")),
    }
}
