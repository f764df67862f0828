//! The windows against a cache that knows what is in each cell.

use proptest::prelude::*;

use super::*;

/// The cells of each window: whose salt, and the tokens up to there.
#[derive(Default)]
struct Cache {
    of: Vec<Vec<(Option<String>, Vec<u32>)>>,
    copies: usize,
}

impl Contents for Cache {
    fn copy(&mut self, of: usize, to: usize, len: usize) {
        assert!(len <= self.of[of].len());
        assert_ne!(of, to);
        self.of[to] = self.of[of].clone();
        self.copies += 1;
    }

    fn cut(&mut self, window: usize, from: usize) {
        self.of[window].truncate(from);
    }
}

struct Rig {
    windows: Windows,
    cache: Cache,
    slots: Vec<Option<(Option<String>, Vec<u32>)>>,
}

impl Rig {
    fn new(slots: usize, windows: usize) -> Self {
        let cache = Cache { of: vec![Vec::new(); windows.max(slots)], copies: 0 };
        Self { windows: Windows::new(slots, windows), cache, slots: vec![None; slots] }
    }

    fn begin(&mut self, slot: usize, prompt: &[u32], salt: Option<&str>) -> usize {
        let start = Start { slot, prompt, most: prompt.len(), salt, anew: false };
        let held = self.windows.begin(start, &mut self.cache);
        assert!(held < prompt.len());
        self.slots[slot] = Some((salt.map(str::to_owned), prompt[..held].to_vec()));
        self.check();
        held
    }

    /// A step with some tokens of one slot, and one token of each of the others that are under way.
    fn step(&mut self, slot: usize, tokens: &[u32]) {
        let busy = |its: &Option<(Option<String>, Vec<u32>)>| its.is_some();
        let all: Vec<usize> = (0..self.slots.len()).filter(|&slot| busy(&self.slots[slot])).collect();
        self.windows.close_gap(all.iter().copied(), &mut self.cache);
        self.check();
        for other in all {
            let tokens = if other == slot { tokens } else { &[1] };
            for &token in tokens {
                let (salt, so_far) = self.slots[other].as_mut().unwrap();
                so_far.push(token);
                self.cache.of[self.windows.of(other)].push((salt.clone(), so_far.clone()));
                self.windows.computed(other, token);
            }
        }
        self.check();
    }

    fn end(&mut self, slot: usize) {
        self.windows.end(slot, &mut self.cache);
        self.slots[slot] = None;
        self.check();
    }

    /// A request from beginning to end; what it had from before.
    fn run(&mut self, slot: usize, prompt: &[u32], salt: Option<&str>) -> usize {
        let held = self.begin(slot, prompt, salt);
        self.step(slot, &prompt[held..]);
        self.end(slot);
        held
    }

    /// Each slot has a window to itself, with the cells of its own tokens and salt in order and no others.
    fn check(&self) {
        let mut taken = Vec::new();
        for (slot, its) in self.slots.iter().enumerate() {
            let Some((salt, tokens)) = its else { continue };
            let id = self.windows.of(slot);
            assert!(!taken.contains(&id), "window {id} is given twice");
            taken.push(id);
            let cells = &self.cache.of[id];
            assert_eq!((cells.len(), self.windows.held(slot)), (tokens.len(), tokens.len()), "slot {slot}");
            for (at, cell) in cells.iter().enumerate() {
                assert_eq!((&cell.0, &cell.1[..]), (salt, &tokens[..=at]), "slot {slot}");
            }
        }
    }
}

fn text(from: u32, len: u32) -> Vec<u32> {
    (from..from + len).collect()
}

#[test]
fn the_next_turn_of_a_conversation_goes_on_in_its_own_window_without_a_copy() {
    let mut rig = Rig::new(2, 2);
    let mut turn = text(0, 100);
    assert_eq!(rig.run(0, &turn, None), 0);
    turn.extend(text(500, 20));
    assert_eq!(rig.run(1, &turn, None), 100);
    // The very same: all but the token that something has to follow.
    assert_eq!(rig.run(0, &turn, None), 119);
    assert_eq!(rig.cache.copies, 0);
}

#[test]
fn a_beginning_in_common_is_copied_from_one_under_way_and_from_one_that_is_longer() {
    let mut rig = Rig::new(3, 4);
    let (one, two) = ([text(0, 50), text(100, 100)].concat(), [text(0, 50), text(200, 5)].concat());
    rig.begin(0, &one, None);
    rig.step(0, &one[..140]);
    assert_eq!(rig.begin(1, &two, None), 50);
    rig.step(1, &two[50..]);
    rig.end(1);
    rig.end(0);
    assert_eq!(rig.cache.copies, 1);
    // Half of it and less would be lost.
    assert_eq!(rig.run(0, &[&one[..55], &[9]].concat(), None), 55);
    assert_eq!(rig.run(0, &one[..61], None), 60, "still there");
}

#[test]
fn other_salts_never_meet_and_a_short_beginning_is_not_worth_a_copy() {
    let mut rig = Rig::new(1, 4);
    let prompt = text(0, 40);
    for salt in [None, Some("a"), Some("b")] {
        assert_eq!(rig.run(0, &prompt, salt), 0, "{salt:?}");
    }
    assert_eq!(rig.run(0, &prompt, Some("a")), 39);
    let parts = [text(0, LEAST_COPIED as u32 - 19), text(900, 5)].concat();
    assert_eq!((rig.run(0, &parts, Some("a")), rig.cache.copies), (0, 0));
}

#[test]
fn the_window_goes_that_was_used_longest_ago_and_a_failed_step_leaves_nothing_behind() {
    let mut rig = Rig::new(1, 3);
    for from in [0, 1_000, 2_000] {
        rig.run(0, &text(from, 40), None);
    }
    assert_eq!(rig.run(0, &text(0, 40), None), 39);
    rig.run(0, &text(3_000, 40), None);
    assert_eq!(rig.run(0, &text(0, 40), None), 39);
    rig.begin(0, &text(2_000, 50), None);
    assert_eq!(rig.windows.held(0), 40, "the second one went");
    rig.windows.spoiled(0);
    rig.end(0);
    assert_eq!(rig.run(0, &text(2_000, 50), None), 0);
}

#[test]
fn sequences_come_to_stand_side_by_side_where_there_is_a_gap_between_them() {
    let mut rig = Rig::new(4, 4);
    for slot in 0..4 {
        rig.begin(slot, &text(slot as u32 * 100, 10), None);
    }
    rig.end(1);
    rig.step(0, &[]);
    let ids = |rig: &Rig| [0, 2, 3].map(|slot| rig.windows.of(slot));
    assert_eq!(ids(&rig), [0, 2, 1]);
    rig.step(0, &[]);
    assert_eq!((ids(&rig), rig.cache.copies), ([0, 2, 1], 1), "no more than that");
}

proptest! {
    #[test]
    fn whatever_comes_each_sequence_has_its_own_tokens(
        windows in 3usize..6,
        steps in prop::collection::vec((0usize..3, 0u8..4, 1usize..80, prop::collection::vec(0u32..2, 0..6), 0u8..3), 1..60),
    ) {
        let mut rig = Rig::new(3, windows);
        for (slot, what, same, rest, salt) in steps {
            let salt = [None, Some("a"), Some("b")][usize::from(salt)];
            if rig.slots[slot].is_none() {
                rig.begin(slot, &[&text(0, 80)[..same], &rest].concat(), salt);
            } else if what == 0 {
                rig.end(slot);
            } else if what == 1 {
                rig.windows.spoiled(slot);
                rig.end(slot);
            } else {
                let at = rig.windows.held(slot) as u32;
                rig.step(slot, &[&text(at, 10)[..], &rest].concat());
            }
        }
    }
}
