//! Pseudonyms -> subjects, for whoever reads the ledger.
//!
//! Who may read the log and not the folder of its subjects, or has a copy of the log alone, finds nobody.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Epoch, Line};
use crate::lines::{self, Stamp};

/// The subjects of a ledger. A gateway may add to them meanwhile.
#[derive(Debug)]
pub struct Names {
    folder: PathBuf,
    loaded: RefCell<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    of: HashMap<Box<str>, Found>,
    /// Pseudonyms that were looked for in vain.
    missing: HashSet<Box<str>>,
    files: Vec<(Epoch, Option<Stamp>)>,
}

/// Who stands behind a pseudonym.
#[derive(Clone, Debug)]
pub struct Found {
    /// The id of a key, or `header:NAME:VALUE` or `metadata:NAME:VALUE`.
    pub subject: Arc<str>,
    /// When it stands for that.
    pub epoch: Epoch,
}

impl Names {
    /// Those of the ledger in a folder; nothing is read yet.
    pub fn of(ledger: &Path) -> Self {
        Self { folder: super::folder(ledger), loaded: RefCell::default() }
    }

    /// Who stands behind a pseudonym; nobody where that was erased.
    ///
    /// # Errors
    /// A file cannot be read, other than for want of permission.
    pub fn find(&self, pseudonym: &str) -> io::Result<Option<Found>> {
        let loaded = self.loaded.borrow();
        if let Some(found) = loaded.of.get(pseudonym) {
            return Ok(Some(found.clone()));
        }
        if loaded.missing.contains(pseudonym) {
            return Ok(None);
        }
        drop(loaded);
        self.load()?;
        let mut loaded = self.loaded.borrow_mut();
        let found = loaded.of.get(pseudonym).cloned();
        if found.is_none() {
            loaded.missing.insert(pseudonym.into());
        }
        Ok(found)
    }

    /// All that is known now, by pseudonym.
    ///
    /// # Errors
    /// As [`Names::find`].
    pub fn all(&self) -> io::Result<Vec<(String, Found)>> {
        self.load()?;
        let loaded = self.loaded.borrow();
        Ok(loaded.of.iter().map(|(pseudonym, found)| (pseudonym.to_string(), found.clone())).collect())
    }

    /// Reads the files, unless they are as they were.
    fn load(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for epoch in epochs(&self.folder)? {
            files.push((epoch, lines::stamp(&self.folder.join(epoch.file()))?));
        }
        let mut loaded = self.loaded.borrow_mut();
        if loaded.files == files {
            return Ok(());
        }
        let mut of = HashMap::new();
        for (epoch, _) in &files {
            let lines: Vec<Line<'_>> = readable(lines::lines(&self.folder.join(epoch.file())))?;
            of.extend(lines.into_iter().map(|Line { subject, pseudonym }| {
                (pseudonym.into(), Found { subject: subject.into(), epoch: *epoch })
            }));
        }
        (loaded.of, loaded.files) = (of, files);
        Ok(())
    }
}

/// The epochs that have a file in a folder, oldest first; none where there is no folder, or none that may be read.
pub(super) fn epochs(folder: &Path) -> io::Result<Vec<Epoch>> {
    let entries = readable(fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>))?;
    let mut epochs: Vec<Epoch> =
        entries.iter().filter_map(|entry| Epoch::of_file(entry.file_name().to_str()?)).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// Nothing, where there is nothing or it may not be read.
fn readable<T>(read: io::Result<Vec<T>>) -> io::Result<Vec<T>> {
    match read {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(Vec::new())
        }
        read => read,
    }
}
