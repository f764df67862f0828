//! Files that callers upload and that batches write: on disk, each team's in a folder of its own.
//!
//! A file is its content (`ID.jsonl`) and what is said of it (`ID.json`), which is written last and so makes it one: what is
//! left of an upload that was cut off is nothing. A team finds only its own files, and has so many bytes of them. Ids are
//! made here, and an id that could not have been is not looked for. Does blocking I/O. Knows nothing of HTTP.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    keys::{hex, replace_file},
    settle::now_ms,
};

/// The files of all teams.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    bytes_per_team: u64,
}

/// The files of one team.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    bytes: u64,
}

/// What is said of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its id.
    pub id: String,
    /// Always `file`.
    pub object: String,
    /// Its length.
    pub bytes: u64,
    /// Unix seconds.
    pub created_at: u64,
    /// What the caller called it.
    pub filename: String,
    /// `batch` or `batch_output`.
    pub purpose: String,
    /// Always `processed`.
    pub status: String,
}

/// Why there is no such file, or none can be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The team has none of this id.
    #[error("there is no file of this id of yours here")]
    Unknown,
    /// The team has too many bytes.
    #[error("your team's files hold {held} bytes of the {most} that they may, and this one has {more}")]
    Full {
        /// What they hold.
        held: u64,
        /// What they may.
        most: u64,
        /// What was to be added.
        more: u64,
    },
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
}

impl Files {
    /// Those below a folder.
    pub fn new(root: PathBuf, bytes_per_team: u64) -> Self {
        Self { root, bytes_per_team }
    }

    /// The files of a team, or of whoever asks where no key is needed.
    pub fn of(&self, team: Option<&str>) -> Folder {
        // A team's name may hold what no folder's can.
        let name = hex(&Sha256::digest(team.unwrap_or_default())[..16]);
        Folder { path: self.root.join(name), bytes: self.bytes_per_team }
    }

    /// The folders of all teams that have one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn all(&self) -> io::Result<Vec<Folder>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let folder = |entry: io::Result<fs::DirEntry>| Ok(Folder { path: entry?.path(), bytes: self.bytes_per_team });
        entries.map(folder).collect()
    }
}

impl Folder {
    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the team has too many bytes, or the disk fails.
    pub fn add(&self, filename: &str, purpose: &str, content: &[u8]) -> Result<File, FileError> {
        fs::create_dir_all(&self.path)?;
        let (held, more) = (self.held()?, content.len() as u64);
        if held + more > self.bytes {
            return Err(FileError::Full { held, most: self.bytes, more });
        }
        let id = new_id("file-");
        replace_file(&self.content(&id), content)?;
        self.describe(id, filename, purpose)
    }

    /// Makes a file of content that was written at its place.
    ///
    /// # Errors
    /// When there is none, or the disk fails.
    pub fn describe(&self, id: String, filename: &str, purpose: &str) -> Result<File, FileError> {
        let file = File {
            bytes: fs::metadata(self.content(&id))?.len(),
            object: "file".to_owned(),
            created_at: now_ms() / 1000,
            filename: filename.to_owned(),
            purpose: purpose.to_owned(),
            status: "processed".to_owned(),
            id,
        };
        let json = serde_json::to_vec(&file).map_err(io::Error::from)?;
        replace_file(&self.said(&file.id), &json)?;
        Ok(file)
    }

    /// What is said of a file.
    ///
    /// # Errors
    /// When the team has none of this id, or the disk fails.
    pub fn get(&self, id: &str) -> Result<File, FileError> {
        if !is_id(id, "file-") {
            return Err(FileError::Unknown);
        }
        read_json(&self.said(id))?.ok_or(FileError::Unknown)
    }

    /// All files, the newest first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self) -> Result<Vec<File>, FileError> {
        let mut files: Vec<File> = json_files(&self.path, "file-")?;
        files.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(files)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When the team has none of this id, or the disk fails.
    pub fn remove(&self, id: &str) -> Result<(), FileError> {
        self.get(id)?;
        // What makes it a file goes first.
        fs::remove_file(self.said(id))?;
        Ok(fs::remove_file(self.content(id))?)
    }

    /// Where the content of a file is. The id is one of ours.
    pub fn content(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.jsonl"))
    }

    fn said(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.json"))
    }

    /// Bytes of all contents.
    fn held(&self) -> io::Result<u64> {
        let mut held = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
                held += entry.metadata()?.len();
            }
        }
        Ok(held)
    }
}

/// A new id; ids sort by time.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::now_v7().simple())
}

/// Whether a text can be an id of ours.
pub fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A file of JSON; `None` where there is none.
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
    }
}

/// All files of JSON in a folder whose names are ids with this prefix.
pub fn json_files<T: for<'de> Deserialize<'de>>(folder: &Path, prefix: &str) -> io::Result<Vec<T>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        if id.is_some_and(|id| is_id(id, prefix)) {
            all.extend(read_json(&path)?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_finds_and_removes_only_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned(), 100);
        let (red, blue) = (files.of(Some("red")), files.of(Some("blue")));
        let file = red.add("a.jsonl", "batch", b"{}").unwrap();
        assert_eq!((red.get(&file.id).unwrap(), red.list().unwrap().len(), file.bytes), (file.clone(), 1, 2));
        assert!(matches!(blue.get(&file.id), Err(FileError::Unknown)));
        assert!(matches!(blue.remove(&file.id), Err(FileError::Unknown)));
        assert_eq!(blue.list().unwrap(), []);
        red.remove(&file.id).unwrap();
        assert!(matches!(red.get(&file.id), Err(FileError::Unknown)));
        assert_eq!(fs::read_dir(red.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_team_has_no_more_bytes_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let red = Files::new(folder.path().to_owned(), 100).of(Some("red"));
        red.add("a", "batch", &[b'x'; 60]).unwrap();
        let error = red.add("b", "batch", &[b'x'; 60]).unwrap_err().to_string();
        assert_eq!(error, "your team's files hold 60 bytes of the 100 that they may, and this one has 60");
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let red = Files::new(folder.path().to_owned(), 100).of(Some("red"));
        for id in ["", "file-", "../x", "file-../../../../../../etc/passwd", "file-%2e%2e", "file-0123"] {
            assert!(matches!(red.get(id), Err(FileError::Unknown)), "{id}");
        }
    }
}
