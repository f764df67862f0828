//! Admission keys: who may call the gateway, for which team and in which context.
//!
//! A key is 256 random bits behind a prefix that scanners for leaked secrets can know. It is shown once, when it is
//! made; the keys file holds its SHA-256 only, which is enough because nobody can guess 256 bits. A key is looked up
//! by its whole digest, so the time that takes says nothing about any other key. No message holds a key or its hash.

mod file;
mod token;

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use subtle::ConstantTimeEq;

pub(crate) use self::{file::replace as replace_file, token::hex};
pub use self::{
    file::{KeysFile, Listed, NewKey, WriteError},
    token::Token,
};
use crate::config::{Context, Contexts, Teams, report::Problems, source::Source};

/// What a key stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The public id of the key; none where no key is needed.
    pub key: Option<Arc<str>>,
    /// The team; none where no key is needed.
    pub team: Option<Arc<str>>,
    /// The context, and with it the use that licences are decided on.
    pub context: Arc<Context>,
}

/// The keys of a keys file.
#[derive(Debug)]
pub struct Keys(HashMap<[u8; 32], Key>);

#[derive(Debug)]
struct Key {
    digest: [u8; 32],
    grant: Grant,
    expires: Option<SystemTime>,
    revoked: bool,
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

    /// Reads a keys file. Every key's team and context must be there, and the team must have the context.
    pub(crate) fn load(source: &Source, contexts: &Contexts, teams: &Teams, problems: &mut Problems) -> Option<Self> {
        file::load(source, contexts, teams, problems).map(Self)
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
        if self.revoked {
            return Err(KeyError::Revoked);
        }
        match self.expires {
            Some(expires) if expires <= now => Err(KeyError::Expired),
            _ => Ok(&self.grant),
        }
    }
}

#[cfg(test)]
mod tests;
