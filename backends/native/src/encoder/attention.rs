//! Attention within each text: every token mixes the values of all, each by how well its query fits their keys.
//!
//! Keys and values are kept as halves in the layout of packed weights, a lane for each head: keys as a matrix with a row for
//! each token of a text, values as one with a column for each.

use std::ops::Range;

use kernels::{Columns, Pairs, Panels, exponentials, largest, matmul, pack_f16_column, pack_f16_row, rope};

use super::pass::{Desk, PANEL, Task};

/// Queries whose scores are taken at once: with a text of usual length they stay in the second-level cache.
const QUERIES: usize = 32;

/// The keys and values of a head, of all texts of a batch.
#[derive(Debug, Default)]
pub(super) struct Lane {
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// A text of a batch.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Its tokens among those of the batch.
    pub(super) tokens: Range<usize>,
    /// Where its keys and its values lie in each lane.
    keys: Range<usize>,
    values: Range<usize>,
}

impl Text {
    /// A text behind others.
    pub(super) fn after(others: &[Self], len: usize, head: usize) -> Self {
        let [tokens, keys, values] =
            others.last().map_or([0; 3], |before| [before.tokens.end, before.keys.end, before.values.end]);
        Self {
            tokens: tokens..tokens + len,
            keys: keys..keys + 2 * head * len.next_multiple_of(PANEL),
            values: values..values + 2 * head.next_multiple_of(PANEL) * len,
        }
    }
}

impl Lane {
    fn reserve(&mut self, texts: &[Text]) {
        let [keys, values] = texts.last().map_or([0; 2], |last| [last.keys.end, last.values.end]);
        // What an earlier batch left is written over.
        self.keys.resize(keys, 0);
        self.values.resize(values, 0);
    }

    fn put(&mut self, text: &Text, token: usize, key: &[f32], value: &[f32]) {
        pack_f16_row(key, token, 2 * PANEL * key.len(), &mut self.keys[text.keys.clone()]);
        pack_f16_column(value, token, 2 * PANEL * text.tokens.len(), &mut self.values[text.values.clone()]);
    }

    fn keys(&self, text: &Text, head: usize) -> Panels<'_> {
        Panels::f16(text.tokens.len(), head, 2 * PANEL * head, &self.keys[text.keys.clone()])
    }

    fn values(&self, text: &Text, head: usize) -> Panels<'_> {
        let len = text.tokens.len();
        Panels::f16(head, len, 2 * PANEL * len, &self.values[text.values.clone()])
    }
}

impl Task<'_> {
    /// Writes the keys and values of this worker's heads to their lanes.
    pub(super) fn store(&self, Desk { column, .. }: &mut Desk) {
        let (shape, state) = (self.shape(), self.state);
        let (keys, values) = (self.shared.keys.read(), self.shared.values.read());
        column.resize(2 * shape.head, 0.0);
        let (key, value) = column.split_at_mut(shape.head);
        for head in (self.worker..shape.heads).step_by(self.workers) {
            let mut lane = self.shared.lanes[head].write().expect("no panic in a phase");
            lane.reserve(&state.texts);
            for text in &state.texts {
                for (position, token) in text.tokens.clone().enumerate() {
                    keys.copy(token, head * shape.head, key);
                    values.copy(token, head * shape.head, value);
                    self.turn(key, position);
                    lane.put(text, position, key, value);
                }
            }
        }
    }

    /// What attention gives this worker's tokens, all heads, to its desk.
    pub(super) fn attend(&self, desk: &mut Desk) {
        let (shape, own) = (self.shape(), self.own());
        desk.attended.resize(own.len() * shape.width, 0.0);
        let queries = self.shared.queries.read();
        for text in &self.state.texts {
            let tokens = own.start.max(text.tokens.start)..own.end.min(text.tokens.end);
            for first in tokens.clone().step_by(QUERIES) {
                let tokens = first..tokens.end.min(first + QUERIES);
                for head in 0..shape.heads {
                    desk.column.resize(tokens.len() * shape.head, 0.0);
                    for (token, query) in tokens.clone().zip(desk.column.chunks_exact_mut(shape.head)) {
                        queries.copy(token, head * shape.head, query);
                        self.turn(query, token - text.tokens.start);
                    }
                    self.mix(text, tokens.clone(), head, desk);
                }
            }
        }
    }

    /// Mixes the values of a text for some queries of a head, which lie on the desk.
    fn mix(&self, text: &Text, tokens: Range<usize>, head: usize, desk: &mut Desk) {
        let (shape, isa) = (self.shape(), self.shared.isa);
        let Desk { column: queries, scores, results, attended, sums, .. } = desk;
        let lane = self.shared.lanes[head].read().expect("no panic in a phase");
        let (len, scale) = (text.tokens.len(), shape.score_scale());
        scores.resize(tokens.len() * len, 0.0);
        matmul(isa, lane.keys(text, shape.head), Columns::Dense(queries), scores);
        sums.clear();
        for scores in scores.chunks_exact_mut(len) {
            let most = scale * largest(isa, scores);
            sums.push(exponentials(isa, scores, scale, most));
        }
        results.resize(tokens.len() * shape.head, 0.0);
        matmul(isa, lane.values(text, shape.head), Columns::Dense(scores), results);
        let first = tokens.start - self.own().start;
        for ((index, mixed), sum) in results.chunks_exact(shape.head).enumerate().zip(sums) {
            let to = &mut attended[(first + index) * shape.width + head * shape.head..][..shape.head];
            to.iter_mut().zip(mixed).for_each(|(to, x)| *to = x / *sum);
        }
    }

    /// Turns a head by its position, where the family does.
    fn turn(&self, head: &mut [f32], position: usize) {
        if let Some(angles) = self.angles(position) {
            let len = head.len();
            rope(Pairs::Halves, head, len, angles);
        }
    }
}
