//! The tree against a cache that knows what is in each cell.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A cell: whose salt, and which token it was computed for at the end of which others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cell {
    number: usize,
    salt: Option<String>,
    tokens: Vec<u32>,
}

#[derive(Default)]
struct Cache {
    next: usize,
    of: BTreeMap<Id, BTreeMap<usize, Cell>>,
}

impl Cells for Cache {
    fn share(&mut self, of: Id, with: Id, from: usize, to: usize) {
        for at in from..to {
            let cell = self.of[&of][&at].clone();
            let before = self.of.entry(with).or_default().insert(at, cell);
            assert!(before.is_none(), "position {at} of {with} is given twice");
        }
    }

    fn cut(&mut self, id: Id, from: usize, to: Option<usize>) {
        self.of.entry(id).or_default().retain(|&at, _| at < from || to.is_some_and(|to| at >= to));
    }
}

impl Cache {
    fn live(&self) -> usize {
        self.of.values().flat_map(|cells| cells.values().map(|cell| cell.number)).collect::<HashSet<_>>().len()
    }
}

struct Rig {
    prefixes: Prefixes,
    cache: Cache,
    most: usize,
    slots: Vec<Option<(Option<String>, Vec<u32>)>>,
}

impl Rig {
    fn new(slots: usize, kept: usize, cells: usize) -> Self {
        let prefixes = Prefixes::new(slots, kept, cells);
        Self { prefixes, cache: Cache::default(), most: cells, slots: vec![None; slots] }
    }

    /// How much a slot has from before, if there is room.
    fn begin(&mut self, slot: usize, prompt: &[u32], answer: usize, salt: Option<&str>) -> Option<usize> {
        let start = Start { slot, prompt, most: prompt.len() + answer, salt, anew: false };
        let held = self.prefixes.begin(start, &mut self.cache)?;
        assert!(held < prompt.len());
        self.slots[slot] = Some((salt.map(str::to_owned), prompt[..held].to_vec()));
        self.check();
        Some(held)
    }

    fn compute(&mut self, slot: usize, tokens: &[u32]) {
        for &token in tokens {
            let (salt, so_far) = self.slots[slot].as_mut().unwrap();
            so_far.push(token);
            let cell = Cell { number: self.cache.next, salt: salt.clone(), tokens: so_far.clone() };
            self.cache.next += 1;
            self.cache.of.entry(slot).or_default().insert(so_far.len() - 1, cell);
            self.prefixes.computed(slot, token, &mut self.cache);
            self.check();
        }
    }

    fn end(&mut self, slot: usize) {
        self.prefixes.end(slot, &mut self.cache);
        self.slots[slot] = None;
        self.check();
    }

    /// A request from beginning to end; what it had from before.
    fn run(&mut self, slot: usize, prompt: &[u32], answer: &[u32], salt: Option<&str>) -> usize {
        let held = self.begin(slot, prompt, answer.len(), salt).unwrap();
        self.compute(slot, &prompt[held..]);
        self.compute(slot, answer);
        self.end(slot);
        held
    }

    /// Each slot has the cells of its own tokens and salt, in order; and the cache never holds more than it can.
    fn check(&self) {
        for (slot, its) in self.slots.iter().enumerate() {
            let cells: Vec<&Cell> = self.cache.of.get(&slot).map(|cells| cells.values().collect()).unwrap_or_default();
            let (salt, tokens) = its.clone().unwrap_or_default();
            assert_eq!(cells.len(), tokens.len(), "slot {slot}");
            for (at, cell) in cells.iter().enumerate() {
                assert_eq!((&cell.salt, &cell.tokens[..]), (&salt, &tokens[..=at]), "slot {slot}");
            }
        }
        assert!(self.cache.live() <= self.prefixes.taken && self.prefixes.taken <= self.most);
    }
}

fn text(from: u32, len: u32) -> Vec<u32> {
    (from..from + len).collect()
}

#[test]
fn the_next_turn_of_a_conversation_finds_all_of_the_one_before() {
    let mut rig = Rig::new(1, 4, 1_000);
    let mut turn = text(0, 20);
    assert_eq!(rig.run(0, &turn, &text(100, 10), None), 0);
    turn.extend(text(100, 10));
    turn.extend(text(200, 5));
    assert_eq!(rig.run(0, &turn, &text(300, 2), None), 30);
    // The very same: all but the token that something has to follow.
    assert_eq!(rig.run(0, &turn, &[], None), 34);
}

#[test]
fn prompts_that_part_share_what_they_have_in_common_also_while_both_are_under_way() {
    let mut rig = Rig::new(3, 4, 1_000);
    let (one, two) = ([text(0, 50), text(100, 5)].concat(), [text(0, 50), text(200, 5)].concat());
    rig.begin(0, &one, 10, None).unwrap();
    rig.compute(0, &one);
    // The first one is not over, its prompt is.
    assert_eq!(rig.begin(1, &two, 10, None), Some(50));
    rig.compute(1, &two[50..]);
    rig.compute(0, &[7, 8]);
    rig.end(0);
    assert_eq!(rig.begin(2, &[&one[..], &[7, 8, 9]].concat(), 10, None), Some(57));
    rig.end(1);
    rig.end(2);
}

#[test]
fn what_two_compute_at_once_is_kept_once() {
    let mut rig = Rig::new(2, 4, 1_000);
    let prompt = text(0, 40);
    for slot in [0, 1] {
        assert_eq!(rig.begin(slot, &prompt, 5, None), Some(0));
    }
    rig.compute(0, &prompt);
    assert_eq!(rig.cache.live(), 40);
    rig.compute(1, &prompt);
    assert_eq!(rig.cache.live(), 40);
    rig.end(0);
    rig.end(1);
    assert_eq!((rig.cache.live(), rig.prefixes.taken), (40, 40));
}

#[test]
fn other_salts_never_meet() {
    let mut rig = Rig::new(1, 8, 1_000);
    let prompt = text(0, 20);
    for salt in [None, Some("a"), Some("b")] {
        assert_eq!(rig.run(0, &prompt, &[], salt), 0, "{salt:?}");
    }
    assert_eq!(rig.run(0, &prompt, &[], Some("a")), 19);
}

#[test]
fn without_room_the_prefix_goes_that_was_used_longest_ago_and_never_one_in_use() {
    let mut rig = Rig::new(2, 8, 100);
    for from in [0, 1_000, 2_000] {
        rig.run(0, &text(from, 30), &[], None);
    }
    // Used again, so that the second one is the oldest.
    assert_eq!(rig.run(0, &text(0, 30), &[], None), 29);
    rig.run(0, &text(3_000, 30), &[], None);
    assert_eq!(rig.begin(0, &text(0, 30), 0, None), Some(29));
    assert_eq!(rig.begin(1, &text(1_000, 30), 0, None), Some(0));
    rig.end(0);
    rig.end(1);
    // One that takes all there is leaves nothing, and waits while another is under way.
    rig.begin(0, &text(0, 30), 0, None).unwrap();
    assert_eq!(rig.begin(1, &text(5_000, 80), 20, None), None);
    rig.end(0);
    assert_eq!(rig.begin(1, &text(5_000, 80), 20, None), Some(0));
    assert_eq!(rig.prefixes.taken, 100);
}

#[test]
fn a_prefix_that_is_used_gives_way_where_it_is_not_shared() {
    let mut rig = Rig::new(1, 8, 100);
    rig.run(0, &text(0, 90), &[], None);
    // Ten tokens in common, and room for ninety more only if the others go.
    let prompt = [text(0, 10), text(500, 60)].concat();
    assert_eq!(rig.begin(0, &prompt, 30, None), Some(10));
}

#[test]
fn a_failed_step_leaves_nothing_behind() {
    let mut rig = Rig::new(1, 4, 100);
    let prompt = text(0, 20);
    rig.begin(0, &prompt, 5, None).unwrap();
    rig.compute(0, &prompt[..10]);
    rig.prefixes.spoiled(0);
    rig.end(0);
    assert_eq!((rig.cache.live(), rig.prefixes.taken), (0, 0));
    assert_eq!(rig.run(0, &prompt, &[], None), 0);
}

#[test]
fn without_ids_for_prefixes_nothing_is_kept() {
    let mut rig = Rig::new(2, 0, 100);
    assert_eq!(rig.run(0, &text(0, 20), &[1], None), 0);
    assert_eq!(rig.run(1, &text(0, 20), &[1], None), 0);
    assert_eq!((rig.cache.live(), rig.prefixes.taken), (0, 0));
}

proptest! {
    #[test]
    fn whatever_comes_each_sequence_has_its_own_tokens_and_the_cache_is_never_overrun(
        cells in 20usize..60,
        kept in 0usize..4,
        steps in prop::collection::vec((0usize..3, 0u8..4, prop::collection::vec(0u32..2, 1..12), 0usize..6, 0u8..3), 1..60),
    ) {
        let mut rig = Rig::new(3, kept, cells);
        let mut left: [Vec<u32>; 3] = Default::default();
        for (slot, what, prompt, answer, salt) in steps {
            let salt = [None, Some("a"), Some("b")][usize::from(salt)];
            if rig.slots[slot].is_none() {
                let busy = rig.slots.iter().any(Option::is_some);
                match rig.begin(slot, &prompt, answer, salt) {
                    Some(held) => left[slot] = [&prompt[held..], &vec![1; answer]].concat(),
                    None => prop_assert!(busy, "alone, and there is no room"),
                }
            } else if what == 0 || left[slot].is_empty() {
                rig.end(slot);
            } else {
                let count = left[slot].len().min(usize::from(what) * 2);
                let next: Vec<u32> = left[slot].drain(..count).collect();
                rig.compute(slot, &next);
            }
        }
        for slot in 0..3 {
            rig.end(slot);
        }
        prop_assert_eq!(rig.cache.live(), rig.prefixes.taken);
        prop_assert!(kept > 0 || rig.prefixes.taken == 0);
    }
}
