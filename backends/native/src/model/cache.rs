//! Keys and values of the tokens seen so far, as halves, in the layout of packed weights.
//!
//! A lane holds one slot and one head of keys, for all layers, and up to `context` positions. Keys are a matrix with a
//! row for each position, for the product with queries; values are one with a column for each position, for the product
//! with the weights that come of it. Memory is taken as zeroed pages, which the system provides when a position is first
//! written. A lock is for the thread that writes a lane while no other looks at it.

use std::{
    ops::Range,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kernels::{Panels, pack_f16_column, pack_f16_row};

use super::Shape;

/// Rows of a panel: sizes are whole numbers of them.
pub(super) const PANEL: usize = 16;

#[derive(Debug)]
pub(super) struct Cache {
    lanes: Vec<RwLock<Lane>>,
    kv_heads: usize,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// For each layer.
    keys: Vec<Vec<u8>>,
    /// For each layer.
    values: Vec<Vec<u8>>,
    head: usize,
    /// Positions, rounded up to whole panels.
    context: usize,
}

impl Cache {
    /// Bytes for `slots` sequences of `context` tokens; none if that overflows.
    pub(super) fn bytes(shape: &Shape, slots: usize, context: usize) -> Option<usize> {
        let context = context.checked_next_multiple_of(PANEL)?;
        let token = 2 * shape.layers * shape.kv_heads * (shape.head + shape.head.next_multiple_of(PANEL));
        slots.checked_mul(context)?.checked_mul(token)
    }

    pub(super) fn new(shape: &Shape, slots: usize, context: usize) -> Self {
        let (head, context) = (shape.head, context.next_multiple_of(PANEL));
        let zeros = |bytes: usize| (0..shape.layers).map(|_| vec![0; bytes]).collect();
        let lane = || {
            let (keys, values) = (zeros(2 * context * head), zeros(2 * context * head.next_multiple_of(PANEL)));
            RwLock::new(Lane { keys, values, head, context })
        };
        Self { lanes: (0..slots * shape.kv_heads).map(|_| lane()).collect(), kv_heads: shape.kv_heads }
    }

    // A lock is poisoned only by a panic in a phase, which `Pool::run` has passed on to the caller.

    pub(super) fn read(&self, slot: usize, head: usize) -> RwLockReadGuard<'_, Lane> {
        self.lanes[slot * self.kv_heads + head].read().expect("no panic in a phase")
    }

    pub(super) fn write(&self, slot: usize, head: usize) -> RwLockWriteGuard<'_, Lane> {
        self.lanes[slot * self.kv_heads + head].write().expect("no panic in a phase")
    }

    /// Puts the first `len` positions of one slot into another one.
    pub(super) fn copy(&self, of: usize, to: usize, len: usize) {
        for head in 0..self.kv_heads {
            let from = self.read(of, head);
            self.write(to, head).take(&from, len);
        }
    }
}

impl Lane {
    /// Stores the key and value of a position.
    pub(super) fn put(&mut self, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        pack_f16_row(key, position, self.key_stride(), &mut self.keys[layer]);
        pack_f16_column(value, position, self.value_stride(), &mut self.values[layer]);
    }

    /// The keys of some positions, one a row; the first is one of [`PANEL`]'s.
    pub(super) fn keys(&self, layer: usize, positions: Range<usize>) -> Panels<'_> {
        let from = positions.start / PANEL * self.key_stride();
        Panels::f16(positions.len(), self.head, self.key_stride(), &self.keys[layer][from..])
    }

    /// The values of some positions, one a column.
    pub(super) fn values(&self, layer: usize, positions: Range<usize>) -> Panels<'_> {
        let from = 2 * PANEL * positions.start;
        Panels::f16(self.head, positions.len(), self.value_stride(), &self.values[layer][from..])
    }

    fn take(&mut self, from: &Self, len: usize) {
        let (keys, values) = (self.key_stride() * len.div_ceil(PANEL), 2 * PANEL * len);
        for (to, from) in self.keys.iter_mut().zip(&from.keys) {
            to[..keys].copy_from_slice(&from[..keys]);
        }
        let stride = self.value_stride();
        for (to, from) in self.values.iter_mut().zip(&from.values) {
            for (to, from) in to.chunks_exact_mut(stride).zip(from.chunks_exact(stride)) {
                to[..values].copy_from_slice(&from[..values]);
            }
        }
    }

    fn key_stride(&self) -> usize {
        2 * PANEL * self.head
    }

    fn value_stride(&self) -> usize {
        2 * PANEL * self.context
    }
}
