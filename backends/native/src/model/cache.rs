//! Keys and values of the tokens seen so far, as halves, in pages of [`PAGE`] positions and the layout of packed weights.
//!
//! Which page holds what is known to [`super::prefixes`]: here a page is a number. A lane holds one head of keys, for all layers
//! and pages. In a page, keys are a matrix with a row for each position, for the product with queries; values are one with a
//! column for each position, for the product with the weights that come of it. Memory is taken as zeroed pages of the system's,
//! which provides them when a position is first written. A lock is for the thread that writes a lane while no other looks at
//! it.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use kernels::{Panels, pack_f16_column, pack_f16_row};

use super::Shape;

/// Positions of a page. With 64 the products of a page take long enough that beginning one is not felt, and the most tokens
/// that are copied where two sequences part take far less time than computing one.
pub(super) const PAGE: usize = 64;

/// Rows of a panel.
pub(super) const PANEL: usize = 16;

#[derive(Debug)]
pub(super) struct Cache {
    /// For each head of keys.
    lanes: Vec<RwLock<Lane>>,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// For each layer, page after page.
    keys: Vec<Vec<u8>>,
    /// For each layer, page after page.
    values: Vec<Vec<u8>>,
    head: usize,
}

impl Cache {
    /// Bytes of so many pages; none if that overflows.
    pub(super) fn bytes(shape: &Shape, pages: usize) -> Option<usize> {
        pages.checked_mul(shape.layers * shape.kv_heads * (keys_of_page(shape.head) + values_of_page(shape.head)))
    }

    pub(super) fn new(shape: &Shape, pages: usize) -> Self {
        let zeros = |bytes: usize| (0..shape.layers).map(|_| vec![0; pages * bytes]).collect();
        let lane = || {
            let (keys, values) = (zeros(keys_of_page(shape.head)), zeros(values_of_page(shape.head)));
            RwLock::new(Lane { keys, values, head: shape.head })
        };
        Self { lanes: (0..shape.kv_heads).map(|_| lane()).collect() }
    }

    // A lock is poisoned only by a panic in a phase, which `Pool::run` has passed on to the caller.

    pub(super) fn read(&self, head: usize) -> RwLockReadGuard<'_, Lane> {
        self.lanes[head].read().expect("no panic in a phase")
    }

    pub(super) fn write(&self, head: usize) -> RwLockWriteGuard<'_, Lane> {
        self.lanes[head].write().expect("no panic in a phase")
    }

    /// Puts the first `len` positions of one page into another one.
    pub(super) fn copy(&self, from: usize, to: usize, len: usize) {
        for lane in &self.lanes {
            lane.write().expect("no panic in a phase").copy(from, to, len);
        }
    }
}

impl Lane {
    /// Stores the key and value of a position of a page.
    pub(super) fn put(&mut self, layer: usize, page: usize, position: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = (keys_of_page(self.head), values_of_page(self.head));
        pack_f16_row(key, position, 2 * PANEL * self.head, &mut self.keys[layer][page * keys..][..keys]);
        pack_f16_column(value, position, 2 * PANEL * PAGE, &mut self.values[layer][page * values..][..values]);
    }

    /// The keys of the first `len` positions of a page, one a row.
    pub(super) fn keys(&self, layer: usize, page: usize, len: usize) -> Panels<'_> {
        let bytes = keys_of_page(self.head);
        Panels::f16(len, self.head, 2 * PANEL * self.head, &self.keys[layer][page * bytes..][..bytes])
    }

    /// The values of the first `len` positions of a page, one a column.
    pub(super) fn values(&self, layer: usize, page: usize, len: usize) -> Panels<'_> {
        let bytes = values_of_page(self.head);
        Panels::f16(self.head, len, 2 * PANEL * PAGE, &self.values[layer][page * bytes..][..bytes])
    }

    fn copy(&mut self, from: usize, to: usize, len: usize) {
        let (keys, values) = (keys_of_page(self.head), values_of_page(self.head));
        for layer in &mut self.keys {
            let len = 2 * PANEL * self.head * len.div_ceil(PANEL);
            layer.copy_within(from * keys..from * keys + len, to * keys);
        }
        for layer in &mut self.values {
            for panel in (0..values).step_by(2 * PANEL * PAGE) {
                let from = from * values + panel;
                layer.copy_within(from..from + 2 * PANEL * len, to * values + panel);
            }
        }
    }
}

/// Bytes of a head's keys in a layer of a page.
fn keys_of_page(head: usize) -> usize {
    2 * PAGE * head
}

/// The same of values, whose rows are whole panels.
fn values_of_page(head: usize) -> usize {
    2 * PAGE * head.next_multiple_of(PANEL)
}
