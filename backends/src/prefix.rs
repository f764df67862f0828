//! Which places have lately been sent which prompt prefix, so that a request can go where its prefix is still cached.
//!
//! A place is a model at a host, or one replica of a fleet: whatever has a cache of its own ([`PlaceId`]). The prompt of
//! a request becomes a [`Chain`] of hashes, and the [`Prefixes`] of the process say, in one look-up for all places
//! together, how much of it each was sent before: that is a [`Prefix`], which goes with the request. A place that answers
//! is noted with [`Prefix::served_by`].
//!
//! It is a guess: what a place has dropped since, or was sent by another gateway, is not known here. Whoever uses it
//! learns from the cached tokens that places report how far it can be relied on. Prompts of different teams never
//! meet, also at a place where they would share a cache: told apart is the rule, and it needs no exception. Knows no
//! clock: time comes in.

mod chain;
mod index;
#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use self::{
    chain::{Asker, Chain, conversation, digest},
    index::Prefixes,
};

/// What has a cache of prefixes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceId(NonZeroU16);

impl PlaceId {
    /// One that no other place has, unless 65,535 have come since: then two may be taken for each other, which costs a
    /// wrong guess.
    pub fn fresh() -> Self {
        static LAST: AtomicU16 = AtomicU16::new(0);
        loop {
            if let Some(id) = NonZeroU16::new(LAST.fetch_add(1, Relaxed).wrapping_add(1)) {
                return Self(id);
            }
        }
    }
}

/// Whether one of `count` places that has `requests` of `all` that run is to have no more for what it has cached: more than
/// a quarter above its share, and one.
pub fn is_crowded(requests: u64, all: u64, count: u64) -> bool {
    // Without fractions: requests > 1.25 * all / count + 1.
    requests.saturating_mul(4 * count) > all.saturating_mul(5) + 4 * count
}

/// A request's prompt, and which places were sent how much of it before.
#[derive(Debug)]
pub struct Prefix {
    index: Arc<Prefixes>,
    chain: Chain,
    /// Tokens by place; few places, as an entry of the index has room for few.
    seen: Vec<(PlaceId, u32)>,
}

impl PlaceId {
    fn of(id: u16) -> Option<Self> {
        NonZeroU16::new(id).map(Self)
    }
}

impl Prefix {
    /// Leading tokens of the prompt that a place was sent before, about.
    pub fn tokens_at(&self, place: PlaceId) -> u32 {
        self.seen.iter().find(|(at, _)| *at == place).map_or(0, |(_, tokens)| *tokens)
    }

    /// Whether no place was sent any of it.
    pub fn is_new(&self) -> bool {
        self.seen.is_empty()
    }

    /// Tokens of the prompt, about.
    pub fn tokens(&self) -> u32 {
        self.chain.tokens
    }

    /// A place answers: from now on it has the prompt, for as long as it keeps one that nobody asks for.
    pub fn served_by(&self, place: PlaceId, keeps: Duration, now: Instant) {
        self.index.insert(&self.chain, place, keeps, now);
    }
}
