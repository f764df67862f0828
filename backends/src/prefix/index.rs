//! The index itself: by the hash of a prefix, the places that were sent it and how long they keep it.
//!
//! A table of buckets of one cache line, eight entries each. An entry is one word: 32 bits of the hash, the place, and
//! when the place will have dropped the prefix. Whoever writes stores whole words, so no lock is needed and a reader
//! never sees half an entry; two writers at once may lose one, which costs a guess. A bucket that is full loses the entry
//! that lapses first. So the table never grows: 2 million entries in 16 MiB, allocated when the first place answers, so
//! that a gateway without remote deployments has none.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rapidhash::v3::RapidSecrets;

use super::{Asker, Chain, PlaceId, Prefix};
use crate::Input;

/// Buckets: with a million entries, two in a hundred have found their bucket full.
const BUCKETS: usize = 1 << 18;
/// Entries of a bucket.
const ENTRIES: usize = 8;
/// Time is kept in steps of so many seconds: 16 bits of them are six days.
const TICK: u64 = 8;
/// The longest that a place is taken to keep a prefix: a day. What has lapsed for longer than the six days less this is
/// taken for fresh, if nothing has needed its room since.
const LONGEST: u16 = (24 * 60 * 60 / TICK) as u16;
/// A chain is looked for until so many blocks in a row are nobody's: one may have been lost to a full bucket.
const MISSING: usize = 2;
/// Most places that one look-up tells of.
const PLACES: usize = 32;

/// One cache line.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Bucket([AtomicU64; ENTRIES]);

/// See the module.
pub struct Prefixes {
    /// Of this process alone, so that nobody can make prompts whose hashes are those of others.
    secrets: RapidSecrets,
    epoch: Instant,
    buckets: OnceLock<Box<[Bucket]>>,
}

impl Prefixes {
    /// What the table takes once something is in it, in bytes.
    pub const BYTES: usize = BUCKETS * size_of::<Bucket>();

    /// An empty index. `epoch` is when its time begins.
    pub fn new(seed: u64, epoch: Instant) -> Self {
        Self { secrets: RapidSecrets::seed(seed), epoch, buckets: OnceLock::new() }
    }

    /// The chain of a request whose prompt has about `tokens`; `None` where nothing can be known of it.
    pub fn chain(&self, asker: Asker<'_>, input: &Input, tokens: u64) -> Option<Chain> {
        Chain::of(&self.secrets, asker, input, tokens)
    }

    /// Which places were sent how much of it. A session that a place has served counts as the whole prompt.
    pub fn look_up(self: Arc<Self>, chain: Chain, now: Instant) -> Prefix {
        let mut seen = Vec::new();
        if let Some(buckets) = self.buckets.get() {
            let now = self.tick(now);
            let mut missing = 0;
            for (at, hash) in chain.blocks.iter().enumerate() {
                let found = holders(buckets, *hash, now, |place| note(&mut seen, place, at + 1));
                missing = if found { 0 } else { missing + 1 };
                if missing == MISSING {
                    break;
                }
            }
            for (_, blocks) in &mut seen {
                *blocks = chain.tokens_of(*blocks as usize);
            }
            if let Some(session) = chain.session {
                holders(buckets, session, now, |place| note(&mut seen, place, chain.tokens as usize));
            }
        }
        Prefix { index: self, chain, seen }
    }

    /// A place was sent it, and keeps it so long.
    pub(super) fn insert(&self, chain: &Chain, place: PlaceId, keeps: Duration, now: Instant) {
        let buckets = self.buckets.get_or_init(|| (0..BUCKETS).map(|_| Bucket::default()).collect());
        let now = self.tick(now);
        let keeps = u16::try_from(keeps.as_secs().div_ceil(TICK)).unwrap_or(LONGEST).clamp(1, LONGEST);
        for hash in chain.blocks.iter().chain(&chain.session) {
            bucket(buckets, *hash)
                .put(Entry { print: print(*hash), place: place.0.get(), lapses: now.wrapping_add(keeps) }, now);
        }
    }

    fn tick(&self, now: Instant) -> u16 {
        (now.saturating_duration_since(self.epoch).as_secs() / TICK) as u16
    }
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefixes").field("in_use", &self.buckets.get().is_some()).finish_non_exhaustive()
    }
}

/// One word of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    print: u32,
    place: u16,
    lapses: u16,
}

impl Entry {
    fn read(word: u64) -> Self {
        Self { print: (word >> 32) as u32, place: (word >> 16) as u16, lapses: word as u16 }
    }

    fn word(self) -> u64 {
        u64::from(self.print) << 32 | u64::from(self.place) << 16 | u64::from(self.lapses)
    }

    /// Ticks that are left to it; 0 for one that has lapsed, and for none.
    fn left(self, now: u16) -> u16 {
        let left = self.lapses.wrapping_sub(now);
        if self.place == 0 || left > LONGEST { 0 } else { left }
    }
}

impl Bucket {
    /// Takes an entry: in place of the same one, else of that which lapses first.
    fn put(&self, entry: Entry, now: u16) {
        let (mut least, mut room) = (u16::MAX, &self.0[0]);
        for slot in &self.0 {
            let there = Entry::read(slot.load(Relaxed));
            if (there.print, there.place) == (entry.print, entry.place) {
                // A prefix that all share is asked for all the time: the line stays clean.
                if there != entry {
                    slot.store(entry.word(), Relaxed);
                }
                return;
            }
            let left = there.left(now);
            if left < least {
                (least, room) = (left, slot);
            }
        }
        room.store(entry.word(), Relaxed);
    }
}

/// Tells the places that have a prefix; whether there is one.
fn holders(buckets: &[Bucket], hash: u64, now: u16, mut tell: impl FnMut(PlaceId)) -> bool {
    let mut found = false;
    for slot in &bucket(buckets, hash).0 {
        let entry = Entry::read(slot.load(Relaxed));
        if entry.print == print(hash)
            && entry.left(now) > 0
            && let Some(place) = PlaceId::of(entry.place)
        {
            found = true;
            tell(place);
        }
    }
    found
}

fn note(seen: &mut Vec<(PlaceId, u32)>, place: PlaceId, much: usize) {
    let much = u32::try_from(much).unwrap_or(u32::MAX);
    if let Some((_, most)) = seen.iter_mut().find(|(at, _)| *at == place) {
        *most = much.max(*most);
    } else if seen.len() < PLACES {
        seen.push((place, much));
    }
}

/// By the lower bits; an entry tells the upper ones.
fn bucket(buckets: &[Bucket], hash: u64) -> &Bucket {
    &buckets[hash as usize % BUCKETS]
}

fn print(hash: u64) -> u32 {
    (hash >> 32) as u32
}
