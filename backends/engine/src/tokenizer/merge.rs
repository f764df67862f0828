//! Joins neighbours, best pair first, until no pair can be joined: the heart of both tokenizers.
//!
//! A linked list of symbols and a heap of pairs: O(n log n), whatever the text. A pair in the heap whose
//! symbols have changed since is recognised by its length and skipped.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

/// A piece of text that is, or may become, a token.
#[derive(Clone, Debug)]
pub(super) struct Symbol {
    /// Where it stands in the text.
    pub(super) at: Range<usize>,
    /// Its token, if it is one.
    pub(super) id: Option<u32>,
}

/// What joining two neighbours gives: how early that should be done (less is earlier), and the token.
pub(super) type Join = Option<(u32, u32)>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    right: usize,
    len: usize,
    id: u32,
}

/// Joins what `join` allows. Of pairs of the same rank the leftmost goes first.
pub(super) fn merge(mut symbols: Vec<Symbol>, join: impl Fn(&Symbol, &Symbol) -> Join) -> Vec<Symbol> {
    const NONE: usize = usize::MAX;
    let count = symbols.len();
    let mut before: Vec<usize> = (0..count).map(|i| i.wrapping_sub(1)).collect(); // wraps to NONE
    let mut after: Vec<usize> = (1..=count).map(|i| if i == count { NONE } else { i }).collect();
    let pair = |symbols: &[Symbol], left: usize, right: usize| {
        let (rank, id) = join(&symbols[left], &symbols[right])?;
        Some(Reverse(Pair { rank, left, right, len: symbols[left].at.len() + symbols[right].at.len(), id }))
    };
    let mut heap: BinaryHeap<_> = (1..count).filter_map(|right| pair(&symbols, right - 1, right)).collect();
    while let Some(Reverse(Pair { left, right, len, id, .. })) = heap.pop() {
        // A symbol that was joined into another is empty.
        let (l, r) = (symbols[left].at.clone(), symbols[right].at.clone());
        if l.is_empty() || r.is_empty() || l.len() + r.len() != len {
            continue;
        }
        symbols[left] = Symbol { at: l.start..r.end, id: Some(id) };
        symbols[right].at = 0..0;
        after[left] = after[right];
        if after[left] != NONE {
            before[after[left]] = left;
            heap.extend(pair(&symbols, left, after[left]));
        }
        if before[left] != NONE {
            heap.extend(pair(&symbols, before[left], left));
        }
    }
    symbols.retain(|symbol| !symbol.at.is_empty());
    symbols
}
