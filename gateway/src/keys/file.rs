//! The keys file: read when the gateway loads its configuration, written by `pointsman keys` alone.
//!
//! A write replaces the file whole - written beside it, made durable, renamed over it - so a reader sees the old keys
//! or the new ones and never half of them. Two writers wait for each other at a lock file. The file is for its owner's
//! eyes only, although it holds no key.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Grant, Key, Token, token};
use crate::config::{
    Contexts, Teams,
    decode::{self, Spanned},
    report::{Problem, Problems},
    source::Source,
    yaml,
};

const HEADER: &str = "# Admission keys, as hashes. Written by `pointsman keys new` and `pointsman keys revoke`.\n";

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "the keys file", deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    keys: Vec<Spanned<RawKey>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "a key", deny_unknown_fields)]
struct RawKey {
    id: Spanned<String>,
    team: Spanned<String>,
    context: Spanned<String>,
    hash: Spanned<String>,
    created: Spanned<String>,
    #[serde(default)]
    expires: Option<Spanned<String>>,
    #[serde(default)]
    revoked: Option<Spanned<String>>,
}

/// A key as `pointsman keys list` shows it and as the file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The public id, safe to log.
    pub id: String,
    /// The team.
    pub team: String,
    /// The context.
    pub context: String,
    /// When it was made.
    pub created: String,
    /// When its time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// One entry of the file.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    id: String,
    team: String,
    context: String,
    hash: String,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

/// A key that was just made: the only time that it can be read.
#[derive(Debug)]
pub struct NewKey {
    /// The public id.
    pub id: String,
    /// The key.
    pub token: Token,
    /// When its time is over.
    pub expires: Option<String>,
}

/// A keys file that is to be changed or listed.
#[derive(Debug)]
pub struct KeysFile {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Held until the change is written.
    _lock: File,
}

/// Why a keys file could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file or its folder.
    #[error("the keys file {} cannot be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the keys file is not in order")]
    Broken(policies::Report),
    /// No such key.
    #[error("there is no key with the id `{id}`; `pointsman keys list` prints every id")]
    NoSuchKey {
        /// What was asked for.
        id: String,
    },
    /// The random source of the operating system failed.
    #[error("the operating system gave no random bytes")]
    Random(#[source] rand::rand_core::OsError),
    /// A time that no calendar reaches.
    #[error("the expiry is too far away")]
    Expiry,
}

/// Reads the keys of a file; each is good for what it says or is reported.
pub(super) fn load(
    source: &Source,
    contexts: &Contexts,
    teams: &Teams,
    problems: &mut Problems,
) -> Option<HashMap<[u8; 32], Key>> {
    let raw = read(source, problems)?;
    let mut keys = HashMap::new();
    let mut ids = HashSet::new();
    for key in raw.keys.into_iter().map(|key| key.value) {
        let mut note = |problem: Problem, at: &Range<usize>| problems.push(problem.at(source, at.clone()));
        if !ids.insert(key.id.value.clone()) {
            let problem = Problem::error("duplicate-id", format!("there are two keys with the id `{}`", key.id.value));
            note(problem.hint("remove one of them"), &key.id.at);
        }
        let digest = token::from_hex(&key.hash.value);
        if digest.is_none() {
            let problem =
                Problem::error("bad-hash", format!("the hash of key `{}` is not a SHA-256 in hex", key.id.value))
                    .hint("make a new key with `pointsman keys new`");
            note(problem, &key.hash.at);
        }
        let mut time = |written: &Spanned<String>| {
            let time = humantime::parse_rfc3339(&written.value).ok();
            if time.is_none() {
                let problem = Problem::error("bad-time", format!("`{}` is not a time", written.value.escape_debug()));
                note(problem.hint("expected RFC 3339 in UTC, such as 2027-01-31T00:00:00Z"), &written.at);
            }
            time
        };
        time(&key.created);
        let expires = key.expires.as_ref().map(&mut time);
        let revoked = key.revoked.as_ref().map(&mut time);
        match (teams.get(&key.team.value), contexts.get(&key.context.value)) {
            // A key of a team that is gone must not stop the gateway; it lets nobody in.
            (None, _) => {
                let problem = Problem::warning(
                    "unknown-name",
                    format!("key `{}` is of a team that is not configured", key.id.value),
                )
                .hint(format!("it lets nobody in; add the team, or `pointsman keys revoke {}`", key.id.value));
                note(problem, &key.team.at);
            }
            (Some(team), _) if !team.contexts.contains(&key.context.value) => {
                let problem = Problem::warning(
                    "unknown-name",
                    format!("key `{}` is for a context that its team does not have", key.id.value),
                )
                .hint(format!(
                    "it lets nobody in; add the context to the team, or `pointsman keys revoke {}`",
                    key.id.value
                ));
                note(problem, &key.context.at);
            }
            (Some(_), Some(context)) => {
                let (Some(digest), expires) = (digest, expires) else { continue };
                let grant = Grant {
                    key: Some(key.id.value.into()),
                    team: Some(key.team.value.into()),
                    context: Arc::clone(context),
                };
                // A time that cannot be read is an error above; until it is put right the key is over.
                let expires = expires.map(|time| time.unwrap_or(SystemTime::UNIX_EPOCH));
                keys.insert(digest, Key { digest, grant, expires, revoked: revoked.is_some() });
            }
            // The context has problems of its own, which are reported.
            (Some(_), None) => {}
        }
    }
    Some(keys)
}

fn read(source: &Source, problems: &mut Problems) -> Option<Raw> {
    let mut tree = yaml::parse(source, problems)?;
    decode::decode(&mut tree, source, problems)
}

impl KeysFile {
    /// Opens a keys file to change it; it need not exist yet. Waits for another writer to be done.
    ///
    /// # Errors
    /// When it cannot be read or holds something else.
    pub fn open(path: &Path) -> Result<Self, WriteError> {
        let failed = |source| WriteError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // The keys file itself is replaced by every write, so a lock on it would lock nothing.
        let lock = OpenOptions::new().create(true).append(true).open(beside(path, "lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), entries: entries(path)?, _lock: lock })
    }

    /// The keys of a file that stays as it is.
    ///
    /// # Errors
    /// When it cannot be read or holds something else.
    pub fn list(path: &Path) -> Result<Vec<Listed>, WriteError> {
        Ok(entries(path)?.into_iter().map(Listed::from).collect())
    }

    /// Makes a key and writes its hash.
    ///
    /// # Errors
    /// When no key can be made or the file cannot be written; then the key is good for nothing.
    pub fn add(
        mut self,
        team: &str,
        context: &str,
        now: SystemTime,
        expires: Option<Duration>,
    ) -> Result<NewKey, WriteError> {
        let token = Token::random().map_err(WriteError::Random)?;
        let hash = token::hex(&token.digest());
        let expires = match expires {
            // Four-digit years are as far as the format goes.
            Some(after) => Some(
                now.checked_add(after)
                    .filter(|t| *t < now + Duration::from_secs(1000 * 366 * 86_400))
                    .ok_or(WriteError::Expiry)?,
            ),
            None => None,
        };
        let entry = Entry {
            id: format!("k{}", &hash[..12]),
            team: team.to_owned(),
            context: context.to_owned(),
            hash,
            created: time(now),
            expires: expires.map(time),
            revoked: None,
        };
        let new = NewKey { id: entry.id.clone(), token, expires: entry.expires.clone() };
        self.entries.push(entry);
        self.write()?;
        Ok(new)
    }

    /// Takes a key back for good; its entry stays, so that `keys list` can tell.
    ///
    /// # Errors
    /// When there is no such key or the file cannot be written.
    pub fn revoke(mut self, id: &str, now: SystemTime) -> Result<Listed, WriteError> {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let entry = entry.ok_or_else(|| WriteError::NoSuchKey { id: id.to_owned() })?;
        entry.revoked.get_or_insert_with(|| time(now));
        let listed = Listed::from(entry.clone());
        self.write()?;
        Ok(listed)
    }

    fn write(&self) -> Result<(), WriteError> {
        replace(&self.path, self.text().as_bytes()).map_err(|source| WriteError::Io { path: self.path.clone(), source })
    }

    /// The file as text. Every value is one that this module made or checked, so quotes are all it needs.
    fn text(&self) -> String {
        let rows: String = self
            .entries
            .iter()
            .map(|entry| format!("  - {}\n", serde_json::to_string(entry).unwrap_or_default()))
            .collect();
        format!("{HEADER}keys:\n{rows}")
    }
}

fn entries(path: &Path) -> Result<Vec<Entry>, WriteError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut problems = Problems::default();
    let raw = problems.read(path, "keys file").and_then(|source| read(&source, &mut problems));
    match raw {
        Some(raw) if !problems.has_errors() => Ok(raw.keys.into_iter().map(|key| Entry::from(key.value)).collect()),
        _ => Err(WriteError::Broken(problems.into_report())),
    }
}

/// Writes a file beside `path`, makes it durable, and renames it over `path`.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path, "new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The rename itself is durable once the folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

impl From<RawKey> for Entry {
    fn from(key: RawKey) -> Self {
        Self {
            id: key.id.value,
            team: key.team.value,
            context: key.context.value,
            hash: key.hash.value,
            created: key.created.value,
            expires: key.expires.map(|time| time.value),
            revoked: key.revoked.map(|time| time.value),
        }
    }
}

impl From<Entry> for Listed {
    fn from(Entry { id, team, context, created, expires, revoked, .. }: Entry) -> Self {
        Self { id, team, context, created, expires, revoked }
    }
}
