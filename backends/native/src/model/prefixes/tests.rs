//! What slots and the tree hold, against a memory that knows which tokens each position was computed for.

use std::hash::{DefaultHasher, Hash, Hasher};

use engine::Holds;
use proptest::{collection::vec, prelude::*};

use super::*;

/// Prefixes, and what a machine would have in its pages.
struct Machine {
    its: Prefixes,
    /// Of each position of each page, the salt and tokens up to it.
    memory: Vec<[u64; PAGE]>,
}

/// Stands for keys and values, which depend on all tokens up to their own.
fn stamp(tokens: &[u32], salt: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tokens, salt).hash(&mut hasher);
    hasher.finish()
}

fn copies(memory: &mut [[u64; PAGE]]) -> impl FnMut(Copy) + '_ {
    |Copy { from, to, len }| {
        assert!(from != to && len <= PAGE);
        let copied = memory[from];
        memory[to][..len].copy_from_slice(&copied[..len]);
    }
}

impl Machine {
    fn new(slots: usize, context: usize) -> Self {
        let its = Prefixes::new(slots, context, 500.0);
        Machine { memory: vec![[0; PAGE]; its.pages.len()], its }
    }

    fn begin(&mut self, slot: usize, prompt: &[u32], salt: Option<&str>) -> Option<usize> {
        let start = Start { slot, prompt, most: prompt.len() + 1, salt, anew: false };
        self.its.tell();
        let read = self.its.held().held(prompt, salt);
        let held = self.its.begin(start, &mut copies(&mut self.memory));
        assert!(held.is_none_or(|held| held == read), "{held:?}, and {read} could be read");
        self.check();
        held
    }

    /// Computes some tokens of a slot behind its first `at`, or does not come to it.
    fn step(&mut self, slot: usize, at: usize, tokens: &[u32], done: bool) {
        for (i, &token) in tokens.iter().enumerate() {
            self.its.extend(slot, at + i, token, &mut copies(&mut self.memory));
        }
        // Even a step that fails may have written by then.
        for position in at..at + tokens.len() {
            let slot = &self.its.slots[slot];
            let salt = slot.begun.as_ref().and_then(|begun| begun.salt.as_deref());
            self.memory[slot.pages[position / PAGE]][position % PAGE] = stamp(&slot.tokens[..=position], salt);
        }
        if done {
            self.its.keep(slot);
        } else {
            self.its.undo(slot);
        }
        self.check();
    }

    /// Begins and computes a whole prompt: how much was held.
    fn whole(&mut self, slot: usize, prompt: &[u32], salt: Option<&str>) -> usize {
        let held = self.begin(slot, prompt, salt).expect("nobody to wait for");
        self.step(slot, held, &prompt[held..], true);
        held
    }

    fn end(&mut self, slot: usize) {
        self.its.end(slot);
        self.check();
    }

    /// Every slot and every node has its own tokens in its pages, and every page is counted.
    fn check(&self) {
        let its = &self.its;
        for slot in &its.slots {
            let salt = slot.begun.as_ref().and_then(|begun| begun.salt.as_deref());
            for position in 0..slot.computed {
                let found = self.memory[slot.pages[position / PAGE]][position % PAGE];
                assert_eq!(found, stamp(&slot.tokens[..=position], salt), "position {position}");
            }
        }
        for (id, node) in &its.nodes {
            let (tokens, salt) = self.path(id);
            for (i, found) in self.memory[node.page][..node.tokens.len()].iter().enumerate() {
                assert_eq!(*found, stamp(&tokens[..=node.depth + i], salt.as_deref()), "node {id}");
            }
            assert!(node.children.is_empty() || node.tokens.len() == PAGE);
        }
        let mut free = 0;
        for (id, page) in its.pages.iter().enumerate() {
            let slots = its.slots.iter().flat_map(|slot| &slot.pages).filter(|page| **page == id).count();
            let nodes = its.nodes.iter().filter(|(_, node)| node.page == id).count();
            assert_eq!((page.slots as usize, page.nodes as usize), (slots, nodes), "page {id}");
            free += usize::from(slots + nodes == 0);
        }
        assert_eq!(its.free.len(), free);
    }

    /// The tokens up to the end of a node, and their salt.
    fn path(&self, id: usize) -> (Vec<u32>, Option<Box<str>>) {
        let node = &self.its.nodes[id];
        let (mut tokens, salt) = match &node.parent {
            Ok(parent) => self.path(*parent),
            Err(salt) => (Vec::new(), salt.clone()),
        };
        assert_eq!(tokens.len(), node.depth);
        tokens.extend_from_slice(&node.tokens);
        (tokens, salt)
    }
}

fn text(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i + 1_000 * seed).wrapping_mul(2_654_435_761) >> 20).collect()
}

#[test]
fn a_prompt_finds_what_was_computed_at_any_length_and_no_more() {
    let mut its = Machine::new(3, 400);
    let first = text(200, 1);
    assert_eq!(its.whole(0, &first, None), 0);
    // While the first is there, and after it.
    for slot in [1, 2] {
        for len in [1, 63, 64, 65, 130, 199] {
            let prompt = [&first[..len], &text(20, 1 + slot as u32)].concat();
            assert_eq!(its.whole(slot, &prompt, None), len);
            its.end(slot);
        }
        // All but one token, which something has to follow.
        assert_eq!(its.whole(slot, &first, None), 199);
        its.end(slot);
        its.end(0);
    }
    assert_eq!(its.whole(0, &first, Some("another owner's")), 0);
    let anew = Start { slot: 1, prompt: &first, most: 201, salt: None, anew: true };
    assert_eq!(its.its.begin(anew, &mut copies(&mut its.memory)), Some(0));
}

#[test]
fn what_an_answer_added_is_held_for_the_next_turn() {
    let mut its = Machine::new(1, 400);
    let (prompt, answer) = (text(70, 3), text(100, 4));
    its.whole(0, &prompt, None);
    for (i, token) in answer.iter().enumerate() {
        its.step(0, 70 + i, &[*token], true);
    }
    its.end(0);
    assert_eq!(its.begin(0, &[&prompt[..], &answer, &text(9, 5)].concat(), None), Some(170));
}

#[test]
fn two_who_ask_the_same_at_once_compute_it_once() {
    let mut its = Machine::new(3, 400);
    let (one, other) = ([text(150, 6), text(30, 7)].concat(), [text(150, 6), text(40, 8)].concat());
    assert_eq!(its.begin(0, &one, None), Some(0));
    its.step(0, 0, &one[..20], true);
    assert_eq!(its.begin(1, &other, None), None, "two pages are on their way");
    // Somebody else's, and a beginning of less than a page, do not wait.
    assert_eq!(its.begin(1, &other, Some("salt")), Some(0));
    its.end(1);
    assert_eq!(its.begin(1, &[&one[..40], &text(99, 9)].concat(), None), Some(0));
    its.end(1);
    its.step(0, 20, &one[20..70], true);
    assert_eq!(its.begin(1, &other, None), None, "the second page is on its way");
    its.step(0, 70, &one[70..140], true);
    // What is left is less than a page.
    assert_eq!(its.begin(1, &other, None), Some(128));
    its.end(1);
    // One who stands still is not waited for.
    assert_eq!(its.begin(1, &text(200, 10), None), Some(0));
    assert_eq!(its.begin(2, &text(200, 10), None), None);
    assert_eq!(its.begin(2, &text(200, 10), None), Some(0));
}

#[test]
fn the_same_page_computed_twice_is_kept_once() {
    let mut its = Machine::new(2, 400);
    let prompt = text(200, 11);
    its.begin(0, &prompt, None);
    its.begin(1, &prompt, None);
    its.begin(1, &prompt, None);
    its.step(0, 0, &prompt, true);
    its.step(1, 0, &prompt, true);
    assert_eq!(its.its.slots[0].pages[..3], its.its.slots[1].pages[..3]);
    assert_ne!(its.its.slots[0].pages[3], its.its.slots[1].pages[3]);
}

#[test]
fn what_was_guessed_wrongly_is_written_where_nobody_reads() {
    let mut its = Machine::new(2, 400);
    let prompt = text(60, 12);
    its.whole(0, &prompt, None);
    // The guess fills a page, which others may read from then on; then it turns out to be wrong.
    its.step(0, 60, &text(8, 13), true);
    let guessed = [&prompt[..], &text(8, 13), &[7]].concat();
    its.its.cut(0, 62);
    its.step(0, 62, &text(30, 14), true);
    assert_eq!(its.whole(1, &guessed, None), 64, "right for who writes the same");
}

#[test]
fn the_leaf_that_is_worth_least_makes_room() {
    // Room for four pages and one more.
    let mut its = Machine::new(1, 4 * PAGE);
    let (long, short) = ([text(2 * PAGE, 15), vec![1]].concat(), [text(PAGE, 16), vec![1]].concat());
    its.whole(0, &long, None);
    its.end(0);
    its.whole(0, &short, None);
    its.end(0);
    // All pages are used: two and one that has one token, one and another such. Those go first.
    assert_eq!(its.its.free.len(), 0);
    its.whole(0, &[text(PAGE, 17), vec![1]].concat(), None);
    its.end(0);
    assert_eq!(its.begin(0, &long, None), Some(2 * PAGE));
    its.end(0);
    assert_eq!(its.begin(0, &short, None), Some(PAGE));
    its.end(0);
    // Of whole pages the one that nobody asked for again goes, from the end.
    its.whole(0, &[text(PAGE, 18), vec![1]].concat(), None);
    its.end(0);
    assert_eq!(its.begin(0, &long, None), Some(2 * PAGE));
    its.end(0);
    assert_eq!(its.begin(0, &[text(PAGE, 17), vec![1]].concat(), None), Some(0));
}

#[derive(Clone, Debug)]
enum Act {
    Begin { slot: usize, prompt: usize, len: usize, salted: bool },
    Step { slot: usize, count: usize, seed: u32, done: bool },
    Forget { slot: usize, count: usize },
    End { slot: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let slot = 0..3usize;
    vec(
        prop_oneof![
            3 => (slot.clone(), 0..6usize, 1..300usize, any::<bool>())
                .prop_map(|(slot, prompt, len, salted)| Act::Begin { slot, prompt, len, salted }),
            6 => (slot.clone(), 1..90usize, 0..3u32, prop::bool::weighted(0.8))
                .prop_map(|(slot, count, seed, done)| Act::Step { slot, count, seed, done }),
            1 => (slot.clone(), 1..70usize).prop_map(|(slot, count)| Act::Forget { slot, count }),
            2 => slot.prop_map(|slot| Act::End { slot }),
        ],
        1..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_every_slot_has_its_own_tokens_and_there_is_always_a_page(acts in acts()) {
        const CONTEXT: usize = 300;
        let mut its = Machine::new(3, CONTEXT);
        // Six texts that part at 0, 40, 64, 100 and 200.
        let stem = text(CONTEXT, 20);
        let texts: Vec<Vec<u32>> = [0, 40, 64, 100, 200, CONTEXT]
            .into_iter()
            .map(|at| [&stem[..at], &text(CONTEXT - at, 21 + at as u32)].concat())
            .collect();
        let mut prompts: [Option<Vec<u32>>; 3] = [None, None, None];
        for act in acts {
            match act {
                Act::Begin { slot, prompt, len, salted } => {
                    if prompts[slot].is_none() {
                        let prompt = &texts[prompt][..len];
                        let held = its.begin(slot, prompt, salted.then_some("salt"));
                        let held = held.or_else(|| its.begin(slot, prompt, salted.then_some("salt")));
                        prop_assert!(held.is_some_and(|held| held < len), "{held:?} of {len}");
                        prompts[slot] = Some(prompt.to_vec());
                    }
                }
                Act::Step { slot, count, seed, done } => {
                    if let Some(prompt) = &prompts[slot] {
                        let at = its.its.len(slot);
                        let rest = prompt.get(at..).unwrap_or_default();
                        let next = if rest.is_empty() { text(count, seed) } else { rest.to_vec() };
                        its.step(slot, at, &next[..count.min(next.len()).min(CONTEXT - at)], done);
                    }
                }
                Act::Forget { slot, count } => {
                    if let Some(prompt) = &prompts[slot] {
                        let len = its.its.len(slot);
                        its.its.cut(slot, len.saturating_sub(count).max(prompt.len().min(len)));
                        its.check();
                    }
                }
                Act::End { slot } => {
                    its.end(slot);
                    prompts[slot] = None;
                }
            }
        }
    }
}

/// What is read while others change it is what was held at some moment, and the engine waits for no reader.
#[test]
fn a_reader_does_not_stop_the_engine_and_sees_the_change_when_it_is_done() {
    let mut machine = Machine::new(1, 256);
    let prompt = text(100, 1);
    let held = machine.its.held();
    let reading = held.read();
    machine.whole(0, &prompt, None);
    machine.end(0);
    machine.its.tell();
    drop(reading);
    assert_eq!(held.held(&prompt, None), 0, "it is told of at the next step");
    machine.its.tell();
    assert_eq!((held.held(&prompt, None), held.held(&prompt, Some("other"))), (99, 0));
    assert_eq!((held.held(&prompt[..1], None), held.held(&[], None)), (0, 0));
}
