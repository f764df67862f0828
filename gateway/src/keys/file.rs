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
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use catalog::Catalog;
use serde::{Deserialize, Serialize};

use super::{Grant, Key, Listed, ListedScope, State, Token, scope::RawScope, token};
use crate::config::{
    Contexts, Deployment, Teams,
    decode::{self, Spanned},
    report::{Problem, Problems},
    source::Source,
    yaml,
};

const HEADER: &str = "# Admission keys, as hashes. Written by `pointsman keys`.\n";

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
    #[serde(default)]
    scope: Option<RawScope>,
    #[serde(default)]
    replaces: Option<Spanned<String>>,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The team.
    pub team: &'a str,
    /// The context.
    pub context: &'a str,
    /// What it may reach.
    pub scope: ListedScope,
    /// After which time it is over; never without.
    pub expires: Option<Duration>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ListedScope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
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
    /// The key is good for nothing any more, or another has its place already.
    #[error("key `{id}` {why}, so it cannot be rotated; make a new one with `pointsman keys new`")]
    Over {
        /// The key.
        id: String,
        /// What became of it.
        why: String,
    },
    /// A time that no calendar reaches.
    #[error("the expiry is too far away")]
    Expiry,
}

/// What the names in a keys file are looked up in.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) contexts: &'a Contexts,
    pub(crate) teams: &'a Teams,
    pub(crate) catalog: &'a Catalog,
    pub(crate) deployments: &'a [Deployment],
}

/// A route that a key, or the bearer of a token, is bound to: policies are read after the keys, and say later whether there is one.
#[derive(Debug)]
pub(crate) struct ScopedTo {
    pub(crate) whose: String,
    pub(crate) route: Spanned<String>,
}

/// What a keys file holds.
pub(super) struct Loaded {
    /// By the SHA-256 of each.
    pub(super) keys: HashMap<[u8; 32], Key>,
    pub(super) routes: Vec<ScopedTo>,
}

/// Reads the keys of a file; each is good for what it says or is reported.
pub(super) fn load(source: &Source, known: &Known<'_>, problems: &mut Problems) -> Option<Loaded> {
    let Known { contexts, teams, .. } = known;
    let raw = read(source, problems)?;
    let (mut keys, mut routes) = (HashMap::new(), Vec::new());
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
                let (scope, endpoints) = match key.scope {
                    Some(scope) => {
                        let whose = format!("key `{}`", key.id.value);
                        let named = scope.routes().cloned();
                        routes.extend(named.map(|route| ScopedTo { whose: whose.clone(), route }));
                        scope.read(&whose, known, &mut note)
                    }
                    None => (None, None),
                };
                let id = Some(key.id.value.into());
                let context = Arc::clone(context);
                let grant = Grant { key: id, team: Some(key.team.value.into()), context, scope, endpoints };
                // A time that cannot be read is an error above; until it is put right the key is over.
                let expires = expires.map(|time| time.unwrap_or(SystemTime::UNIX_EPOCH));
                let (revoked, used) = (AtomicBool::new(revoked.is_some()), Arc::default());
                keys.insert(digest, Key { digest, grant, expires, revoked, used });
            }
            // The context has problems of its own, which are reported.
            (Some(_), None) => {}
        }
    }
    Some(Loaded { keys, routes })
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
        let lock =
            OpenOptions::new().create(true).append(true).open(path.with_added_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), entries: entries(path)?, _lock: lock })
    }

    /// The keys of a file that stays as it is.
    ///
    /// # Errors
    /// When it cannot be read or holds something else.
    pub fn list(path: &Path) -> Result<Vec<Listed>, WriteError> {
        let mut listed: Vec<Listed> = entries(path)?.into_iter().map(Listed::from).collect();
        let replaced: HashMap<String, String> =
            listed.iter().filter_map(|key| Some((key.replaces.clone()?, key.id.clone()))).collect();
        for key in &mut listed {
            key.replaced_by = replaced.get(&key.id).cloned();
        }
        Ok(listed)
    }

    /// Makes a key and writes its hash.
    ///
    /// # Errors
    /// When no key can be made or the file cannot be written; then the key is good for nothing.
    pub fn add(mut self, wanted: &Wanted<'_>, now: SystemTime) -> Result<NewKey, WriteError> {
        let new = self.push(wanted, now, None)?;
        self.write()?;
        Ok(new)
    }

    /// Makes a key in the place of another: of the same team, context and scope, and for as long as that one was made for.
    /// The old one is over after `overlap`, or when it was to be anyway.
    ///
    /// # Errors
    /// When there is no such key, it is over or has been replaced already, or the file cannot be written; then everything
    /// is as it was.
    pub fn rotate(mut self, id: &str, now: SystemTime, overlap: Duration) -> Result<(NewKey, Listed), WriteError> {
        let over = |why: String| WriteError::Over { id: id.to_owned(), why };
        let at = self.entries.iter().position(|entry| entry.id == id);
        let at = at.ok_or_else(|| WriteError::NoSuchKey { id: id.to_owned() })?;
        if let Some(by) = self.entries.iter().find(|entry| entry.replaces.as_deref() == Some(id)) {
            return Err(over(format!("was replaced by `{}`", by.id)));
        }
        let old = self.entries[at].clone();
        match Listed::from(old.clone()).state(now) {
            State::Revoked => return Err(over("was revoked".to_owned())),
            State::Expired => return Err(over("has expired".to_owned())),
            State::Active | State::Replaced => {}
        }
        let read = |time: &String| humantime::parse_rfc3339(time).ok();
        let (created, ends) = (read(&old.created), old.expires.as_ref().and_then(read));
        let expires = created.zip(ends).and_then(|(created, ends)| ends.duration_since(created).ok());
        let scope = old.scope.clone().unwrap_or_default();
        let wanted = Wanted { team: &old.team, context: &old.context, scope, expires };
        let new = self.push(&wanted, now, Some(id))?;
        let over_at = now.checked_add(overlap).filter(|at| within_the_calendar(*at, now)).ok_or(WriteError::Expiry)?;
        let entry = &mut self.entries[at];
        entry.expires = Some(time(ends.map_or(over_at, |ends| ends.min(over_at))));
        let listed = Listed { replaced_by: Some(new.id.clone()), ..Listed::from(entry.clone()) };
        self.write()?;
        Ok((new, listed))
    }

    /// Adds an entry, without writing it.
    fn push(&mut self, wanted: &Wanted<'_>, now: SystemTime, replaces: Option<&str>) -> Result<NewKey, WriteError> {
        let token = Token::random().map_err(WriteError::Random)?;
        let hash = token::hex(&token.digest());
        let expires = match wanted.expires {
            Some(after) => {
                let at = now.checked_add(after).filter(|at| within_the_calendar(*at, now));
                Some(at.ok_or(WriteError::Expiry)?)
            }
            None => None,
        };
        let entry = Entry {
            id: format!("k{}", &hash[..12]),
            team: wanted.team.to_owned(),
            context: wanted.context.to_owned(),
            hash,
            created: time(now),
            expires: expires.map(time),
            revoked: None,
            scope: Some(wanted.scope.clone()).filter(|scope| *scope != ListedScope::default()),
            replaces: replaces.map(str::to_owned),
        };
        let new = NewKey { id: entry.id.clone(), token, expires: entry.expires.clone() };
        self.entries.push(entry);
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
    let new = path.with_added_extension("new");
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

/// Four-digit years are as far as the format goes.
fn within_the_calendar(at: SystemTime, now: SystemTime) -> bool {
    at < now + Duration::from_secs(1000 * 366 * 86_400)
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
            scope: key.scope.map(ListedScope::from),
            replaces: key.replaces.map(|id| id.value),
        }
    }
}

impl From<Entry> for Listed {
    fn from(Entry { id, team, context, created, expires, revoked, scope, replaces, .. }: Entry) -> Self {
        Self { id, team, context, created, expires, revoked, scope, replaces, replaced_by: None }
    }
}
