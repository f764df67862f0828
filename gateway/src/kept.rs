//! Responses that are kept for callers who look at them again or go on from them: in memory, for a time, each team's by
//! itself.
//!
//! A team finds only its own: an id of somebody else's response is not known. When a team has more than its bytes, its
//! least used ones go; nothing survives a restart, and another gateway knows nothing of them. Knows no HTTP and nothing
//! of what an item is.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use moka::sync::Cache;
use serde_json::value::RawValue;

/// The items of a conversation, each as JSON.
pub type Items = Arc<[Arc<RawValue>]>;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For how long.
    pub kept_for: Duration,
    /// Bytes of each team; nothing is kept where there are none.
    pub bytes_per_team: u64,
}

/// The responses of all teams.
#[derive(Debug)]
pub struct Store {
    bounds: Bounds,
    /// As many as there are teams.
    shelves: RwLock<HashMap<Arc<str>, Shelf>>,
}

/// The responses of one team. Clones are the same shelf.
#[derive(Clone, Debug)]
pub struct Shelf(Cache<String, Arc<Kept>>);

/// A response.
#[derive(Debug)]
pub struct Kept {
    /// What it said, as JSON.
    pub response: Bytes,
    /// All that it was an answer to, what came before its request included.
    pub input: Items,
}

impl Store {
    /// With nothing in it.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, shelves: RwLock::default() }
    }

    /// How much it keeps.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The shelf of a team, or of whoever asks where no key is needed; `None` where nothing is kept.
    pub fn shelf(&self, team: Option<&Arc<str>>) -> Option<Shelf> {
        if self.bounds.bytes_per_team == 0 || self.bounds.kept_for.is_zero() {
            return None;
        }
        // No team has an empty name.
        let team = team.cloned().unwrap_or_default();
        let known = self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(&team).cloned();
        Some(known.unwrap_or_else(|| {
            let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
            shelves.entry(team).or_insert_with(|| Shelf::new(self.bounds)).clone()
        }))
    }
}

impl Shelf {
    fn new(bounds: Bounds) -> Self {
        let cache = Cache::builder()
            .max_capacity(bounds.bytes_per_team)
            .weigher(|id: &String, kept: &Arc<Kept>| u32::try_from(id.len() + kept.bytes()).unwrap_or(u32::MAX))
            .time_to_live(bounds.kept_for)
            .build();
        Self(cache)
    }

    /// Keeps a response under its id.
    pub fn keep(&self, id: &str, kept: Kept) {
        self.0.insert(id.to_owned(), Arc::new(kept));
    }

    /// The response of an id.
    pub fn get(&self, id: &str) -> Option<Arc<Kept>> {
        self.0.get(id)
    }

    /// Forgets a response; whether it was there.
    pub fn forget(&self, id: &str) -> bool {
        self.0.remove(id).is_some()
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.response.len() + self.input.iter().map(|item| item.get().len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { kept_for: Duration::from_secs(60), bytes_per_team: 1_000 };

    fn kept(bytes: usize) -> Kept {
        Kept { response: vec![b'x'; bytes].into(), input: Arc::default() }
    }

    #[test]
    fn a_team_finds_only_its_own() {
        let store = Store::new(BOUNDS);
        let (red, blue): (Arc<str>, Arc<str>) = ("red".into(), "blue".into());
        store.shelf(Some(&red)).unwrap().keep("resp_1", kept(10));
        assert!(store.shelf(Some(&red)).unwrap().get("resp_1").is_some());
        for other in [store.shelf(Some(&blue)).unwrap(), store.shelf(None).unwrap()] {
            assert!(other.get("resp_1").is_none() && !other.forget("resp_1"));
        }
        assert!(store.shelf(Some(&red)).unwrap().forget("resp_1"));
        assert!(store.shelf(Some(&red)).unwrap().get("resp_1").is_none());
    }

    #[test]
    fn a_team_keeps_no_more_than_its_bytes_and_takes_none_of_anothers() {
        let store = Store::new(BOUNDS);
        let (red, blue): (Arc<str>, Arc<str>) = ("red".into(), "blue".into());
        let shelf = store.shelf(Some(&blue)).unwrap();
        shelf.keep("resp_b", kept(900));
        for n in 0..100 {
            store.shelf(Some(&red)).unwrap().keep(&format!("resp_{n}"), kept(300));
        }
        let red = store.shelf(Some(&red)).unwrap();
        red.0.run_pending_tasks();
        assert!(red.0.weighted_size() <= 1_000 && red.0.entry_count() <= 3, "{}", red.0.weighted_size());
        assert!(shelf.get("resp_b").is_some());
    }

    #[test]
    fn where_nothing_is_kept_there_is_no_shelf() {
        assert!(Store::new(Bounds { bytes_per_team: 0, ..BOUNDS }).shelf(None).is_none());
        assert!(Store::new(Bounds { kept_for: Duration::ZERO, ..BOUNDS }).shelf(None).is_none());
    }
}
