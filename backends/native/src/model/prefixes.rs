//! Which pages hold which tokens: those of each slot, and a tree of what earlier ones left.
//!
//! A node of the tree is a page: its tokens follow those of its parent, and the first ones follow a salt, so that sequences of
//! different owners never meet. A page that is full joins the tree at once, so that others may read it while its sequence goes
//! on; one that is not joins where the prompt ends and where the sequence does, and never has children. Pages are counted: each
//! slot and each node that has one. What many read nobody writes: a slot whose tokens part from a page in its middle gets a copy
//! up to there, and one that would write where others read gets its own.
//!
//! With no page left the leaf goes that is worth least by the rule of GreedyDual-Size (Cao and Irani, "Cost-Aware WWW Proxy
//! Caching Algorithms", 1997): worth is what computing it anew would take, beside the worth of what went last when it was last
//! used. There is room for every slot's whole context and one page more, for the copy that is made before what it replaces is
//! let go: there is always a page.
//!
//! Knows numbers of pages and tokens; nothing of what is in them.

mod held;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use engine::Start;
use slab::Slab;

use super::cache::PAGE;
use held::Change;
pub(crate) use held::Held;

/// A page whose first positions another one is to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) len: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Prefixes {
    slots: Vec<Slot>,
    pages: Vec<Page>,
    free: Vec<usize>,
    nodes: Slab<Node>,
    roots: HashMap<Option<Box<str>>, Children>,
    /// Tokens at which looking back takes as long as the rest of a token.
    even: f64,
    /// The worth of what went last.
    floor: f64,
    clock: u64,
    /// The name of the node that joins next; none is ever given twice.
    next: u64,
    /// What others read of it, and what they do not see yet.
    held: Arc<Held>,
    noted: Vec<Change>,
}

#[derive(Debug, Default)]
struct Slot {
    /// What its pages hold, and what a step is about to add.
    tokens: Vec<u32>,
    /// How many of them are computed.
    computed: usize,
    pages: Vec<usize>,
    /// The nodes of its first pages: those that are full and computed.
    path: Vec<usize>,
    /// What it began with; none while it has no sequence of somebody's.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    prompt: Box<[u32]>,
    salt: Option<Box<str>>,
    /// How much of it was computed when another sequence last asked for it.
    asked: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// Slots that have it.
    slots: u32,
    /// Nodes that have it: one that is full, or some that are not.
    nodes: u32,
    /// Positions that others may read: they are not written.
    shared: usize,
}

/// Nodes by their tokens: the neighbours of some tokens in this order are those that have most of them in common.
type Children = BTreeMap<Arc<[u32]>, usize>;

#[derive(Debug)]
struct Node {
    name: u64,
    tokens: Arc<[u32]>,
    page: usize,
    /// The node before, or the salt of its root.
    parent: Result<usize, Option<Box<str>>>,
    children: Children,
    /// Tokens before it.
    depth: usize,
    worth: f64,
    used: u64,
}

impl Prefixes {
    /// Pages for slots of so many tokens.
    pub(super) fn pages(slots: usize, context: usize) -> Option<usize> {
        slots.checked_mul(context.div_ceil(PAGE))?.checked_add(1)
    }

    pub(super) fn new(slots: usize, context: usize, even: f64) -> Self {
        let pages = Self::pages(slots, context).unwrap_or(0);
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            pages: vec![Page::default(); pages],
            free: (0..pages).rev().collect(),
            nodes: Slab::new(),
            roots: HashMap::new(),
            even,
            floor: 0.0,
            clock: 0,
            next: 0,
            held: Arc::default(),
            noted: Vec::new(),
        }
    }

    /// What is held, for other threads to read; as it was when [`Prefixes::tell`] was last called, or a moment before.
    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Tells what has changed.
    pub(super) fn tell(&mut self) {
        self.held.follow(&mut self.noted);
    }

    /// Tokens of a slot, with those that a step is about to add.
    pub(super) fn len(&self, slot: usize) -> usize {
        self.slots[slot].tokens.len()
    }

    /// The pages of a slot, in order.
    pub(super) fn of(&self, slot: usize) -> &[usize] {
        &self.slots[slot].pages
    }

    /// Gives an empty slot to a sequence: how many tokens of its prompt it holds, after what is to be copied. `None` while another
    /// slot is computing, and getting on with, a good part of what this one would.
    pub(super) fn begin(&mut self, start: Start<'_>, copy: &mut impl FnMut(Copy)) -> Option<usize> {
        // One token at least must be computed, as something has to follow it.
        let known = if start.anew { &[] } else { &start.prompt[..start.prompt.len() - 1] };
        let (path, part) = self.find(known, start.salt);
        let held = path.len() * PAGE + part.map_or(0, |(_, len)| len);
        if self.is_coming(known, start.salt, held) {
            return None;
        }
        self.cut(start.slot, 0);
        self.clock += 1;
        for &node in path.iter().chain(part.as_ref().map(|(node, _)| node)) {
            self.touch(node);
        }
        let mut pages: Vec<usize> = path.iter().map(|&node| self.nodes[node].page).collect();
        pages.iter().for_each(|&page| self.pages[page].slots += 1);
        if let Some((node, len)) = part {
            let from = self.nodes[node].page;
            // So that it does not go to make room for its copy.
            self.pages[from].slots += 1;
            let to = self.take();
            copy(Copy { from, to, len });
            self.let_go(from);
            pages.push(to);
        }
        let begun = Begun { prompt: start.prompt.into(), salt: start.salt.map(Box::from), asked: None };
        let tokens = known[..held].to_vec();
        self.slots[start.slot] = Slot { tokens, computed: held, pages, path, begun: Some(begun) };
        Some(held)
    }

    /// Makes room for a token of a slot that the next step computes: what was at its position and behind is forgotten.
    pub(super) fn extend(&mut self, slot: usize, position: usize, token: u32, copy: &mut impl FnMut(Copy)) {
        if position < self.slots[slot].tokens.len() {
            self.cut(slot, position);
        }
        let (index, len) = (position / PAGE, position % PAGE);
        match self.slots[slot].pages.get(index).copied() {
            None => {
                let page = self.take();
                self.slots[slot].pages.push(page);
            }
            Some(from) if len < self.pages[from].shared => {
                let to = self.take();
                copy(Copy { from, to, len });
                self.slots[slot].pages[index] = to;
                self.let_go(from);
            }
            Some(_) => {}
        }
        self.slots[slot].tokens.push(token);
    }

    /// The tokens of a slot are computed, all of them.
    pub(super) fn keep(&mut self, slot: usize) {
        let its = &mut self.slots[slot];
        let before = std::mem::replace(&mut its.computed, its.tokens.len());
        let Some(begun) = &its.begun else { return };
        let prompt = begun.prompt.len();
        self.clock += 1;
        while self.slots[slot].path.len() < self.slots[slot].computed / PAGE {
            self.insert(slot);
        }
        if before < prompt && self.slots[slot].computed == prompt {
            self.insert_part(slot);
        }
    }

    /// All but the first `len` tokens of a slot are forgotten.
    pub(super) fn cut(&mut self, slot: usize, len: usize) {
        let its = &mut self.slots[slot];
        its.tokens.truncate(len);
        its.computed = its.computed.min(len);
        its.path.truncate(len / PAGE);
        let pages = its.pages.split_off(len.div_ceil(PAGE).min(its.pages.len()));
        pages.into_iter().rev().for_each(|page| self.let_go(page));
    }

    /// What a step has not computed is forgotten.
    pub(super) fn undo(&mut self, slot: usize) {
        self.cut(slot, self.slots[slot].computed);
    }

    /// The sequence of a slot is over; what it has computed stays for others.
    pub(super) fn end(&mut self, slot: usize) {
        self.undo(slot);
        if self.slots[slot].begun.is_some() {
            self.clock += 1;
            self.insert_part(slot);
        }
        self.cut(slot, 0);
        self.slots[slot].begun = None;
    }

    /// The nodes of full pages that some tokens begin with, and the one that goes on for longest of those behind, with how long.
    fn find(&self, tokens: &[u32], salt: Option<&str>) -> (Vec<usize>, Option<(usize, usize)>) {
        let mut path = Vec::new();
        let Some(mut children) = self.roots.get(&salt.map(Box::from)) else { return (path, None) };
        for page in tokens.chunks(PAGE) {
            match children.get(page) {
                Some(&node) if page.len() == PAGE => {
                    path.push(node);
                    children = &self.nodes[node].children;
                }
                _ => return (path, nearest(children, page)),
            }
        }
        (path, None)
    }

    /// Whether another slot is computing a page more than is held of some tokens, and has got on since this was last asked: one
    /// whose caller reads nothing may stand still.
    fn is_coming(&mut self, known: &[u32], salt: Option<&str>, held: usize) -> bool {
        let coming = |slot: &&mut Slot| {
            let Some(begun) = &slot.begun else { return false };
            let alike = common(&begun.prompt, known);
            // A page that is not full is read once the prompt is computed.
            let soon = if alike == begun.prompt.len() { alike } else { alike / PAGE * PAGE };
            begun.salt.as_deref() == salt && slot.computed < soon && soon >= held + PAGE
        };
        let Some(slot) = self.slots.iter_mut().find(coming) else { return false };
        let computed = slot.computed;
        let asked = slot.begun.as_mut().and_then(|begun| begun.asked.replace(computed));
        asked != Some(computed)
    }

    /// Puts the next full page of a slot into the tree, or lets it go for one there that has the same tokens: what is computed for
    /// tokens is the same to the bit, whoever computes it.
    fn insert(&mut self, slot: usize) {
        let its = &self.slots[slot];
        let index = its.path.len();
        let (tokens, page) = (&its.tokens[index * PAGE..][..PAGE], its.pages[index]);
        let node = match self.children(slot).and_then(|children| children.get(tokens)) {
            Some(&node) => {
                let other = self.nodes[node].page;
                if other != page {
                    self.pages[other].slots += 1;
                    self.slots[slot].pages[index] = other;
                    self.let_go(page);
                }
                node
            }
            None => self.add(slot, tokens.into(), page),
        };
        self.touch(node);
        self.slots[slot].path.push(node);
    }

    /// Puts what a slot has computed of its last page into the tree, unless there is one that begins so.
    fn insert_part(&mut self, slot: usize) {
        let its = &self.slots[slot];
        let tokens = &its.tokens[its.path.len() * PAGE..its.computed];
        let Some(&page) = its.pages.get(its.path.len()).filter(|_| !tokens.is_empty()) else { return };
        if let Some((node, len)) = self.children(slot).and_then(|children| nearest(children, tokens))
            && len == tokens.len()
        {
            return self.touch(node);
        }
        let node = self.add(slot, tokens.into(), page);
        self.touch(node);
    }

    /// A node behind those of a slot. One that it goes on from is left to it.
    fn add(&mut self, slot: usize, tokens: Arc<[u32]>, page: usize) -> usize {
        let before = |children: &Children| {
            let (other, &node) = children.range::<[u32], _>((Unbounded, Excluded(&*tokens))).next_back()?;
            tokens.starts_with(other).then_some(node)
        };
        if let Some(shorter) = self.children(slot).and_then(before) {
            self.remove(shorter);
        }
        self.pages[page].nodes += 1;
        self.pages[page].shared = self.pages[page].shared.max(tokens.len());
        let its = &self.slots[slot];
        let salt = || its.begun.as_ref().and_then(|begun| begun.salt.clone());
        let parent = its.path.last().copied().ok_or_else(salt);
        let depth = its.path.len() * PAGE;
        let (children, key) = (Children::new(), Arc::clone(&tokens));
        let name = self.next;
        self.next += 1;
        let follows = parent.clone().map(|parent| self.nodes[parent].name);
        self.noted.push(Change::Joined(follows, Arc::clone(&tokens), name));
        let node = Node { name, tokens, page, parent: parent.clone(), children, depth, worth: 0.0, used: 0 };
        let id = self.nodes.insert(node);
        match parent {
            Ok(parent) => self.nodes[parent].children.insert(key, id),
            Err(salt) => self.roots.entry(salt).or_default().insert(key, id),
        };
        id
    }

    /// What follows the nodes of a slot.
    fn children(&self, slot: usize) -> Option<&Children> {
        let its = &self.slots[slot];
        match its.path.last() {
            Some(&node) => Some(&self.nodes[node].children),
            None => self.roots.get(&its.begun.as_ref()?.salt),
        }
    }

    /// A node is used.
    fn touch(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        let (len, middle) = (node.tokens.len() as f64, node.depth as f64 + node.tokens.len() as f64 / 2.0);
        node.worth = self.floor + len * (1.0 + middle / self.even);
        node.used = self.clock;
    }

    /// Takes a node without children out.
    fn remove(&mut self, id: usize) {
        let Node { tokens, page, parent, .. } = self.nodes.remove(id);
        let follows = parent.clone().map(|parent| self.nodes[parent].name);
        self.noted.push(Change::Left(follows, Arc::clone(&tokens)));
        match parent {
            Ok(parent) => {
                self.nodes[parent].children.remove(&tokens);
            }
            Err(salt) => {
                let children = self.roots.get_mut(&salt);
                if children.is_some_and(|children| children.remove(&tokens).is_some() && children.is_empty()) {
                    self.roots.remove(&salt);
                }
            }
        }
        self.pages[page].nodes -= 1;
        self.reclaim(page);
    }

    /// A page of nobody's, which is now a slot's.
    fn take(&mut self) -> usize {
        while self.free.is_empty() && self.make_room() {}
        let page = self.free.pop().expect("a page more than all slots can hold");
        self.pages[page] = Page { slots: 1, ..Page::default() };
        page
    }

    /// Takes the leaf out that is worth least, of those that no slot reads; false if there is none.
    fn make_room(&mut self) -> bool {
        let idle = |(_, node): &(usize, &Node)| node.children.is_empty() && self.pages[node.page].slots == 0;
        let worth = |node: &Node, other: &Node| node.worth.total_cmp(&other.worth).then(node.used.cmp(&other.used));
        let leaves = self.nodes.iter().filter(idle);
        let Some((id, node)) = leaves.min_by(|(_, node), (_, other)| worth(node, other)) else { return false };
        self.floor = node.worth;
        self.remove(id);
        true
    }

    /// A slot has a page no more.
    fn let_go(&mut self, page: usize) {
        self.pages[page].slots -= 1;
        self.reclaim(page);
    }

    fn reclaim(&mut self, page: usize) {
        if let Page { slots: 0, nodes: 0, .. } = self.pages[page] {
            self.free.push(page);
        }
    }
}

/// The child that has most of some tokens in common, and how many.
fn nearest<N: std::marker::Copy>(children: &BTreeMap<Arc<[u32]>, N>, tokens: &[u32]) -> Option<(N, usize)> {
    let after = children.range::<[u32], _>((Included(tokens), Unbounded)).next();
    let before = children.range::<[u32], _>((Unbounded, Excluded(tokens))).next_back();
    let shared = |(other, &node): (&Arc<[u32]>, &N)| (node, common(other, tokens));
    [after, before].into_iter().flatten().map(shared).filter(|(_, len)| *len > 0).max_by_key(|(_, len)| *len)
}

/// How many tokens two beginnings have in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
