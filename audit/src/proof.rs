//! That one record is in a log, for somebody who has none of the others (c2sp.org/tlog-proof): its number, the hashes beside its
//! way to the root, and the checkpoint that says the root.

use std::{fmt::Write as _, fs, io, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    note::VerifierKey,
    tree::{self, Hash},
    verify::Read,
};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

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

/// The proof that a record is in the ledger of a folder, under its newest checkpoint.
///
/// # Errors
/// The record is not under it, or the ledger is not what it says.
pub fn prove(folder: &Path, key: &VerifierKey, index: u64) -> Result<String, NoProof> {
    let note = fs::read_to_string(folder.join("tlog/checkpoint")).map_err(NoProof::Io)?;
    let because = |why: String| NoProof::Because(why);
    let checkpoint = key.checkpoint(&note);
    let checkpoint = checkpoint.ok_or_else(|| because("the newest checkpoint was not signed by the key".to_owned()))?;
    if index >= checkpoint.size {
        return Err(because(format!(
            "record {index} is not signed yet: the newest checkpoint is over {}",
            checkpoint.size
        )));
    }
    let leaves = Read::folder(folder).leaves;
    let signed = usize::try_from(checkpoint.size).ok().and_then(|size| leaves.get(..size));
    let signed = signed.filter(|leaves| tree::root(leaves) == checkpoint.root);
    let signed =
        signed.ok_or_else(|| because("the records are not those that were signed; see `verify`".to_owned()))?;
    let mut proof = format!("{FIRST_LINE}\nindex {index}\n");
    for hash in tree::inclusion(signed, index as usize) {
        let _ = writeln!(proof, "{}", BASE64_STANDARD.encode(hash));
    }
    Ok(format!("{proof}\n{note}"))
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
    let path: Option<Vec<Hash>> = lines.map(|line| BASE64_STANDARD.decode(line).ok()?.try_into().ok()).collect();
    let path =
        path.filter(|path| path.len() <= 64).ok_or_else(|| no("it is no proof: it has lines that are no hashes"))?;
    let checkpoint = key.checkpoint(note).ok_or_else(|| no("its checkpoint was not signed by the key"))?;
    match tree::root_by(tree::leaf(record), index, checkpoint.size, &path) {
        Some(root) if root == checkpoint.root => Ok(index),
        _ => Err(no("the record is not the one that the proof is about")),
    }
}
