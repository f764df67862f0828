//! Which records go into files: a file for each sealed segment that a signed checkpoint covers, under the first one that was kept
//! of those that do, so that a later export writes the same file.
//!
//! Nothing is written that would not be verified: the checkpoint is held against the key and all hashes of the ledger first.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use audit::{
    note::{Keys, VerifierKey, notes},
    range::Subtrees,
    tree,
    verify::{self, Read},
};

use super::{check, claims::Claims, file};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Exported {
    pub(super) files: Vec<Exporting>,
    /// The segments that were not, by their first records, and why.
    pub(super) left_out: Vec<(u64, &'static str)>,
}

/// A file.
#[derive(Debug)]
pub(super) struct Exporting {
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Written,
    /// It was there before.
    Kept,
}

/// A segment that goes into a file.
struct Run {
    first: u64,
    count: u64,
    /// The checkpoint over it, and how many records that is over.
    note: String,
    size: u64,
}

/// Writes the files of a ledger into a folder.
///
/// # Errors
/// The ledger is not what it says, or cannot be read; a file cannot be written, or another one is there in its place.
pub(super) fn export(ledger: &Path, key: &VerifierKey, into: &Path) -> anyhow::Result<Exported> {
    let unreadable = || format!("the ledger in `{}` cannot be read", ledger.display());
    let segments = ledger::segments(ledger).with_context(unreadable)?;
    let keys = verify::keys(ledger, key).with_context(unreadable)?.map_err(anyhow::Error::msg)?;
    let (rotations, _) = notes(&text(&ledger.join("tlog/keys")).with_context(unreadable)?);
    let rotations: String = rotations.iter().map(|note| format!("{note}\n")).collect();
    let checkpoints = checkpoints(ledger).with_context(unreadable)?;
    let (mut exported, mut runs) = (Exported::default(), Vec::new());
    for segment in segments {
        let first = segment.first;
        let Some(count) = segment.records else {
            exported.left_out.push((first, "it is still written to"));
            continue;
        };
        match checkpoints.iter().find(|(size, _)| *size >= first + count) {
            Some((size, note)) => runs.push(Run { first, count, note: note.clone(), size: *size }),
            None => exported.left_out.push((first, "not all of it is signed yet")),
        }
    }
    if runs.is_empty() {
        return Ok(exported);
    }
    let subtrees = Subtrees::new(Read::folder(ledger, |_, _| {}).leaves);
    hold(&runs, &keys, &subtrees)?;
    fs::create_dir_all(into).with_context(|| format!("the folder `{}` cannot be made", into.display()))?;
    for run in &runs {
        let around = subtrees.around(run.first, run.first + run.count, run.size);
        let claims = Claims {
            origin: key.name().to_owned(),
            first: run.first,
            count: run.count,
            checkpoint: run.note.clone(),
            keys: rotations.clone(),
            around: around.context("the ledger has fewer records than were signed")?,
        };
        let path = into.join(format!("{:020}.parquet", run.first));
        let state = match path.exists() {
            true => kept(&path, &claims)?,
            false => written(ledger, &path, &claims, &subtrees)?,
        };
        exported.files.push(Exporting { path, first: run.first, count: run.count, state });
    }
    Ok(exported)
}

/// The checkpoints of a ledger, the kept ones first, with their sizes. Who signed them is another matter.
fn checkpoints(ledger: &Path) -> io::Result<Vec<(u64, String)>> {
    let (mut all, _) = notes(&text(&ledger.join("tlog/checkpoints"))?);
    all.push(text(&ledger.join("tlog/checkpoint"))?);
    let sized = all.into_iter().filter_map(|note| Some((note.lines().nth(1)?.parse().ok()?, note)));
    Ok(sized.collect())
}

/// Holds the checkpoints of all files against the key and the hashes of the ledger.
fn hold(runs: &[Run], keys: &Keys, subtrees: &Subtrees) -> anyhow::Result<()> {
    let sizes: BTreeSet<usize> = runs.iter().filter_map(|run| usize::try_from(run.size).ok()).collect();
    let sizes: Vec<usize> = sizes.into_iter().filter(|size| *size <= subtrees.leaves().len()).collect();
    let roots = tree::roots(subtrees.leaves(), &sizes);
    for run in runs {
        let checkpoint = keys.checkpoint(&run.note);
        let checkpoint = checkpoint.with_context(|| {
            format!("the checkpoint over {} records was not signed by the key; see `pointsman-audit verify`", run.size)
        })?;
        let found = sizes.iter().position(|size| *size as u64 == checkpoint.size).and_then(|at| roots.get(at));
        ensure!(
            found == Some(&checkpoint.root),
            "the first {} records are not those that were signed; see `pointsman-audit verify`",
            checkpoint.size
        );
    }
    Ok(())
}

/// A file that is there stays, if it is of the same records.
fn kept(path: &Path, claims: &Claims) -> anyhow::Result<State> {
    let found = check::claims(path).with_context(|| format!("`{}` is there and cannot be read", path.display()))?;
    let is_same = found.origin == claims.origin && (found.first, found.count) == (claims.first, claims.count);
    ensure!(is_same, "`{}` is there and has other records; name another folder by --out", path.display());
    Ok(State::Kept)
}

/// Writes a file beside its place and puts it there once it is whole.
fn written(ledger: &Path, path: &Path, claims: &Claims, subtrees: &Subtrees) -> anyhow::Result<State> {
    let unwritable = || format!("`{}` cannot be written", path.display());
    let new = path.with_extension("parquet.new");
    let file = File::create(&new).with_context(unwritable)?;
    let mut out = BufWriter::new(file);
    let mut records = ledger::read_from(ledger, claims.first)?;
    let cells = (claims.first..claims.first + claims.count).map(|number| {
        let Some(record) = records.next() else { bail!("record {number} is not there any more") };
        let (position, record) = record?;
        let leaf = usize::try_from(number).ok().and_then(|at| subtrees.leaves().get(at));
        ensure!(
            position.sequence == number && leaf == Some(&tree::leaf(&record)),
            "record {number} is not what it was when it was hashed: it was pruned meanwhile, or see `pointsman-audit verify`"
        );
        Ok(file::cells(number, record))
    });
    file::write(&mut out, claims.entries(), cells).with_context(unwritable)?;
    out.flush().with_context(unwritable)?;
    out.get_ref().sync_all().with_context(unwritable)?;
    fs::rename(&new, path).with_context(unwritable)?;
    Ok(State::Written)
}

/// A file that may not be there, as text.
fn text(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(String::from_utf8_lossy(&read?).into_owned()),
    }
}
