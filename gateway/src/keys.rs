//! Admission keys: who may call the gateway, for which team and in which context.
//!
//! A key is 256 random bits behind a prefix that scanners for leaked secrets can know. It is shown once, when it is
//! made; the keys file holds its SHA-256 only, which is enough because nobody can guess 256 bits. A key is looked up
//! by its whole digest, so the time that takes says nothing about any other key. No message holds a key or its hash.
//!
//! A key may be bound further: to endpoints, which is held before a body is read, and to models and routes, which is a fact
//! that the plan holds ([`policies::Scope`]). A revoked key is refused from the next request after the keys file was read
//! again; requests that run by then end as they are.

mod endpoint;
mod file;
pub mod last_use;
mod listed;
mod scope;
mod token;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use policies::Scope;
use subtle::ConstantTimeEq;

pub use self::{
    endpoint::Endpoint,
    file::{KeysFile, NewKey, Wanted, WriteError},
    listed::{Listed, State},
    scope::ListedScope,
    token::Token,
};
pub(crate) use self::{
    file::{Known, ScopedTo, replace as replace_file},
    scope::RawScope,
    token::hex,
};
use crate::config::{Context, report::Problems, source::Source};

/// What a key stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The public id of the key; none where no key is needed.
    pub key: Option<Arc<str>>,
    /// The team; none where no key is needed.
    pub team: Option<Arc<str>>,
    /// The context, and with it the use that licences are decided on.
    pub context: Arc<Context>,
    /// The only models and routes that it is good for, where there is a bound.
    pub scope: Option<Arc<Scope>>,
    /// The only endpoints, likewise.
    pub endpoints: Option<Arc<[Endpoint]>>,
}

impl Grant {
    /// One for a context that is bound no further.
    pub fn unbound(key: Option<Arc<str>>, team: Option<Arc<str>>, context: Arc<Context>) -> Self {
        Self { key, team, context, scope: None, endpoints: None }
    }

    /// Whether it is good for an endpoint.
    pub fn reaches(&self, endpoint: Endpoint) -> bool {
        self.endpoints.as_deref().is_none_or(|endpoints| endpoints.contains(&endpoint))
    }
}

/// The keys of a keys file.
#[derive(Debug)]
pub struct Keys(HashMap<[u8; 32], Key>);

#[derive(Debug)]
struct Key {
    digest: [u8; 32],
    grant: Grant,
    expires: Option<SystemTime>,
    revoked: AtomicBool,
    /// Unix seconds of its last use; 0 for none. Shared with the keys of the configuration before.
    used: Arc<AtomicU64>,
}

/// Why a key does not let its bearer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not a key of this kind at all.
    #[error("the key is not a Pointsman key: those start with `pm_` and have 75 characters")]
    Malformed,
    /// There is no such key.
    #[error("the key is not known here")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// It was taken back.
    #[error("the key was revoked")]
    Revoked,
}

impl KeyError {
    /// A stable name, for clients, metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_key",
            Self::Unknown => "unknown_key",
            Self::Expired => "expired_key",
            Self::Revoked => "revoked_key",
        }
    }
}

impl Keys {
    /// No key: nobody is let in.
    pub fn none() -> Self {
        Self(HashMap::new())
    }

    /// Reads a keys file. Every key's team and context must be there, and the team must have the context. The routes that
    /// scopes name are yet to be looked up.
    pub(crate) fn load(source: &Source, known: &Known<'_>, problems: &mut Problems) -> Option<(Self, Vec<ScopedTo>)> {
        let file::Loaded { keys, routes } = file::load(source, known, problems)?;
        Some((Self(keys), routes))
    }

    /// Goes on from the keys of the configuration before: a key that is still there has the last use that it had.
    pub fn follow(&mut self, before: &Self) {
        for (digest, key) in &mut self.0 {
            if let Some(old) = before.0.get(digest) {
                key.used = Arc::clone(&old.used);
            }
        }
    }

    /// Takes back the keys that a newer keys file says are revoked, where the rest of the new configuration is refused;
    /// how many of them were still good.
    pub fn heed(&self, listed: &[Listed]) -> usize {
        let revoked = listed.iter().filter(|key| key.revoked.is_some()).map(|key| key.id.as_str());
        let revoked: std::collections::HashSet<&str> = revoked.collect();
        let gone = |key: &&Key| key.grant.key.as_deref().is_some_and(|id| revoked.contains(id));
        self.0.values().filter(gone).filter(|key| !key.revoked.swap(true, Relaxed)).count()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The public ids of the keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|key| key.grant.key.as_deref())
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the key of a public id stands for: for what it once asked to be done later.
    ///
    /// # Errors
    /// Why it stands for nothing any more.
    pub fn of_id(&self, id: &str, now: SystemTime) -> Result<&Grant, KeyError> {
        let of_id = |key: &&Key| key.grant.key.as_deref() == Some(id);
        self.0.values().find(of_id).ok_or(KeyError::Unknown)?.stands(now)
    }

    /// What a presented key stands for.
    ///
    /// # Errors
    /// Why it stands for nothing; the error holds nothing of what was presented.
    pub fn verify(&self, presented: &str, now: SystemTime) -> Result<&Grant, KeyError> {
        let digest = token::digest(presented).ok_or(KeyError::Malformed)?;
        let key = self.0.get(&digest).ok_or(KeyError::Unknown)?;
        if !bool::from(key.digest.ct_eq(&digest)) {
            return Err(KeyError::Unknown);
        }
        key.stands(now)
    }
}

impl Key {
    fn stands(&self, now: SystemTime) -> Result<&Grant, KeyError> {
        if self.revoked.load(Relaxed) {
            return Err(KeyError::Revoked);
        }
        match self.expires {
            Some(expires) if expires <= now => Err(KeyError::Expired),
            _ => {
                self.note_use(now);
                Ok(&self.grant)
            }
        }
    }

    /// Once a second at most, so that a busy key's place in memory is not written by every thread all the time.
    fn note_use(&self, now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        if self.used.load(Relaxed) != seconds {
            self.used.store(seconds, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
