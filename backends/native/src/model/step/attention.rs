//! Attention: the keys and values of the tokens of a step go into the cache, and each token mixes the values of the positions
//! that its layer sees.
//!
//! Positions are taken in spans of [`SPAN`], counted from the first of a sequence, and each page of a span by itself. What is
//! mixed of a span stands beside the largest of its scores, and spans are put together in their order: so whether one worker
//! takes them all or each a few is the same to the bit, as is which other tokens share a tile.

use std::ops::Range;

use kernels::{exponentials, largest, rms_norm, rope};

use super::{Desk, FEW, Run, Task, bent};
use crate::model::{
    Shape,
    board::Board,
    cache::{Lane, PAGE, Queries},
};

/// Positions whose scores are taken at once: with [`COLUMNS`] they stay in the second-level cache.
const SPAN: usize = 8 * PAGE;
/// The most columns of a product with keys, unless one token alone has more.
const COLUMNS: usize = 128;

/// Some tokens of a slot, and a head of keys with the heads of queries that read it.
struct Tile<'r> {
    layer: usize,
    run: &'r Run,
    tokens: Range<usize>,
    head: usize,
}

/// What was mixed of the values of some positions, for each column.
#[derive(Debug, Default)]
pub(super) struct Mixed {
    /// Values times exponentials, `[column][value]`.
    values: Vec<f32>,
    /// The largest score, and the sum of the exponentials beside it.
    scores: Vec<[f32; 2]>,
}

impl Mixed {
    fn start(&mut self, columns: usize, value: usize) {
        self.values.clear();
        self.values.resize(columns * value, 0.0);
        self.scores.clear();
        self.scores.resize(columns, [f32::NEG_INFINITY, 0.0]);
    }
}

/// What was mixed of each span, of few tokens: `[token][head of queries][span]`, each with its score and sum behind.
#[derive(Debug, Default)]
pub(super) struct Spans {
    board: Board,
    /// Numbers of a span.
    len: usize,
    /// Spans of the longest; none where no head is shared.
    count: usize,
}

impl Spans {
    /// Takes room for some tokens.
    pub(super) fn start(&mut self, shape: &Shape, tokens: usize, longest: usize) {
        self.len = shape.value + 2;
        self.count = if tokens == 0 { 0 } else { longest.div_ceil(SPAN) };
        self.board.reserve(tokens * shape.heads * self.count * self.len);
    }

    fn at(&self, head: usize, span: usize) -> usize {
        (head * self.count + span) * self.len
    }
}

impl Task<'_> {
    /// Writes keys and values to this worker's lanes.
    pub(super) fn store_heads(&self, layer: usize, desk: &mut Desk) {
        for head in self.own_heads() {
            let mut lane = self.shared.cache.write(head);
            self.state.runs.iter().for_each(|run| self.store(layer, run, head, &mut lane, &mut desk.column));
        }
    }

    /// This worker's share of attention.
    pub(super) fn attend(&self, layer: usize, desk: &mut Desk) {
        let (shape, state) = (&self.shared.model.shape, self.state);
        if !state.apart {
            for head in self.own_heads() {
                let mut lane = self.shared.cache.write(head);
                for run in &state.runs {
                    self.store(layer, run, head, &mut lane, &mut desk.column);
                    self.attend_tile(&Tile { layer, run, tokens: run.tokens.clone(), head }, &lane, desk);
                }
            }
            return;
        }
        let mut turn = 0;
        let mut mine = || {
            turn += 1;
            (turn - 1) % self.workers == self.worker
        };
        for run in &state.runs {
            let few = state.tokens.len() <= FEW;
            let each = if few { run.tokens.len() } else { (COLUMNS / shape.group()).max(1) };
            for first in run.tokens.clone().step_by(each) {
                for head in 0..shape.kv_heads {
                    let tile = Tile { layer, run, tokens: first..run.tokens.end.min(first + each), head };
                    if !few {
                        if mine() {
                            self.attend_tile(&tile, &self.shared.cache.read(head), desk);
                        }
                        continue;
                    }
                    for span in self.spans(layer, &tile.tokens) {
                        if mine() {
                            self.attend_span(&tile, span, &self.shared.cache.read(head), desk);
                        }
                    }
                }
            }
        }
    }

    /// What attention gave a token, all heads.
    pub(super) fn attended(&self, layer: usize, token: usize, column: &mut [f32]) {
        let value = self.shared.model.shape.value;
        let heads = column.chunks_exact_mut(value).enumerate();
        heads.for_each(|(head, column)| self.attended_head(layer, token, head, column));
    }

    /// The same of one head.
    pub(super) fn attended_head(&self, layer: usize, token: usize, head: usize, column: &mut [f32]) {
        let (spans, value) = (&self.state.spans, column.len());
        let head = token * self.shared.model.shape.heads + head;
        if spans.count == 0 {
            return self.state.attended.copy(head * value, column);
        }
        let mut score = [f32::NEG_INFINITY, 0.0];
        column.fill(0.0);
        for span in self.spans(layer, &(token..token + 1)) {
            let at = spans.at(head, span);
            let mut scores = [0.0; 2];
            spans.board.copy(at + value, &mut scores);
            join(column, &mut score, spans.board.get(at, value), scores);
        }
        column.iter_mut().for_each(|x| *x /= score[1]);
    }

    /// The heads of keys that are this worker's where each is one's.
    fn own_heads(&self) -> impl Iterator<Item = usize> + use<> {
        (self.worker..self.shared.model.shape.kv_heads).step_by(self.workers)
    }

    /// Writes the keys and values of some tokens of a slot to the lane of a head.
    fn store(&self, layer: usize, run: &Run, head: usize, lane: &mut Lane, row: &mut Vec<f32>) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, norms) = (&model.shape, model.weights.layers[layer].own.head_norms.as_ref());
        row.resize(2 * shape.head + shape.value, 0.0);
        let (key, rest) = row.split_at_mut(shape.head);
        let (plain, value) = rest.split_at_mut(shape.head);
        for token in run.tokens.clone() {
            let lane_at = token * shape.kv_heads + head;
            self.heads(layer, token, (&state.keys, lane_at * shape.head), norms.map(|[_, keys]| keys), plain, key);
            state.values.copy(lane_at * shape.value, value);
            let position = state.tokens[token].position;
            lane.put(layer, self.page(run, position / PAGE), position % PAGE, key, value);
        }
    }

    /// What a tile sees, from the first span to the last.
    fn attend_tile(&self, tile: &Tile<'_>, lane: &Lane, desk: &mut Desk) {
        let shape = &self.shared.model.shape;
        let (value, group) = (shape.value, shape.group());
        self.queries(tile, desk);
        let [mut all, mut next] = std::mem::take(&mut desk.mixed);
        let spans = self.spans(tile.layer, &tile.tokens);
        self.mix(tile, spans.start, lane, desk, &mut all);
        for span in spans.skip(1) {
            self.mix(tile, span, lane, desk, &mut next);
            let parts = next.values.chunks_exact(value).zip(&next.scores);
            for ((values, score), (part, scores)) in all.values.chunks_exact_mut(value).zip(&mut all.scores).zip(parts)
            {
                join(values, score, part.iter().copied(), *scores);
            }
        }
        for (values, [_, sum]) in all.values.chunks_exact_mut(value).zip(&all.scores) {
            values.iter_mut().for_each(|x| *x /= sum);
        }
        for (token, values) in tile.tokens.clone().zip(all.values.chunks_exact(group * value)) {
            self.state.attended.put((token * shape.heads + tile.head * group) * value, values);
        }
        desk.mixed = [all, next];
    }

    /// One span of what a tile sees, left for whoever puts spans together.
    fn attend_span(&self, tile: &Tile<'_>, span: usize, lane: &Lane, desk: &mut Desk) {
        let (shape, spans) = (&self.shared.model.shape, &self.state.spans);
        let group = shape.group();
        self.queries(tile, desk);
        let [mut mixed, next] = std::mem::take(&mut desk.mixed);
        self.mix(tile, span, lane, desk, &mut mixed);
        for (column, (values, scores)) in mixed.values.chunks_exact(shape.value).zip(&mixed.scores).enumerate() {
            let token = tile.tokens.start + column / group;
            let at = spans.at(token * shape.heads + tile.head * group + column % group, span);
            spans.board.put(at, values);
            spans.board.put(at + shape.value, scores);
        }
        desk.mixed = [mixed, next];
    }

    /// Makes columns of the queries of a head of keys.
    fn queries(&self, tile: &Tile<'_>, desk: &mut Desk) {
        let Tile { layer, ref tokens, head: kv_head, .. } = *tile;
        let (model, state) = (&self.shared.model, self.state);
        let (shape, norms) = (&model.shape, model.weights.layers[layer].own.head_norms.as_ref());
        let (head, group) = (shape.head, shape.group());
        desk.column.resize(tokens.len() * group * head, 0.0);
        desk.results.resize(group * head, 0.0);
        for (token, queries) in tokens.clone().zip(desk.column.chunks_exact_mut(group * head)) {
            let at = (token * shape.heads + kv_head * group) * head;
            self.heads(layer, token, (&state.queries, at), norms.map(|[own, _]| own), &mut desk.results, queries);
        }
        Queries::round(self.shared.cache.kind(), self.shared.isa, head, &desk.column, &mut desk.blocks);
    }

    /// Mixes the values of one span for the queries of a tile, which lie on the desk.
    fn mix(&self, tile: &Tile<'_>, span: usize, lane: &Lane, desk: &mut Desk, mixed: &mut Mixed) {
        let Tile { layer, run, ref tokens, .. } = *tile;
        let (shape, isa) = (&self.shared.model.shape, self.shared.isa);
        let (head, group) = (shape.head, shape.group());
        let Desk { column: queries, blocks, second: scores, results, .. } = desk;
        let queries = Queries::of(head, queries, blocks);
        let columns = tokens.len() * group;
        mixed.start(columns, shape.value);
        let within = |seen: Range<usize>| seen.start.max(span * SPAN)..seen.end.min((span + 1) * SPAN);
        let all = within(self.seen(layer, tokens.start).start..self.seen(layer, tokens.end - 1).end);
        // Of each page that any token sees: its number among the slot's, and the positions that are filled.
        let pages = || (all.start / PAGE..all.end.div_ceil(PAGE)).map(|page| (page, PAGE.min(all.end - page * PAGE)));
        scores.resize(columns * pages().map(|(_, len)| len).sum::<usize>(), 0.0);
        let mut rest = &mut scores[..];
        for (page, len) in pages() {
            let scores = rest.split_off_mut(..columns * len).expect("room for each page");
            lane.scores(isa, (layer, self.page(run, page), len), &queries, scores);
        }
        for (column, [most, sum]) in mixed.scores.iter_mut().enumerate() {
            let token = tokens.start + column / group;
            let seen = within(self.seen(layer, token));
            let scale = shape.score_scale_at(self.state.tokens[token].position);
            // What has been bent is scaled.
            let factor = if shape.score_cap.is_some() { 1.0 } else { scale };
            // What of a page's scores is this column's, and what of that it sees.
            let place = |page: usize, len: usize| {
                let before = (page - all.start / PAGE) * PAGE * columns;
                let [from, to] =
                    [seen.start, seen.end].map(|at| at.clamp(page * PAGE, page * PAGE + len) - page * PAGE);
                (before + column * len..before + (column + 1) * len, from..to.max(from))
            };
            for (page, len) in pages() {
                let (own, seen) = place(page, len);
                let scores = &mut scores[own][seen];
                if let Some(cap) = shape.score_cap {
                    scores.iter_mut().for_each(|score| *score = bent(*score * scale, cap));
                }
                *most = most.max(factor * largest(isa, scores));
            }
            for (page, len) in pages() {
                let (own, seen) = place(page, len);
                let own = &mut scores[own];
                // Adding nothing changes nothing, so that tokens of a tile may share its positions.
                own[..seen.start].fill(0.0);
                own[seen.end..].fill(0.0);
                *sum += exponentials(isa, &mut own[seen], factor, *most);
            }
        }
        let mut rest = &scores[..];
        for (page, len) in pages() {
            let weights = rest.split_off(..columns * len).expect("as above");
            lane.mix(isa, (layer, self.page(run, page), len), weights, &mut mixed.values, results);
        }
    }

    /// The page of a slot's that has a number among its own.
    fn page(&self, run: &Run, page: usize) -> usize {
        self.state.pages[run.pages.start + page]
    }

    /// The positions that a token sees: all up to its own, or those of a window.
    fn seen(&self, layer: usize, token: usize) -> Range<usize> {
        let end = self.state.tokens[token].position + 1;
        self.shared.model.shape.window(layer).map_or(0, |window| end.saturating_sub(window.positions))..end
    }

    /// The spans that some tokens see anything of.
    fn spans(&self, layer: usize, tokens: &Range<usize>) -> Range<usize> {
        self.seen(layer, tokens.start).start / SPAN..self.seen(layer, tokens.end - 1).end.div_ceil(SPAN)
    }

    /// Heads of a token, from a place of a board on, as attention reads them: normed where the family has that, and turned, unless a phase before
    /// has made them so.
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
        if shape.latent.is_some() {
            return board.copy(at, heads);
        }
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

    pub(super) fn angles(&self, layer: usize, token: usize) -> &[[f32; 2]] {
        let shape = &self.shared.model.shape;
        let angles = match shape.window(layer) {
            None => &self.state.angles,
            Some(_) => &self.state.window_angles,
        };
        let pairs = angles.len() / self.state.tokens.len();
        &angles[token * pairs..(token + 1) * pairs]
    }
}

/// Adds what was mixed of some positions to what was of others: each stands beside the largest of its own scores.
fn join(
    values: &mut [f32],
    [most, sum]: &mut [f32; 2],
    part: impl Iterator<Item = f32>,
    [part_most, part_sum]: [f32; 2],
) {
    // Nothing was seen of it, and there is no score to stand beside.
    if part_sum == 0.0 {
        return;
    }
    let all = most.max(part_most);
    let (old, new) = ((*most - all).exp(), (part_most - all).exp());
    values.iter_mut().zip(part).for_each(|(sum, x)| *sum = *sum * old + x * new);
    (*most, *sum) = (all, *sum * old + part_sum * new);
}
