//! Brings one file into a folder: taken up where it broke off, and under its name only once its digest is right.
//!
//! The bytes go to `NAME.part`, and beside it `NAME.part.json` says of which commit and digest they are: those of another are
//! not gone on from. A connection that breaks is made again after a growing pause; attempts that bring nothing are counted, and
//! so are all. Bytes beyond the size that was said are not taken. A part whose digest is wrong is removed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use remote::Streamed;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::hub::{Hub, HubError, Offered};
use crate::{
    digest,
    keys::{hex, replace_file},
};

/// Attempts one after the other that bring nothing.
const MOST_IN_VAIN: u32 = 6;
/// All attempts at a file: a hub that gives a few bytes at a time does not keep us for ever.
const MOST: u32 = 1_000;
/// The pause before the second attempt; each that brings nothing doubles it.
const PAUSE: Duration = Duration::from_millis(250);

/// Of which file the bytes of a part are.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    commit: String,
    sha256: String,
    bytes: u64,
}

/// Where a file comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The hub.
    pub hub: &'a Hub,
    /// `owner/name`.
    pub repository: &'a str,
    /// The commit.
    pub commit: &'a str,
    /// The file.
    pub file: &'a Offered,
}

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The hub.
    #[error("{0}")]
    Hub(HubError),
    /// It broke off too often.
    #[error("it broke off {attempts} times, at last because {why}; what is there is kept: run the same command again")]
    Cut {
        /// How often.
        attempts: u32,
        /// Why the last time.
        why: String,
    },
    /// It is not what the hub said.
    #[error(
        "what came of `{path}` is not the file that the hub lists: its SHA-256 is {found}, expected {expected}; it was removed"
    )]
    WrongDigest {
        /// The file.
        path: String,
        /// Its digest.
        found: String,
        /// That of the hub.
        expected: String,
    },
    /// It has more bytes than the hub said.
    #[error("what came of `{path}` is longer than the {bytes} bytes that the hub lists; it was removed")]
    TooLong {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// The disk.
    #[error("`{}` cannot be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What is there of a file already, if it is of this commit and digest.
pub fn begun(target: &Path, commit: &str, file: &Offered) -> u64 {
    let (part, note) = (target.with_added_extension("part"), target.with_added_extension("part.json"));
    let known = fs::read(note).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
    let held = fs::metadata(part).map_or(0, |of| of.len());
    if known == Some(note_of(commit, file)) && held <= file.bytes { held } else { 0 }
}

/// Brings a file to `target`, telling `progress` how many of its bytes are there.
///
/// # Errors
/// It did not come whole; what came of it is kept, unless it is wrong.
pub async fn download(from: Origin<'_>, target: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), DownloadError> {
    let (part, note) = (target.with_added_extension("part"), target.with_added_extension("part.json"));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| DownloadError::Io { path, source }
    };
    let Origin { hub, commit, file: wanted, .. } = from;
    let mut held = begun(target, commit, wanted);
    let mut out =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&part).map_err(io(&part))?;
    out.set_len(held).map_err(io(&part))?;
    let text = serde_json::to_vec(&note_of(commit, wanted)).unwrap_or_default();
    replace_file(&note, &text).map_err(io(&note))?;
    let mut hash = Sha256::new();
    digest::read_through(&mut out, &mut hash, &mut |_| {}).map_err(io(&part))?;
    progress(held);
    let (mut attempts, mut in_vain) = (0, 0);
    while held < wanted.bytes {
        attempts += 1;
        let before = held;
        let why = match hub.file(from.repository, commit, &wanted.path, held).await {
            Ok(mut answer) => {
                if held > 0 && !goes_on(&answer, held) {
                    // A hub that knows no ranges begins anew.
                    if answer.status != http::StatusCode::OK {
                        return Err(DownloadError::Hub(HubError::Final(
                            "the hub answers with another range than was asked for".to_owned(),
                        )));
                    }
                    (held, hash) = (0, Sha256::new());
                    out = File::create(&part).map_err(io(&part))?;
                }
                loop {
                    match hub.next(&mut answer).await {
                        Ok(Some(bytes)) if held + bytes.len() as u64 > wanted.bytes => {
                            discard(&[&part, &note]);
                            let path = wanted.path.escape_debug().to_string();
                            return Err(DownloadError::TooLong { path, bytes: wanted.bytes });
                        }
                        Ok(Some(bytes)) => {
                            out.write_all(&bytes).map_err(io(&part))?;
                            hash.update(&bytes);
                            held += bytes.len() as u64;
                            progress(held);
                        }
                        Ok(None) => break "it ended early".to_owned(),
                        Err(error) => break error.to_string(),
                    }
                }
            }
            Err(HubError::Again(why)) => why,
            Err(error) => return Err(DownloadError::Hub(error)),
        };
        if held >= wanted.bytes {
            break;
        }
        in_vain = if held > before { 0 } else { in_vain + 1 };
        if in_vain >= MOST_IN_VAIN || attempts >= MOST {
            out.sync_all().map_err(io(&part))?;
            return Err(DownloadError::Cut { attempts, why });
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(in_vain)).await;
    }
    let found = hex(&hash.finalize());
    if found != wanted.sha256 {
        discard(&[&part, &note]);
        let path = wanted.path.escape_debug().to_string();
        return Err(DownloadError::WrongDigest { path, found, expected: wanted.sha256.clone() });
    }
    out.sync_all().map_err(io(&part))?;
    fs::rename(&part, target).map_err(io(target))?;
    let folder = target.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    // One that is left says nothing of any part.
    let _ = fs::remove_file(&note);
    Ok(())
}

/// Removes what is wrong.
fn discard(paths: &[&Path]) {
    for path in paths {
        // One that stays is not gone on from: its digest is wrong again.
        let _ = fs::remove_file(path);
    }
}

fn note_of(commit: &str, file: &Offered) -> Note {
    Note { commit: commit.to_owned(), sha256: file.sha256.clone(), bytes: file.bytes }
}

/// Whether the answer goes on where we are.
fn goes_on(answer: &Streamed, held: u64) -> bool {
    let range = answer.headers.get("content-range").and_then(|range| range.to_str().ok()).unwrap_or_default();
    answer.status == http::StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {held}-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_another_commit_or_digest_is_not_gone_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.gguf");
        let file = Offered { path: "a.gguf".into(), bytes: 9, sha256: "ab".repeat(32) };
        assert_eq!(begun(&target, "c1", &file), 0);
        fs::write(target.with_added_extension("part"), "1234").unwrap();
        assert_eq!(begun(&target, "c1", &file), 0, "nobody says what it is of");
        fs::write(target.with_added_extension("part.json"), serde_json::to_vec(&note_of("c1", &file)).unwrap())
            .unwrap();
        assert_eq!(begun(&target, "c1", &file), 4);
        assert_eq!(begun(&target, "c2", &file), 0);
        assert_eq!(begun(&target, "c1", &Offered { sha256: "cd".repeat(32), ..file.clone() }), 0);
        fs::write(target.with_added_extension("part"), "1234567890").unwrap();
        assert_eq!(begun(&target, "c1", &file), 0, "longer than the file");
    }
}
