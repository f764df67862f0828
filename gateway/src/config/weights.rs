//! The digests of weights and of files beside them, for licences that counsel concluded from them.
//!
//! Where a folder has several files of weights, their digest is that of the list of theirs, as
//! `sha256sum *.safetensors | sha256sum` tells it there. Gigabytes are read once: a digest is kept for as long as the file keeps
//! its size and the time of its last change.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::Weights;
use crate::digest;

/// Files whose digests are kept at most.
const MAX_KEPT: usize = 256;
/// A licence file is not larger; one that is has another digest than any that was signed.
const MAX_BESIDE: u64 = 1 << 20;

/// Files of a folder that are looked at.
const MAX_FILES: usize = 10_000;

/// What a file was when its digest was taken.
#[derive(PartialEq)]
struct State {
    bytes: u64,
    changed: Option<SystemTime>,
}

static KEPT: Mutex<Option<HashMap<PathBuf, (State, String)>>> = Mutex::new(None);

/// Weights, with those of the files `beside` them that are there; none of those that are built in.
///
/// # Errors
/// A file of weights cannot be read.
pub(crate) fn look(weights: &Weights, beside: &[&str]) -> io::Result<Option<catalog::Weights>> {
    let (Some(path), Some(folder)) = (weights.path(), weights.surroundings()) else { return Ok(None) };
    let sha256 = if matches!(weights, Weights::File(_)) { kept(path)? } else { of_folder(folder)? };
    let beside = beside.iter().filter_map(|name| Some(((*name).to_owned(), small(&folder.join(name))?)));
    Ok(Some(catalog::Weights { sha256, beside: beside.collect() }))
}

/// The digest of all files of weights in a folder.
fn of_folder(folder: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_FILES) {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".safetensors") || name.ends_with(".uqff") {
            names.push(name);
        }
    }
    names.sort();
    let mut list = String::new();
    for name in &names {
        let digest = kept(&folder.join(name))?;
        if names.len() == 1 {
            return Ok(digest);
        }
        let _ = writeln!(list, "{digest}  {name}");
    }
    match list.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the folder has no file of weights")),
        false => digest::of(list.as_bytes(), &mut |_| {}),
    }
}

fn kept(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let state = State { bytes: metadata.len(), changed: metadata.modified().ok() };
    let lock = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, digest)) = lock().as_ref().and_then(|kept| kept.get(path))
        && *known == state
    {
        return Ok(digest.clone());
    }
    if state.bytes > MAX_BESIDE {
        tracing::info!(path = %path.display(), bytes = state.bytes, "reading a file of weights for its digest");
    }
    let digest = digest::of(file, &mut |_| {})?;
    let mut kept = lock();
    let kept = kept.get_or_insert_default();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(path.to_owned(), (state, digest.clone()));
    Ok(digest)
}

/// The digest of a small file, if it is there and is one.
fn small(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let is_small = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BESIDE);
    is_small.then(|| digest::of(file, &mut |_| {}).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_file_as_it_is_now_and_what_is_not_there_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.gguf");
        std::fs::write(&path, "abc").unwrap();
        std::fs::write(folder.path().join("LICENSE"), "").unwrap();
        let look = |path: &Path, beside: &[&str]| super::look(&Weights::at(path.to_owned()), beside);
        let weights = look(&path, &["LICENSE", "NOTICE"]).unwrap().unwrap();
        assert_eq!(weights.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(weights.beside, [("LICENSE".to_owned(), empty.to_owned())].into());
        std::fs::write(&path, "abcd").unwrap();
        assert_ne!(look(&path, &[]).unwrap().unwrap().sha256, weights.sha256);
        assert!(look(&folder.path().join("gone"), &[]).is_err());
        assert_eq!(super::look(&Weights::BuiltIn, &[]).unwrap(), None);
    }

    #[test]
    fn of_several_files_the_digest_is_that_of_their_list_and_of_one_it_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let digest = || look(&Weights::at(folder.path().to_owned()), &["LICENSE"]).unwrap().unwrap();
        write("config.json", "{}");
        assert!(look(&Weights::at(folder.path().to_owned()), &[]).is_err(), "there are no weights");
        write("LICENSE", "");
        write("model-00001-of-00002.safetensors", "abc");
        assert_eq!(digest().sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest().beside.len(), 1);
        write("model-00002-of-00002.safetensors", "");
        let list = "84510589e2fc20347cc538e82ef7692f73bc8366ef0c53d134177be9fc57e1e4";
        assert_eq!(digest().sha256, list, "sha256sum *.safetensors | sha256sum");
        write("model-00002-of-00002.safetensors", "d");
        assert_ne!(digest().sha256, list);
    }
}
