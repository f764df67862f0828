//! Attention: the keys and values of the tokens of a step go into the cache, and each token mixes the values of the positions
//! that its layer sees.

use std::ops::Range;

use kernels::{Columns, matmul, rms_norm, rope, softmax};

use super::{Desk, Task, bent};
use crate::model::{
    board::Board,
    cache::{Lane, PANEL},
};

/// The most columns, and the most scores, of a product with keys: they stay in the second-level cache.
const ATTEND_COLUMNS: usize = 64;
const ATTEND_SCORES: usize = 1 << 17;

impl Task<'_> {
    /// Tokens of a slot with each head of keys whose lane is this worker's: a lane is one worker's through a phase.
    pub(super) fn lanes(&self, mut work: impl FnMut(Range<usize>, usize)) {
        let kv_heads = self.shared.model.shape.kv_heads;
        for run in &self.state.runs {
            let slot = self.state.tokens[run.start].slot;
            for head in 0..kv_heads {
                if (slot * kv_heads + head) % self.workers == self.worker {
                    work(run.clone(), head);
                }
            }
        }
    }

    /// Writes the keys and values of some tokens of a slot to its lane for a head.
    pub(super) fn store(&self, layer: usize, tokens: Range<usize>, head: usize, lane: &mut Lane, row: &mut Vec<f32>) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, norms) = (&model.shape, model.weights.layers[layer].own.head_norms.as_ref());
        row.resize(3 * shape.head, 0.0);
        let (key, rest) = row.split_at_mut(shape.head);
        let (value, plain) = rest.split_at_mut(shape.head);
        for token in tokens {
            let at = (token * shape.kv_heads + head) * shape.head;
            self.heads(layer, token, (&state.keys, at), norms.map(|[_, keys]| keys), plain, key);
            state.values.copy(at, value);
            lane.put(layer, state.tokens[token].position, key, value);
        }
    }

    /// Every `workers`-th tile of a few tokens of a slot and a head of keys.
    pub(super) fn attend_tiles(&self, layer: usize, desk: &mut Desk) {
        let (shape, state) = (&self.shared.model.shape, self.state);
        let mut next = self.worker;
        let mut tile = 0;
        for run in &state.runs {
            let mut first = run.start;
            while first < run.end {
                let len = state.tokens[first].position + 1;
                let columns = ATTEND_COLUMNS.min(ATTEND_SCORES / len);
                let tokens = first..run.end.min(first + (columns / shape.group()).max(1));
                first = tokens.end;
                for head in 0..shape.kv_heads {
                    if tile == next {
                        let lane = self.shared.cache.read(state.tokens[run.start].slot, head);
                        self.attend(layer, tokens.clone(), head, &lane, desk);
                        next += self.workers;
                    }
                    tile += 1;
                }
            }
        }
    }

    /// The query heads of a head of keys, for some tokens of a slot: each attends to all positions up to its own, or to
    /// those of its window.
    pub(super) fn attend(&self, layer: usize, tokens: Range<usize>, kv_head: usize, lane: &Lane, desk: &mut Desk) {
        let (model, state, isa) = (&self.shared.model, self.state, self.shared.isa);
        let (shape, norms) = (&model.shape, model.weights.layers[layer].own.head_norms.as_ref());
        let (head, group) = (shape.head, shape.group());
        let Desk { column: queries, second: scores, results, .. } = desk;
        let seen = |token: usize| {
            let end = state.tokens[token].position + 1;
            shape.window(layer).map_or(0, |window| end.saturating_sub(window.positions))..end
        };
        let positions = seen(tokens.start).start / PANEL * PANEL..seen(tokens.end - 1).end;
        let len = positions.len();
        let place = |token: usize| (token * shape.heads + kv_head * group) * head;
        queries.resize(tokens.len() * group * head, 0.0);
        results.resize(tokens.len() * group * head, 0.0);
        for (token, queries) in tokens.clone().zip(queries.chunks_exact_mut(group * head)) {
            let plain = &mut results[..group * head];
            self.heads(layer, token, (&state.queries, place(token)), norms.map(|[own, _]| own), plain, queries);
        }
        scores.resize(tokens.len() * group * len, 0.0);
        let columns: Vec<&[f32]> = queries.chunks_exact(head).collect();
        matmul(isa, lane.keys(layer, positions.clone()), Columns::Floats(&columns), scores);
        for (token, scores) in tokens.clone().zip(scores.chunks_exact_mut(group * len)) {
            let (seen, scale) = (seen(token), shape.score_scale_at(state.tokens[token].position));
            for scores in scores.chunks_exact_mut(len) {
                let (before, rest) = scores.split_at_mut(seen.start - positions.start);
                let (scores, after) = rest.split_at_mut(seen.len());
                match shape.score_cap {
                    None => softmax(isa, scores, scale),
                    Some(cap) => {
                        scores.iter_mut().for_each(|score| *score = bent(*score * scale, cap));
                        softmax(isa, scores, 1.0);
                    }
                }
                // Adding nothing changes nothing, so that tokens of a tile may share its positions.
                before.fill(0.0);
                after.fill(0.0);
            }
        }
        let columns: Vec<&[f32]> = scores.chunks_exact(len).collect();
        matmul(isa, lane.values(layer, positions), Columns::Floats(&columns), results);
        for (token, results) in tokens.zip(results.chunks_exact(group * head)) {
            state.attended.put(place(token), results);
        }
    }

    /// Heads of a token, from a place of a board on, as attention reads them: normed where the family has that, and turned.
    fn heads(
        &self,
        layer: usize,
        token: usize,
        (board, at): (&Board, usize),
        norm: Option<&Vec<f32>>,
        plain: &mut [f32],
        heads: &mut [f32],
    ) {
        let shape = &self.shared.model.shape;
        match norm {
            None => board.copy(at, heads),
            Some(norm) => {
                board.copy(at, plain);
                for (plain, head) in plain.chunks_exact(shape.head).zip(heads.chunks_exact_mut(shape.head)) {
                    rms_norm(self.shared.isa, plain, norm, shape.eps, head);
                }
            }
        }
        rope(shape.family.pairs, heads, shape.head, self.angles(layer, token));
    }

    fn angles(&self, layer: usize, token: usize) -> &[[f32; 2]] {
        let shape = &self.shared.model.shape;
        let angles = match shape.window(layer) {
            None => &self.state.angles,
            Some(_) => &self.state.window_angles,
        };
        let pairs = angles.len() / self.state.tokens.len();
        &angles[token * pairs..(token + 1) * pairs]
    }
}
