//! The digests of a file of weights and of files beside it, for licences that counsel concluded from them.
//!
//! Gigabytes are read once: a digest is kept for as long as the file keeps its size and the time of its last change.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use catalog::Weights;

use crate::digest;

/// Files whose digests are kept at most.
const MAX_KEPT: usize = 256;
/// A licence file is not larger; one that is has another digest than any that was signed.
const MAX_BESIDE: u64 = 1 << 20;

/// What a file was when its digest was taken.
#[derive(PartialEq)]
struct State {
    bytes: u64,
    changed: Option<SystemTime>,
}

static KEPT: Mutex<Option<HashMap<PathBuf, (State, String)>>> = Mutex::new(None);

/// The weights in the file at `path`, with those of the files `beside` it that are there.
///
/// # Errors
/// The file of weights cannot be read.
pub(crate) fn look(path: &Path, beside: &[&str]) -> io::Result<Weights> {
    let sha256 = kept(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = beside.iter().filter_map(|name| Some(((*name).to_owned(), small(&folder.join(name))?)));
    Ok(Weights { sha256, beside: beside.collect() })
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
        let weights = look(&path, &["LICENSE", "NOTICE"]).unwrap();
        assert_eq!(weights.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(weights.beside, [("LICENSE".to_owned(), empty.to_owned())].into());
        std::fs::write(&path, "abcd").unwrap();
        assert_ne!(look(&path, &[]).unwrap().sha256, weights.sha256);
        assert!(look(&folder.path().join("gone"), &[]).is_err());
    }
}
