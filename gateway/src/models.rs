//! The local store of model files: what was pulled from the hub, on which terms, and whether it still is what it was.
//!
//! | in the store | what |
//! |---|---|
//! | `NAME/manifest.json` | source, commit, digests and licence of a model that was pulled whole ([`manifest`]) |
//! | `NAME/*.gguf` | its files, under their names once their digests were right ([`download`]) |
//! | `NAME/*.part`, `*.part.json` | what came so far of one, and of which commit and digest it is |
//! | `NAME/lock` | held by whoever pulls or removes it |
//!
//! Pulled from the [`hub`] by a [`mod@reference`]; who accepts a licence is told to the gateway for its ledger ([`accepted`]). What
//! other programs keep is read where it lies and never changed ([`elsewhere`]). What a file says of itself is [`described`], who
//! may use it [`terms`]. The gateway serves a file as the `path` of a deployment; of this store it knows as which model of the
//! catalog something was pulled, where the folder of `local.models` is one.

pub mod accepted;
pub mod described;
pub mod download;
pub mod elsewhere;
pub mod hub;
pub mod manifest;
pub mod pick;
pub mod reference;
pub mod terms;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use self::{
    manifest::{MANIFEST, Manifest},
    reference::is_name,
};

/// Models of a store, or of another program, that are looked at.
const MOST_MODELS: usize = 10_000;

/// A store in a folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A model on this machine.
#[derive(Clone, Debug)]
pub struct Held {
    /// The name that commands take.
    pub name: String,
    /// Where it is from: `hf:...`, or another program's name of it.
    pub source: String,
    /// Its files, parts in order.
    pub files: Vec<HeldFile>,
    /// What the store says of it; none of another program's.
    pub manifest: Option<Manifest>,
}

/// A file of a model.
#[derive(Clone, Debug)]
pub struct HeldFile {
    /// Where it is.
    pub path: PathBuf,
    /// The size that it should have, where somebody says so; else the one that it has.
    pub bytes: u64,
    /// The digest that it should have, where somebody says so.
    pub sha256: Option<String>,
}

/// Whether a model is there as it should be, as far as sizes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every file is there.
    Whole,
    /// A file is missing.
    Missing,
    /// A file has another size.
    Changed,
}

impl State {
    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Missing => "a file is missing",
            Self::Changed => "a file has another size",
        }
    }
}

impl Held {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// Whether it is there as it should be, without reading it.
    pub fn state(&self) -> State {
        let of = |file: &HeldFile| match fs::metadata(&file.path) {
            Ok(found) if found.len() == file.bytes => State::Whole,
            Ok(_) => State::Changed,
            Err(_) => State::Missing,
        };
        self.files.iter().map(of).find(|state| *state != State::Whole).unwrap_or(State::Whole)
    }
}

impl Store {
    /// The store in a folder, which need not be there.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a model.
    pub fn of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A model that was pulled whole.
    ///
    /// # Errors
    /// Its manifest cannot be read.
    pub fn model(&self, name: &str) -> io::Result<Option<Held>> {
        if !is_name(name) {
            return Ok(None);
        }
        let folder = self.of(name);
        let manifest = Manifest::read(&folder)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.join(MANIFEST).display())))?;
        Ok(manifest.map(|manifest| {
            let file = |kept: &manifest::Kept| HeldFile {
                path: folder.join(&kept.name),
                bytes: kept.bytes,
                sha256: Some(kept.sha256.clone()),
            };
            let files = manifest.files.iter().map(file).collect();
            Held { name: name.to_owned(), source: manifest.source.clone(), files, manifest: Some(manifest) }
        }))
    }

    /// The models that were pulled whole, by name; and what cannot be read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn models(&self) -> io::Result<(Vec<Held>, Vec<String>)> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            Err(error) => return Err(error),
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries.take(MOST_MODELS) {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        let (mut models, mut unread) = (Vec::new(), Vec::new());
        for name in names {
            match self.model(&name) {
                Ok(model) => models.extend(model),
                Err(error) => unread.push(error.to_string()),
            }
        }
        Ok((models, unread))
    }

    /// Makes the folder of a model, and keeps others from pulling or removing it for as long as the file is held.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be made.
    pub fn lock(&self, name: &str) -> io::Result<File> {
        let folder = self.of(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process pulls or removes `{name}`; wait for its end");
                Err(io::Error::new(io::ErrorKind::WouldBlock, what))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Bytes that the disk of the store has left for us.
    ///
    /// # Errors
    /// The folder is not there, or its file system does not say.
    pub fn room(&self) -> io::Result<u64> {
        let of = rustix::fs::statvfs(&self.folder)?;
        Ok(of.f_bavail.saturating_mul(of.f_frsize))
    }

    /// Removes a model: first its manifest, so that what a crash leaves is no model.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let _one = self.lock(name)?;
        let folder = self.of(name);
        match fs::remove_file(folder.join(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => File::open(&folder)?.sync_all()?,
        }
        fs::remove_dir_all(&folder)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        manifest::{Kept, Terms},
        *,
    };
    use crate::digest;

    fn kept(store: &Store, name: &str, file: &str) -> io::Result<()> {
        drop(store.lock(name)?);
        fs::write(store.of(name).join("a.gguf"), "abc")?;
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let files = vec![Kept { name: file.to_owned(), sha256, bytes: 3 }];
        let terms = Terms { model: None, named: Some("mit".to_owned()) };
        Manifest::new("hf:a/b:a.gguf".into(), "0".repeat(40), files, terms, 1).write(&store.of(name))
    }

    #[test]
    fn a_model_is_what_has_a_manifest_and_changes_of_it_show() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().join("models"));
        assert!(store.models().unwrap().0.is_empty(), "no folder yet");
        kept(&store, "one", "a.gguf").unwrap();
        drop(store.lock("half").unwrap());
        let (models, unread) = store.models().unwrap();
        assert_eq!((models.len(), unread.len(), models[0].name.as_str()), (1, 0, "one"));
        assert_eq!((models[0].state(), models[0].bytes()), (State::Whole, 3));
        let path = &models[0].files[0].path;
        assert_eq!(Some(digest::of(File::open(path).unwrap(), &mut |_| {}).unwrap()), models[0].files[0].sha256);
        fs::write(path, "abcd").unwrap();
        assert_eq!(models[0].state(), State::Changed);
        store.remove("one").unwrap();
        assert!(store.model("one").unwrap().is_none() && !store.of("one").exists());
        assert_eq!(models[0].state(), State::Missing);
        assert!(store.room().unwrap() > 0);
    }

    #[test]
    fn a_manifest_that_names_a_file_elsewhere_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().to_owned());
        kept(&store, "one", "../two/a.gguf").unwrap();
        assert!(store.model("one").unwrap_err().to_string().contains("manifest.json"));
        assert_eq!(store.models().unwrap().1.len(), 1, "and the others are listed");
        assert!(store.model("../one").unwrap().is_none());
    }

    #[test]
    fn one_process_at_a_time_pulls_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().to_owned());
        let one = store.lock("one").unwrap();
        assert!(store.lock("one").unwrap_err().to_string().contains("another process"));
        drop(one);
        store.lock("one").unwrap();
    }
}
