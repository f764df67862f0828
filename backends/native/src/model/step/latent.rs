//! Heads that share what their keys and values are made of.
//!
//! Of each token the stream makes some numbers that queries of all heads are made of, and some that keys and values of all are
//! made of, and those alone are kept: a fraction of what all heads would be. A score is the product of a query with a key, and a
//! key is a matrix times what is shared, so it is the product of what the matrix, turned, makes of the query with what is
//! shared: attention goes as if there were one head of keys, whose values are its first numbers, and what makes values of them
//! comes after mixing. Numbers are the same as if keys and values had been made, but for the order in which they are added up.

use kernels::{Columns, rms_norm, rope};

use super::{Desk, OF_PHASE, Phase, Step, Task, input::Input, part};
use crate::model::{
    Shape,
    board::Board,
    operand::{Joined, Wanted},
    shape::Latent,
};

/// What phases hand to each other.
#[derive(Debug, Default)]
pub(super) struct Boards {
    /// What queries are made of, `[token][query]`.
    pub(super) query: Board,
    /// What keys and values are made of, and what of keys turns, `[token][rank + turned]`.
    shared: Board,
    /// `[token][heads * (plain + turned)]`
    queries: Board,
    /// What heads give, `[token][heads * value]`.
    pub(super) given: Board,
}

impl Boards {
    /// Takes room for some tokens.
    pub(super) fn start(&mut self, shape: &Shape, tokens: usize) {
        let Some(Latent { query, rank, plain, turned, value }) = shape.latent else { return };
        self.query.reserve(tokens * query);
        self.shared.reserve(tokens * (rank + turned));
        self.queries.reserve(tokens * shape.heads * (plain + turned));
        self.given.reserve(tokens * shape.heads * value);
    }
}

impl Step {
    /// What attention reads.
    pub(super) fn meet(&mut self, many: bool, layer: usize) {
        self.product(many, Input::Attention(layer), Phase::Shared(layer));
        self.product(many, Input::Queries(layer), Phase::Queries(layer));
        self.phase(Phase::Meet(layer));
    }
}

impl Task<'_> {
    /// What queries, keys and values are made of.
    pub(super) fn latent_shared(&self, layer: usize, desk: &mut Desk) {
        let weights = self.shared.model.weights.layers[layer].latent().expect(OF_PHASE);
        let boards = &self.state.latent;
        self.input(Input::Attention(layer), desk);
        for (matrix, board) in [(&weights.query, &boards.query), (&weights.shared, &boards.shared)] {
            self.product(matrix, &mut desk.results);
            self.put(matrix, &desk.results, board);
        }
    }

    /// Queries of all heads.
    pub(super) fn latent_queries(&self, layer: usize, desk: &mut Desk) {
        let weights = self.shared.model.weights.layers[layer].latent().expect(OF_PHASE);
        self.input(Input::Queries(layer), desk);
        self.product(&weights.queries, &mut desk.results);
        self.put(&weights.queries, &desk.results, &self.state.latent.queries);
    }

    /// Of this worker's heads what of queries meets what is shared, of every `workers`-th token what is shared as it is kept.
    pub(super) fn latent_meet(&self, layer: usize, desk: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, weights) = (&model.shape, model.weights.layers[layer].latent().expect(OF_PHASE));
        let Latent { rank, plain, turned, .. } = shape.latent.expect(OF_PHASE);
        let count = state.tokens.len();
        let Desk { column, results, .. } = desk;
        for head in part(shape.heads, self.worker, self.workers) {
            let from = |token: usize| (token * shape.heads + head) * (plain + turned);
            let to = |token: usize| (token * shape.heads + head) * shape.head;
            column.resize(count * plain, 0.0);
            column.chunks_exact_mut(plain).enumerate().for_each(|(token, x)| state.latent.queries.copy(from(token), x));
            let panels = weights.keys.panels();
            let own = panels.count() / shape.heads;
            self.multiply(panels.slice(head * own..(head + 1) * own), Columns::Dense(column), results);
            for (token, met) in results.chunks_exact(rank).enumerate() {
                state.queries.put(to(token), met);
            }
            column.resize(turned, 0.0);
            for token in 0..count {
                state.latent.queries.copy(from(token) + plain, column);
                rope(shape.family.pairs, column, turned, self.angles(layer, token));
                state.queries.put(to(token) + rank, column);
            }
        }
        column.resize(rank + turned, 0.0);
        results.resize(rank, 0.0);
        for token in (self.worker..count).step_by(self.workers) {
            state.latent.shared.copy(token * (rank + turned), column);
            rms_norm(self.shared.isa, &column[..rank], &weights.shared_norm, shape.eps, results);
            rope(shape.family.pairs, &mut column[rank..], turned, self.angles(layer, token));
            state.keys.put(token * shape.head, results);
            state.keys.put(token * shape.head + rank, &column[rank..]);
            state.values.put(token * rank, results);
        }
    }

    /// What this worker's heads make of what they mixed.
    pub(super) fn latent_part(&self, layer: usize, desk: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, weights) = (&model.shape, model.weights.layers[layer].latent().expect(OF_PHASE));
        let Latent { rank, value, .. } = shape.latent.expect(OF_PHASE);
        let wanted = Wanted::by([&weights.values]);
        let Desk { column, operand, results, .. } = desk;
        for head in part(shape.heads, self.worker, self.workers) {
            operand.start(rank);
            column.resize(rank, 0.0);
            for token in 0..state.tokens.len() {
                self.attended_head(layer, token, head, column);
                operand.put(self.shared.isa, wanted, column);
            }
            let panels = weights.values.panels();
            let own = panels.count() / shape.heads;
            let columns = [&*operand];
            let columns = Joined::of(&columns, panels.format());
            self.multiply(panels.slice(head * own..(head + 1) * own), columns.all(), results);
            for (token, given) in results.chunks_exact(value).enumerate() {
                state.latent.given.put((token * shape.heads + head) * value, given);
            }
        }
    }
}
