//! `manifest.json`: what a model of the store is, where it came from and on which terms, so that no network is needed to tell.
//!
//! It is written last: a folder without one holds what was not yet pulled whole. Which account of the operating system pulled
//! is not kept; who accepted is whoever they said they are.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::reference::{is_name, is_path, is_sha256};
use crate::keys::replace_file;

/// Its name.
pub const MANIFEST: &str = "manifest.json";
/// The most bytes of one: a thousand files take some 300 KiB.
const MOST_BYTES: u64 = 1 << 20;
/// The version of the shape.
const VERSION: u32 = 1;

/// What a model of the store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the shape.
    pub version: u32,
    /// `hf:OWNER/REPO:FILE`.
    pub source: String,
    /// The commit.
    pub revision: String,
    /// The files, parts in order.
    pub files: Vec<Kept>,
    /// On which terms.
    pub license: Terms,
    /// When it was pulled, in Unix milliseconds.
    pub pulled: u64,
    /// Who accepted the terms, as they said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted_by: Option<String>,
    /// It is for research: no context of the configuration could use it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub for_research: bool,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name in the folder of the model.
    pub name: String,
    /// Its digest.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The licence as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The model of the catalog that it is: by its repository, or as whoever pulled it said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// The licence: of the catalog where it knows the model, else as the hub's page names it, which is nobody's conclusion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub named: Option<String>,
}

impl Manifest {
    /// A manifest of this version.
    pub fn new(source: String, revision: String, files: Vec<Kept>, license: Terms, pulled: u64) -> Self {
        Self { version: VERSION, source, revision, files, license, pulled, accepted_by: None, for_research: false }
    }

    /// That of the model in a folder; none where there is none.
    ///
    /// # Errors
    /// It cannot be read, or names what leads elsewhere.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(folder.join(MANIFEST)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text)?;
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let is_sound = |file: &Kept| is_path(&file.name) && !file.name.contains('/') && is_sha256(&file.sha256);
        if manifest.version != VERSION {
            return Err(wrong(format!("version {}, expected {VERSION}", manifest.version)));
        }
        if manifest.files.is_empty() || !manifest.files.iter().all(is_sound) {
            return Err(wrong("it names no files, or some that cannot be in this folder".to_owned()));
        }
        Ok(Some(manifest))
    }

    /// Puts it into the folder of the model.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        replace_file(&folder.join(MANIFEST), &serde_json::to_vec_pretty(self)?)
    }
}

/// The name that a model has in the store where nobody gives one: of its file, without `.gguf` and the number of a part.
pub fn name_of(path: &str) -> Option<String> {
    let name = super::pick::stem(path).rsplit('/').next().unwrap_or_default();
    is_name(name).then(|| name.to_owned())
}
