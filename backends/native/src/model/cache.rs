//! Keys and values of the tokens seen so far, as halves or as bytes, in pages of [`PAGE`] positions.
//!
//! Which page holds what is known to [`super::prefixes`]: here a page is a number. A lane holds one head of keys, for all layers
//! and pages. Memory is taken as zeroed pages of the system's, which provides them when a position is first written. A lock is
//! for the thread that writes a lane while no other looks at it.
//!
//! In a page keys are a matrix with a row for each position, for the product with queries; values are one with a column for each
//! position, for the product with the weights that come of it: both in the layout of packed weights. As halves they are nothing
//! else. As bytes a key has a scale for each 32 of its numbers, as the few that are large in every key would else take all
//! others' steps, and meets queries that are rounded likewise; a value has one scale, which its weight is multiplied by before
//! values are added up ([`kernels::mix`]). Neither depends on what stands at other positions.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::CacheType;
use kernels::{
    Columns, Group, Isa, Panels, Q8, Values, copy_values, matmul, mix, pack_f16_column, pack_f16_row, pack_q8_0_row,
    put_values, quantize,
};

use super::Shape;

/// Positions of a page. With 64 the products of a page take long enough that beginning one is not felt, and the most tokens
/// that are copied where two sequences part take far less time than computing one.
pub(super) const PAGE: usize = Values::POSITIONS;

/// Rows of a panel.
pub(super) const PANEL: usize = 16;

/// Numbers of a key that share a scale, where they are bytes.
const BLOCK: usize = 32;

#[derive(Debug)]
pub(super) struct Cache {
    kind: CacheType,
    /// For each head of keys.
    lanes: Vec<RwLock<Lane>>,
}

#[derive(Debug)]
pub(super) struct Lane {
    kind: CacheType,
    /// Numbers of a key, and of a value.
    key: usize,
    value: usize,
    /// For each layer, page after page.
    keys: Vec<Vec<u8>>,
    /// For each layer, page after page.
    values: Vec<Vec<u8>>,
}

impl Cache {
    /// Bytes of so many pages; none if that overflows.
    pub(super) fn bytes(shape: &Shape, kind: CacheType, pages: usize) -> Option<usize> {
        let page = keys_of_page(kind, shape.head) + values_of_page(kind, shape.value);
        pages.checked_mul(shape.layers * shape.kv_heads * page)
    }

    pub(super) fn new(shape: &Shape, kind: CacheType, pages: usize) -> Self {
        let Shape { layers, head: key, value, .. } = *shape;
        let zeros = |bytes: usize| (0..layers).map(|_| vec![0; pages * bytes]).collect();
        let lane = || {
            let (keys, values) = (zeros(keys_of_page(kind, key)), zeros(values_of_page(kind, value)));
            RwLock::new(Lane { kind, key, value, keys, values })
        };
        Self { kind, lanes: (0..shape.kv_heads).map(|_| lane()).collect() }
    }

    /// What it keeps numbers as.
    pub(super) fn kind(&self) -> CacheType {
        self.kind
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
        let kind = self.kind;
        let keys = page_of(&mut self.keys[layer], page, keys_of_page(kind, self.key));
        let values = page_of(&mut self.values[layer], page, values_of_page(kind, self.value));
        match kind {
            CacheType::F16 => {
                pack_f16_row(key, position, 2 * PANEL * self.key, keys);
                pack_f16_column(value, position, 2 * PANEL * PAGE, values);
            }
            CacheType::Q8_0 => {
                pack_q8_0_row(key, position, keys);
                put_values(value, position, values);
            }
        }
    }

    /// The products of queries with the keys of the first `len` positions of a page, `[query][position]`.
    pub(super) fn scores(&self, isa: Isa, (layer, page, len): Part, queries: &Queries<'_>, scores: &mut [f32]) {
        let bytes = keys_of_page(self.kind, self.key);
        let keys = &self.keys[layer][page * bytes..][..bytes];
        match queries {
            Queries::Floats(queries) => {
                let keys = Panels::f16(len, self.key, 2 * PANEL * self.key, keys);
                matmul(isa, keys, Columns::Dense(queries), scores);
            }
            Queries::Blocks(queries) => {
                let keys = Panels::q8_0(len, self.key.next_multiple_of(BLOCK), keys);
                matmul(isa, keys, Columns::Quantized(queries), scores);
            }
        }
    }

    /// Adds the values of the first `len` positions of a page, each times its weight: `weights` are `[query][position]`, `sums`
    /// `[query][number]`.
    pub(super) fn mix(
        &self,
        isa: Isa,
        (layer, page, len): Part,
        weights: &[f32],
        sums: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let bytes = values_of_page(self.kind, self.value);
        let values = &self.values[layer][page * bytes..][..bytes];
        match self.kind {
            CacheType::F16 => {
                scratch.resize(sums.len(), 0.0);
                let values = Panels::f16(self.value, len, 2 * PANEL * PAGE, values);
                matmul(isa, values, Columns::Dense(weights), scratch);
                sums.iter_mut().zip(&*scratch).for_each(|(sum, x)| *sum += x);
            }
            CacheType::Q8_0 => mix(isa, Values::of(self.value, values), len, weights, sums),
        }
    }

    fn copy(&mut self, from: usize, to: usize, len: usize) {
        let (kind, head) = (self.kind, self.value);
        let (keys, values) = (keys_of_page(kind, self.key), values_of_page(kind, head));
        for layer in &mut self.keys {
            // Whole panels: what comes along is written before it is read.
            let len = keys / (PAGE / PANEL) * len.div_ceil(PANEL);
            layer.copy_within(from * keys..from * keys + len, to * keys);
        }
        for layer in &mut self.values {
            match kind {
                CacheType::F16 => {
                    for panel in (0..values).step_by(2 * PANEL * PAGE) {
                        let from = from * values + panel;
                        layer.copy_within(from..from + 2 * PANEL * len, to * values + panel);
                    }
                }
                CacheType::Q8_0 => {
                    let [from, to] = layer
                        .get_disjoint_mut([from, to].map(|page| page * values..(page + 1) * values))
                        .expect("two pages");
                    copy_values(head, len, from, to);
                }
            }
        }
    }
}

/// A layer, a page, and how many of its positions.
pub(super) type Part = (usize, usize, usize);

/// Queries in the form that keys ask for.
pub(super) enum Queries<'a> {
    /// One behind the other.
    Floats(&'a [f32]),
    Blocks(Vec<&'a [Q8]>),
}

impl<'a> Queries<'a> {
    /// Rounds queries, one behind the other and each of a head's length, where keys are bytes; else there are no blocks.
    pub(super) fn round(kind: CacheType, isa: Isa, head: usize, queries: &[f32], blocks: &mut Vec<Q8>) {
        blocks.clear();
        if kind == CacheType::Q8_0 {
            blocks.resize(queries.len() / head * Q8::blocks(head), Q8::default());
            for (query, blocks) in queries.chunks_exact(head).zip(blocks.chunks_exact_mut(Q8::blocks(head))) {
                quantize(isa, Group::Of32, query, blocks);
            }
        }
    }

    /// What [`Queries::round`] was given, or what it made of them.
    pub(super) fn of(head: usize, queries: &'a [f32], blocks: &'a [Q8]) -> Self {
        match blocks {
            [] => Self::Floats(queries),
            _ => Self::Blocks(blocks.chunks_exact(Q8::blocks(head)).collect()),
        }
    }
}

fn page_of(layer: &mut [u8], page: usize, bytes: usize) -> &mut [u8] {
    &mut layer[page * bytes..][..bytes]
}

/// Bytes of a head's keys in a layer of a page.
fn keys_of_page(kind: CacheType, head: usize) -> usize {
    match kind {
        CacheType::F16 => 2 * PAGE * head,
        CacheType::Q8_0 => Panels::q8_0_bytes(PAGE, head.next_multiple_of(BLOCK)),
    }
}

/// The same of values, whose rows are whole panels.
fn values_of_page(kind: CacheType, head: usize) -> usize {
    match kind {
        CacheType::F16 => 2 * PAGE * head.next_multiple_of(PANEL),
        CacheType::Q8_0 => Values::bytes(head),
    }
}
