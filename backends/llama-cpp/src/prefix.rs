//! Which tokens the one cache of keys and values holds that all sequences share, and for whom: a tree of prefixes, and what is under way.
//!
//! A cell of the cache holds one token's keys and values and belongs to any number of sequence ids. A node of the tree is a
//! run of tokens whose cells every leaf below it has; a leaf owns an id. A sequence that begins takes over the cells of the
//! longest prefix that the tree has, at no cost, and what it computes itself becomes a part of the tree when its prompt is
//! done and when it ends. So each cell is counted once: in a node, or as what a sequence has of its own or may still need.
//! Where there is no room, leaves that nobody uses go, the one first that was used longest ago.
//!
//! Prefixes with different salts have different roots and never meet. Knows nothing of llama.cpp: what has to happen to its
//! cells it asks of [`Cells`].

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use engine::Start;

/// A sequence's number in the cache.
pub(crate) type Id = usize;

/// What can be done with cells.
pub(crate) trait Cells {
    /// Gives the cells of positions `from..to` of one id to another as well.
    fn share(&mut self, of: Id, with: Id, from: usize, to: usize);
    /// Takes the cells from a position on away from an id. Those that no id has are free.
    fn cut(&mut self, id: Id, from: usize, to: Option<usize>);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Prefixes {
    nodes: Vec<Option<Node>>,
    vacant: Vec<usize>,
    roots: HashMap<Option<Box<str>>, Vec<usize>>,
    /// Ids for leaves that no leaf has.
    ids: Vec<Id>,
    slots: Vec<Option<Slot>>,
    /// Cells in all.
    cells: usize,
    /// Those that are in a node, or promised to a sequence.
    taken: usize,
    clock: u64,
    keeps: bool,
}

#[derive(Debug)]
struct Node {
    tokens: Vec<u32>,
    /// Tokens before these.
    start: usize,
    parent: Option<usize>,
    salt: Option<Box<str>>,
    children: Vec<usize>,
    /// A leaf's.
    id: Option<Id>,
    /// Sequences that stand on it.
    users: usize,
    used: u64,
}

impl Node {
    fn end(&self) -> usize {
        self.start + self.tokens.len()
    }
}

/// A sequence under way; its id is its slot's number.
#[derive(Debug)]
struct Slot {
    salt: Option<Box<str>>,
    /// Where its own cells begin: before them are those of this node and of what is above it.
    node: Option<usize>,
    shared: usize,
    /// Tokens that it may come to have.
    most: usize,
    /// Tokens that are computed.
    tokens: Vec<u32>,
    prompt: usize,
    /// Whether its cells are as its tokens say.
    sound: bool,
}

impl Prefixes {
    /// A cache of `cells` cells for `slots` sequences and `kept` prefixes. Without any of those nothing is kept.
    pub(crate) fn new(slots: usize, kept: usize, cells: usize) -> Self {
        Self {
            nodes: Vec::new(),
            vacant: Vec::new(),
            roots: HashMap::new(),
            ids: (slots..slots + kept).rev().collect(),
            slots: (0..slots).map(|_| None).collect(),
            cells,
            taken: 0,
            clock: 0,
            keeps: kept > 0,
        }
    }

    /// See [`engine::Steps::begin`].
    pub(crate) fn begin(&mut self, start: Start<'_>, cells: &mut impl Cells) -> Option<usize> {
        self.clock += 1;
        let salt: Option<Box<str>> = start.salt.map(Box::from);
        // One token at least must be computed, as something has to follow it.
        let known = if start.anew || !self.keeps { &[] } else { &start.prompt[..start.prompt.len() - 1] };
        let node = self.find(&salt, known);
        let shared = node.map_or(0, |node| self.node(node).end());
        self.use_node(node);
        let most = start.most.min(self.cells);
        if !self.make_room(most - shared, cells) {
            self.leave_node(node);
            return None;
        }
        self.taken += most - shared;
        if let Some(node) = node {
            let of = self.leaf_below(node);
            cells.share(of, start.slot, 0, shared);
        }
        let tokens = start.prompt[..shared].to_vec();
        let prompt = start.prompt.len();
        self.slots[start.slot] = Some(Slot { salt, node, shared, most, tokens, prompt, sound: true });
        Some(shared)
    }

    /// Tokens that a slot holds.
    pub(crate) fn held(&self, slot: usize) -> usize {
        self.slots[slot].as_ref().map_or(0, |its| its.tokens.len())
    }

    /// A token of a slot has been computed. With the last one of its prompt that becomes a prefix for others.
    pub(crate) fn computed(&mut self, slot: usize, token: u32, cells: &mut impl Cells) {
        let Some(its) = &mut self.slots[slot] else { return };
        its.tokens.push(token);
        if its.tokens.len() == its.prompt {
            self.keep(slot, cells);
        }
    }

    /// The cells of a slot may not be what its tokens say.
    pub(crate) fn spoiled(&mut self, slot: usize) {
        if let Some(its) = &mut self.slots[slot] {
            its.sound = false;
        }
    }

    /// See [`engine::Steps::end`].
    pub(crate) fn end(&mut self, slot: usize, cells: &mut impl Cells) {
        self.keep(slot, cells);
        cells.cut(slot, 0, None);
        let Some(its) = self.slots[slot].take() else { return };
        self.taken -= its.most - its.shared;
        self.leave_node(its.node);
    }

    /// Makes what a slot has computed a part of the tree.
    fn keep(&mut self, slot: usize, cells: &mut impl Cells) {
        let Some(its) = self.slots[slot].as_ref().filter(|its| its.sound && self.keeps) else { return };
        self.clock += 1;
        let (salt, tokens, shared) = (its.salt.clone(), its.tokens.clone(), its.shared);
        let found = self.find(&salt, &tokens);
        let known = found.map_or(0, |node| self.node(node).end());
        if let Some(node) = found.filter(|_| known > shared) {
            // Another has computed the same meanwhile: one of the two is enough.
            let of = self.leaf_below(node);
            cells.cut(slot, shared, Some(known));
            cells.share(of, slot, shared, known);
            self.stand(slot, node);
        }
        if known == tokens.len() {
            return;
        }
        let Some(id) = self.id_for(found, cells) else { return };
        cells.share(slot, id, if self.carries(found, id) { known } else { 0 }, tokens.len());
        let node = self.add(Node {
            tokens: tokens[known..].to_vec(),
            start: known,
            parent: found,
            salt: salt.clone(),
            children: Vec::new(),
            id: Some(id),
            users: 0,
            used: self.clock,
        });
        match found {
            Some(parent) => {
                let parent = self.node_mut(parent);
                parent.id = None;
                parent.children.push(node);
            }
            None => self.roots.entry(salt).or_default().push(node),
        }
        self.taken += tokens.len() - known;
        self.stand(slot, node);
    }

    /// Whether an id has the cells up to the end of a node already: it is the node's own.
    fn carries(&self, node: Option<usize>, id: Id) -> bool {
        node.is_some_and(|node| self.node(node).id == Some(id))
    }

    /// An id for a new leaf below a node: that of the node, where it is a leaf itself, else a free one.
    fn id_for(&mut self, node: Option<usize>, cells: &mut impl Cells) -> Option<Id> {
        // What the new leaf will stand on must stay.
        self.use_node(node);
        let id = loop {
            if let Some(id) = node.and_then(|node| self.node(node).id).or_else(|| self.ids.pop()) {
                break Some(id);
            }
            if !self.drop_one(cells) {
                break None;
            }
        };
        self.leave_node(node);
        id
    }

    /// A slot stands on another node from now on, up to whose end its tokens are the tree's.
    fn stand(&mut self, slot: usize, node: usize) {
        self.use_node(Some(node));
        let shared = self.node(node).end();
        let Some(its) = &mut self.slots[slot] else { return };
        self.taken -= shared - its.shared;
        its.shared = shared;
        let before = its.node.replace(node);
        self.leave_node(before);
    }

    fn use_node(&mut self, node: Option<usize>) {
        if let Some(node) = node {
            self.node_mut(node).users += 1;
        }
    }

    fn leave_node(&mut self, node: Option<usize>) {
        if let Some(node) = node {
            self.node_mut(node).users -= 1;
        }
    }

    /// The node at which the longest prefix that is known ends; one that ends within a node parts it in two.
    fn find(&mut self, salt: &Option<Box<str>>, tokens: &[u32]) -> Option<usize> {
        let mut found = None;
        let mut at = 0;
        loop {
            let below = match found {
                None => self.roots.get(salt).map_or(&[][..], Vec::as_slice),
                Some(node) => &self.node(node).children,
            };
            let rest = &tokens[at..];
            let Some(&next) = below.iter().find(|&&child| self.node(child).tokens.first() == rest.first()) else {
                return found;
            };
            let node = self.node(next);
            let same = node.tokens.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if same == 0 {
                return found;
            }
            let whole = same == node.tokens.len();
            let next = if whole { next } else { self.part(next, same) };
            let clock = self.clock;
            self.node_mut(next).used = clock;
            if !whole {
                return Some(next);
            }
            (found, at) = (Some(next), at + same);
        }
    }

    /// Parts a node in two: a new one with the first tokens, above what keeps the others, its users and its id.
    fn part(&mut self, lower: usize, len: usize) -> usize {
        let node = self.node_mut(lower);
        let rest = node.tokens.split_off(len);
        let tokens = std::mem::replace(&mut node.tokens, rest);
        let (start, parent, salt, used) = (node.start, node.parent, node.salt.clone(), node.used);
        node.start += len;
        let upper = self.add(Node {
            tokens,
            start,
            parent,
            salt: salt.clone(),
            children: vec![lower],
            id: None,
            users: 0,
            used,
        });
        self.node_mut(lower).parent = Some(upper);
        let siblings = match parent {
            Some(parent) => &mut self.node_mut(parent).children,
            None => self.roots.entry(salt).or_default(),
        };
        if let Some(place) = siblings.iter_mut().find(|child| **child == lower) {
            *place = upper;
        }
        upper
    }

    /// An id that has all the cells up to the end of a node.
    fn leaf_below(&self, mut node: usize) -> Id {
        loop {
            let here = self.node(node);
            match (here.id, here.children.first()) {
                (Some(id), _) => return id,
                (None, Some(&child)) => node = child,
                (None, None) => unreachable!("a node without children is a leaf, and a leaf has an id"),
            }
        }
    }

    /// Lets go of leaves until there is room for so many cells more. Whether there is.
    fn make_room(&mut self, wanted: usize, cells: &mut impl Cells) -> bool {
        while self.taken + wanted > self.cells {
            if !self.drop_one(cells) {
                return false;
            }
        }
        true
    }

    /// Lets go of the leaf that was used longest ago, of those that nobody stands on. Whether there was one.
    fn drop_one(&mut self, cells: &mut impl Cells) -> bool {
        let leaves = self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.as_ref()?)));
        let idle = leaves.filter(|(_, node)| node.children.is_empty() && node.users == 0);
        let Some(index) = idle.min_by_key(|(_, node)| node.used).map(|(index, _)| index) else { return false };
        let Some(node) = self.nodes[index].take() else { return false };
        self.vacant.push(index);
        self.taken -= node.tokens.len();
        let siblings = match node.parent {
            Some(parent) => &mut self.node_mut(parent).children,
            None => self.roots.entry(node.salt.clone()).or_default(),
        };
        siblings.retain(|child| *child != index);
        let last = siblings.is_empty();
        match (node.parent, node.id) {
            // The one above is a leaf now, and has its cells by this id.
            (Some(parent), Some(id)) if last => {
                cells.cut(id, node.start, None);
                self.node_mut(parent).id = Some(id);
            }
            (_, Some(id)) => {
                cells.cut(id, 0, None);
                self.ids.push(id);
            }
            (_, None) => {}
        }
        if node.parent.is_none() && last {
            self.roots.remove(&node.salt);
        }
        true
    }

    fn add(&mut self, node: Node) -> usize {
        match self.vacant.pop() {
            Some(index) => {
                self.nodes[index] = Some(node);
                index
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() - 1
            }
        }
    }

    fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("an index is let go of with its node")
    }

    fn node_mut(&mut self, index: usize) -> &mut Node {
        self.nodes[index].as_mut().expect("an index is let go of with its node")
    }
}
