//! Erasing a subject: its lines go from every epoch, and only their pseudonyms are left, which stand for nobody.
//!
//! What goes is written down first, without the subject, so that a crash leaves an erasure that is to be made once more and none
//! that nobody knows of. The records of the log stay as they are. What is not reached: copies that somebody made, and blocks
//! that a disk has freed and not yet written over.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Epoch, Line, names::epochs};
use crate::{config::Hold, keys::replace_file, lines};

/// The file that says what was erased.
pub(super) const ERASED: &str = "erased.jsonl";

/// A pseudonym that stands for nobody any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// When, in Unix milliseconds.
    pub time: u64,
    /// The epoch in which it stood for somebody.
    pub epoch: String,
    /// The pseudonym.
    pub pseudonym: String,
    /// The holds that were passed over.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub despite_holds: Vec<String>,
}

/// What is to be erased.
#[derive(Clone, Copy, Debug)]
pub struct Erasing<'a> {
    /// The subject.
    pub subject: &'a str,
    /// The holds of the configuration.
    pub holds: &'a [Hold],
    /// The names of those that are passed over.
    pub despite: &'a [String],
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
}

/// Why nothing was erased, or not all.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The files.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It has to stay.
    #[error("nothing was erased: the hold `{hold}` covers the epoch {epoch}, in which there is a pseudonym")]
    Held {
        /// The epoch.
        epoch: Epoch,
        /// The hold.
        hold: String,
    },
}

/// What the log does not say yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrecorded {
    /// Pseudonyms that were erased since.
    pub(super) pseudonyms: u64,
    /// All that ever were.
    pub(super) total: u64,
    /// Holds that were passed over for them.
    pub(super) despite_holds: Vec<String>,
}

/// Erases a subject from the ledger in a folder; the pseudonyms that stood for it.
///
/// # Errors
/// A hold covers an epoch that it has a line in: nothing is erased then. Or the files cannot be read or written.
pub fn erase(ledger: &Path, erasing: &Erasing<'_>) -> Result<Vec<Erased>, EraseError> {
    let folder = super::folder(ledger);
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| EraseError::Io { path, source }
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let _one = lines::lock(&folder).map_err(failed(&folder))?;
    let mut kept: Vec<(PathBuf, String)> = Vec::new();
    let mut gone = Vec::new();
    for epoch in epochs(&folder).map_err(failed(&folder))? {
        let path = folder.join(epoch.file());
        let lines: Vec<Line<'_>> = lines::lines(&path).map_err(failed(&path))?;
        let (of_it, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.subject == erasing.subject);
        if of_it.is_empty() {
            continue;
        }
        let (despite, heeded): (Vec<_>, Vec<_>) = erasing
            .holds
            .iter()
            .filter(|hold| epoch.is_held(hold))
            .partition(|hold| erasing.despite.contains(&hold.name));
        if let Some(hold) = heeded.first() {
            return Err(EraseError::Held { epoch, hold: hold.name.clone() });
        }
        let despite_holds: Vec<String> = despite.iter().map(|hold| hold.name.clone()).collect();
        gone.extend(of_it.into_iter().map(|line| Erased {
            time: erasing.now_ms,
            epoch: epoch.to_string(),
            pseudonym: line.pseudonym.into_owned(),
            despite_holds: despite_holds.clone(),
        }));
        kept.push((path, others.iter().map(lines::text).collect()));
    }
    let path = folder.join(ERASED);
    let known: HashSet<String> =
        erased(ledger).map_err(failed(&path))?.into_iter().map(|erased| erased.pseudonym).collect();
    let new: String = gone.iter().filter(|erased| !known.contains(&erased.pseudonym)).map(lines::text).collect();
    if !new.is_empty() {
        lines::append(&path, &new).map_err(failed(&path))?;
    }
    for (path, text) in kept {
        replace_file(&path, text.as_bytes()).map_err(failed(&path))?;
    }
    Ok(gone)
}

/// What was erased from the ledger in a folder, in its order.
///
/// # Errors
/// The file cannot be read.
pub fn erased(ledger: &Path) -> io::Result<Vec<Erased>> {
    lines::lines(&super::folder(ledger).join(ERASED))
}

/// What was erased and the log does not say.
pub(super) fn unrecorded(folder: &Path) -> io::Result<Option<Unrecorded>> {
    let erased: Vec<Erased> = lines::lines(&folder.join(ERASED))?;
    let since = erased.get(lines::told(folder)..).unwrap_or_default();
    if since.is_empty() {
        return Ok(None);
    }
    let despite_holds: BTreeSet<String> = since.iter().flat_map(|erased| erased.despite_holds.clone()).collect();
    Ok(Some(Unrecorded {
        pseudonyms: since.len() as u64,
        total: erased.len() as u64,
        despite_holds: despite_holds.into_iter().collect(),
    }))
}

/// Removes the epochs of the ledger in a folder that were over before a moment: how many there were.
///
/// # Errors
/// The files cannot be read or removed.
pub fn forget_before(ledger: &Path, unix_ms: u64) -> io::Result<usize> {
    let folder = super::folder(ledger);
    let over: Vec<Epoch> = epochs(&folder)?.into_iter().filter(|epoch| epoch.last_ms() < unix_ms).collect();
    if over.is_empty() {
        return Ok(0);
    }
    let _one = lines::lock(&folder)?;
    for epoch in &over {
        let file = epoch.file();
        // The second is what a crash left of an erasure.
        for name in [format!("{file}.new"), file] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    fs::File::open(&folder)?.sync_all()?;
    Ok(over.len())
}
