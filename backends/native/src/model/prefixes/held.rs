//! What the tree holds, for other threads to read: the answer that [`super::Prefixes::begin`] would give.
//!
//! The tree is the engine's, which waits for nobody that looks at it. It notes what joins the tree and what leaves it, and
//! brings this copy up to date when nobody is reading; so whoever reads may see it a moment late, and never half of a change.
//! Tokens are shared with the tree and compared one by one: what is read is exact.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError},
};

use engine::Holds;

use super::{PAGE, nearest};

/// Changes that are noted at most while somebody reads; then reading is waited for, which takes some microseconds.
const MOST_NOTED: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held(RwLock<Levels>);

#[derive(Debug, Default)]
pub(super) struct Levels {
    first: HashMap<Option<Box<str>>, Level>,
    /// What follows a node that has something behind it, by its name.
    behind: HashMap<u64, Level>,
}

/// The names of nodes by their tokens.
type Level = BTreeMap<Arc<[u32]>, u64>;

/// What a node follows: another one, by its name, or the start of sequences with a salt.
pub(super) type Follows = Result<u64, Option<Box<str>>>;

/// A node has joined the tree, or left it.
#[derive(Debug)]
pub(super) enum Change {
    Joined(Follows, Arc<[u32]>, u64),
    Left(Follows, Arc<[u32]>),
}

impl Held {
    /// Brings it up to date, unless somebody is reading it.
    pub(super) fn follow(&self, noted: &mut Vec<Change>) {
        if noted.is_empty() {
            return;
        }
        let levels = match self.0.try_write() {
            Ok(levels) => levels,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if noted.len() < MOST_NOTED => return,
            Err(TryLockError::WouldBlock) => self.0.write().unwrap_or_else(PoisonError::into_inner),
        };
        Self::apply(levels, noted);
    }

    fn apply(mut levels: RwLockWriteGuard<'_, Levels>, noted: &mut Vec<Change>) {
        for change in noted.drain(..) {
            match change {
                Change::Joined(follows, tokens, name) => {
                    let level = match follows {
                        Ok(name) => levels.behind.entry(name).or_default(),
                        Err(salt) => levels.first.entry(salt).or_default(),
                    };
                    level.insert(tokens, name);
                }
                Change::Left(follows, tokens) => {
                    let level = match &follows {
                        Ok(name) => levels.behind.get_mut(name),
                        Err(salt) => levels.first.get_mut(salt),
                    };
                    if level.is_some_and(|level| level.remove(&tokens).is_some() && level.is_empty()) {
                        match &follows {
                            Ok(name) => drop(levels.behind.remove(name)),
                            Err(salt) => drop(levels.first.remove(salt)),
                        }
                    }
                }
            }
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Levels> {
        // Nothing that panics happens under it.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holds for Held {
    fn held(&self, prompt: &[u32], salt: Option<&str>) -> usize {
        // One token at least is computed, as something has to follow it.
        let Some((_, known)) = prompt.split_last() else { return 0 };
        let salt = salt.map(Box::from);
        let levels = self.read();
        let (mut held, mut level) = (0, levels.first.get(&salt));
        for page in known.chunks(PAGE) {
            let Some(here) = level else { break };
            match here.get(page) {
                Some(name) if page.len() == PAGE => {
                    held += PAGE;
                    level = levels.behind.get(name);
                }
                _ => return held + nearest(here, page).map_or(0, |(_, len)| len),
            }
        }
        held
    }
}
