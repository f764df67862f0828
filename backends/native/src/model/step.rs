//! One forward pass, as phases that all threads run together.
//!
//! A layer is five phases: queries, keys and values; attention; its output; gate and up; down. (Experts take one more, to be
//! chosen, and families whose heads share what keys and values are made of take three; layers that keep states are four:
//! `states`.) In a phase each worker computes its share of the panels of a matrix (or of the heads of keys) for all tokens, and
//! writes the results to boards that all read in the next. What comes before a product - residuals, norms, quantising - each worker does for
//! itself where there are few tokens, since waiting for another would take longer; else tokens are split between
//! workers, in a phase before. Every number is computed whole by one thread in one order, so results depend neither on
//! how many threads there are nor on what else is in the step.

mod attention;
mod experts;
mod input;
mod latent;
mod states;

use std::{
    ops::Range,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use experts::Visit;
use input::Input;
use kernels::{Columns, Isa, Packed, Panels, Q8, gate_mul, matmul, rms_norm};

use super::{
    Limits, Model, ModelError, Token,
    board::Board,
    cache::Cache,
    operand::{Joined, Operand},
    pool::{Pool, Work, part},
    prefixes::{self, Prefixes},
    shape::Experts,
    states::{Before, Place as Kept, States},
    weights::{Layer, Place},
};

/// The most tokens of a step for which every worker prepares all.
const FEW: usize = 4;

/// A phase is run only where the family has what it computes with.
const OF_PHASE: &str = "a layer that has what the phase is for";

/// The threads, and what they computed.
pub(super) struct Step {
    pool: Pool<Shared>,
    /// `[wanted token][vocabulary]`, or `[wanted token][width]`
    given: Vec<f32>,
    /// Of each slot, which of the two that are kept of it is what it holds.
    held: Vec<usize>,
}

/// What a step gives of the tokens that ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// The logits of what may follow.
    Logits,
    /// What those are computed from: the stream at the end, normed.
    Rows,
}

/// What the workers see.
struct Shared {
    model: Arc<Model>,
    isa: Isa,
    /// The most positions of a slot.
    context: usize,
    cache: Cache,
    /// What is kept of sequences where no token looks back, of each worker.
    states: Vec<Mutex<States>>,
    /// Written by the calling thread between phases, read by all in a phase.
    state: RwLock<State>,
    /// What each worker prepared: written by its own, read by all in the next phase.
    operands: Vec<RwLock<Operand>>,
    /// What is a worker's own.
    desks: Vec<Mutex<Desk>>,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    tokens: Vec<Token>,
    /// Tokens of one slot, one after the other.
    runs: Vec<Run>,
    /// The pages of the runs, each with all of its slot.
    pages: Vec<usize>,
    /// Whether keys and values are stored in a phase before attention, and not each head's by the one worker that reads it.
    apart: bool,
    /// Cosine and sine of each pair of a head that turns, `[token][pair]`.
    angles: Vec<[f32; 2]>,
    /// The same in layers with windows, if there are any.
    window_angles: Vec<[f32; 2]>,
    /// `[token][heads * head]`
    queries: Board,
    /// `[token][kv_heads * head]`
    keys: Board,
    /// `[token][kv_heads * value]`
    values: Board,
    /// What attention gives, `[token][heads * value]`.
    attended: Board,
    /// Where heads share what keys and values are made of.
    latent: latent::Boards,
    /// Where layers keep states.
    states: states::Boards,
    /// The same of spans, where several workers share a head.
    spans: attention::Spans,
    /// Of each expert, `[token][expert]`.
    routes: Board,
    /// Tokens that pass through experts, by expert.
    visits: Vec<Visit>,
    /// `[token][feed_forward]`, or `[visit][feed_forward]` where there are experts.
    inner: Board,
    /// What is to be added to the residual stream, `[token][width]`.
    change: Board,
    /// What the step gives: `[wanted token][vocabulary]`, or `[wanted token][width]`.
    given: Board,
}

/// Tokens of one slot, one after the other.
struct Run {
    /// A range of [`State::tokens`].
    tokens: Range<usize>,
    /// A range of [`State::pages`].
    pages: Range<usize>,
    /// What is kept of the slot where no token looks back.
    kept: Kept,
}

#[derive(Clone, Copy)]
enum Phase {
    Prepare(Input),
    QueryKeyValue(usize),
    /// What queries, keys and values are made of, where heads share that.
    Shared(usize),
    /// Queries of what they are made of.
    Queries(usize),
    /// What meets what is shared.
    Meet(usize),
    /// What heads give of what they mixed of it.
    Part(usize),
    /// What the stream becomes where layers keep states.
    Channels(usize),
    /// What is read of all channels.
    Read(usize),
    Scan(usize),
    StateOutput(usize),
    /// The norms of all heads of a token together, where the family has that.
    NormHeads(usize),
    Store(usize),
    Attend(usize),
    AttentionOutput(usize),
    GateUp(usize),
    Down(usize),
    /// The scores of experts.
    Route(usize),
    ExpertsGateUp(usize),
    ExpertsDown(usize),
    Logits,
    Rows,
}

#[derive(Default)]
struct Desk {
    /// The residual stream of the tokens that this worker prepares, `[token][width]`.
    stream: Vec<f32>,
    /// A column in the making.
    column: Vec<f32>,
    /// The same of queries, where keys are bytes.
    blocks: Vec<Q8>,
    results: Vec<f32>,
    /// Columns of one head.
    operand: Operand,
    /// Scores of a group of heads, or the second factor of a gate.
    second: Vec<f32>,
    /// What the factors of an adapter give.
    thin: [Vec<f32>; 2],
    /// What attention mixed so far, and of the next span.
    mixed: [attention::Mixed; 2],
}

impl Step {
    pub(super) fn new(
        model: Arc<Model>,
        Limits { slots, context, threads, isa, .. }: Limits,
        cache: Cache,
    ) -> Result<Self, ModelError> {
        let states = (0..threads).map(|worker| Mutex::new(States::new(&model.shape, slots, worker, threads))).collect();
        let operands = (0..threads).map(|_| RwLock::default()).collect();
        let desks = (0..threads).map(|_| Mutex::default()).collect();
        let shared = Shared { model, isa, context, cache, states, state: RwLock::default(), operands, desks };
        let pool = Pool::new(threads, shared).map_err(|source| ModelError::Threads { count: threads, source })?;
        Ok(Self { pool, given: Vec::new(), held: vec![0; slots] })
    }

    /// Lets its threads sleep until the next step.
    pub(super) fn rest(&self) {
        self.pool.rest();
    }

    /// Puts the first positions of one page into another one.
    pub(super) fn copy(&self, copy: prefixes::Copy) {
        self.pool.work().cache.copy(copy.from, copy.to, copy.len);
    }

    /// What the tokens give that ask for it; `None` if `goes_on` has said no, which is asked before each layer.
    pub(super) fn run(
        &mut self,
        tokens: &[Token],
        prefixes: &Prefixes,
        gives: Gives,
        goes_on: &dyn Fn() -> bool,
    ) -> Option<&[f32]> {
        let model = Arc::clone(&self.pool.work().model);
        let wanted = tokens.iter().filter(|token| token.logits).count();
        let len = if gives == Gives::Rows { model.shape.width } else { model.shape.vocabulary };
        self.given.resize(wanted * len, 0.0);
        self.pool.work().start(tokens, prefixes, &self.held, self.given.len());
        let many = tokens.len() > FEW;
        let apart = self.pool.work().read().apart;
        for layer in 0..model.shape.layers {
            if !goes_on() {
                return None;
            }
            if model.shape.channels.is_some() {
                self.states(many, layer);
                continue;
            }
            match model.shape.latent {
                None => self.product(many, Input::Attention(layer), Phase::QueryKeyValue(layer)),
                Some(_) => self.meet(many, layer),
            }
            if model.weights.layers[layer].own.row_norms.is_some() {
                self.phase(Phase::NormHeads(layer));
            }
            if apart {
                self.phase(Phase::Store(layer));
            }
            self.phase(Phase::Attend(layer));
            if model.shape.latent.is_some() {
                self.phase(Phase::Part(layer));
            }
            self.product(many, Input::Attended(layer), Phase::AttentionOutput(layer));
            match model.shape.experts {
                None => {
                    self.product(many, Input::FeedForward(layer), Phase::GateUp(layer));
                    self.product(many, Input::Inner(layer), Phase::Down(layer));
                }
                Some(_) => self.experts(many, layer),
            }
        }
        // What a slot holds is now where the step has put it.
        for (index, token) in tokens.iter().enumerate() {
            if !tokens[..index].iter().rev().any(|before| before.slot == token.slot) {
                self.held[token.slot] = 1 - self.held[token.slot];
            }
        }
        if wanted > 0 {
            match gives {
                Gives::Logits => self.product(many, Input::End, Phase::Logits),
                Gives::Rows => self.phase(Phase::Rows),
            }
            self.pool.work().read().given.copy(0, &mut self.given);
        }
        Some(&self.given)
    }

    fn product(&mut self, many: bool, input: Input, phase: Phase) {
        if many {
            self.phase(Phase::Prepare(input));
        }
        self.phase(phase);
    }

    fn phase(&mut self, phase: Phase) {
        self.pool.work().write().phase = Some(phase);
        self.pool.run();
    }
}

impl Work for Shared {
    fn run(&self, worker: usize, workers: usize) {
        let state = self.read();
        let mut desk = self.desks[worker].lock().expect("no panic in a phase");
        let task = Task { shared: self, state: &state, worker, workers };
        match state.phase {
            Some(phase) => task.run(phase, &mut desk),
            None => unreachable!("a round without a phase"),
        }
    }
}

impl Shared {
    /// Notes the tokens, the angles of their positions, and takes room for their results.
    fn start(&self, tokens: &[Token], prefixes: &Prefixes, held: &[usize], given: usize) {
        let (shape, count) = (&self.model.shape, tokens.len());
        let mut state = self.write();
        let State { runs, pages, angles, window_angles, .. } = &mut *state;
        runs.clear();
        pages.clear();
        angles.clear();
        window_angles.clear();
        let ropes = shape.ropes(self.context);
        for (i, token) in tokens.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if tokens[run.tokens.start].slot == token.slot => run.tokens.end = i + 1,
                _ => {
                    let first = pages.len();
                    pages.extend_from_slice(prefixes.of(token.slot));
                    let before = match runs.iter().any(|run: &Run| run.kept.slot == token.slot) {
                        true => Before::Same,
                        false if token.position == 0 => Before::Nothing,
                        false => Before::Other,
                    };
                    let kept = Kept { slot: token.slot, before, to: 1 - held[token.slot] };
                    runs.push(Run { tokens: i..i + 1, pages: first..pages.len(), kept });
                }
            }
            for (rope, angles) in ropes.iter().zip([&mut *angles, &mut *window_angles]) {
                let turned = rope.iter().flat_map(|rope| rope.angles(token.position));
                angles.extend(turned.map(|[cos, sin]| [cos as f32, sin as f32]));
            }
        }
        // One worker has each head of keys, or all take turns.
        let shared = count <= FEW && !shape.kv_heads.is_multiple_of(self.desks.len());
        state.apart = count > FEW || shared;
        let longest = tokens.iter().map(|token| token.position + 1).max().unwrap_or(0);
        state.spans.start(shape, if shared { count } else { 0 }, longest);
        state.tokens.clear();
        state.tokens.extend_from_slice(tokens);
        state.queries.reserve(count * shape.heads * shape.head);
        state.keys.reserve(count * shape.kv_heads * shape.head);
        state.values.reserve(count * shape.kv_heads * shape.value);
        state.attended.reserve(count * shape.heads * shape.value);
        state.latent.start(shape, count);
        state.states.start(shape, count);
        let experts = shape.experts.unwrap_or(Experts { count: 0, used: 1 });
        state.routes.reserve(count * experts.count);
        state.inner.reserve(count * experts.used * shape.feed_forward);
        state.change.reserve(count * shape.width);
        state.given.reserve(given);
    }

    // A lock is poisoned only by a panic in a phase, which `Pool::run` has passed on to the caller.

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no panic in a phase")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no panic in a phase")
    }
}

/// A worker in a phase.
struct Task<'a> {
    shared: &'a Shared,
    state: &'a State,
    worker: usize,
    workers: usize,
}

impl Task<'_> {
    fn run(&self, phase: Phase, desk: &mut Desk) {
        let (weights, state) = (&self.shared.model.weights, self.state);
        match phase {
            Phase::Prepare(input) => {
                self.prepare(input, part(self.columns(input), self.worker, self.workers), desk);
            }
            Phase::QueryKeyValue(index) => {
                let layer = &weights.layers[index];
                self.input(Input::Attention(index), desk);
                let products =
                    [(Place::Query, &state.queries), (Place::Key, &state.keys), (Place::Value, &state.values)];
                for (i, (place, board)) in products.into_iter().enumerate() {
                    let matrix = layer.matrix(place).expect(OF_PHASE);
                    self.adapted(layer, place, &mut desk.results, &mut desk.thin);
                    if let Some(biases) = &layer.own.biases {
                        let rows = self.rows(matrix);
                        for column in desk.results.chunks_exact_mut(rows.len().max(1)) {
                            column.iter_mut().zip(&biases[i][rows.clone()]).for_each(|(x, bias)| *x += bias);
                        }
                    }
                    self.put(matrix, &desk.results, board);
                }
            }
            Phase::Shared(layer) => self.latent_shared(layer, desk),
            Phase::Queries(layer) => self.latent_queries(layer, desk),
            Phase::Meet(layer) => self.latent_meet(layer, desk),
            Phase::Part(layer) => self.latent_part(layer, desk),
            Phase::Channels(layer) => self.channels(layer, desk),
            Phase::Read(layer) => self.read_channels(layer, desk),
            Phase::Scan(layer) => self.scan(layer, desk),
            Phase::StateOutput(layer) => self.state_output(layer, desk),
            Phase::NormHeads(layer) => self.norm_heads(layer, desk),
            Phase::Store(layer) => self.store_heads(layer, desk),
            Phase::Attend(layer) => self.attend(layer, desk),
            Phase::AttentionOutput(index) => {
                self.input(Input::Attended(index), desk);
                let layer = &weights.layers[index];
                self.adapted(layer, Place::AttentionOutput, &mut desk.results, &mut desk.thin);
                self.put(&layer.attention_output, &desk.results, &state.change);
            }
            Phase::GateUp(index) => {
                let layer = &weights.layers[index];
                self.input(Input::FeedForward(index), desk);
                self.adapted(layer, Place::Gate, &mut desk.results, &mut desk.thin);
                self.adapted(layer, Place::Up, &mut desk.second, &mut desk.thin);
                gate_mul(self.shared.isa, self.shared.model.shape.family.gate, &mut desk.results, &desk.second);
                self.put(&layer.gate, &desk.results, &state.inner);
            }
            Phase::Down(index) => {
                self.input(Input::Inner(index), desk);
                let layer = &weights.layers[index];
                self.adapted(layer, Place::Down, &mut desk.results, &mut desk.thin);
                self.put(&layer.down, &desk.results, &state.change);
            }
            Phase::Route(index) => {
                self.input(Input::FeedForward(index), desk);
                if let Some(router) = &weights.layers[index].router {
                    self.product(router, &mut desk.results);
                    self.put(router, &desk.results, &state.routes);
                }
            }
            Phase::ExpertsGateUp(layer) => self.experts_gate_up(layer, desk),
            Phase::ExpertsDown(layer) => self.experts_down(layer, desk),
            Phase::Logits => {
                self.input(Input::End, desk);
                self.product(weights.output(), &mut desk.results);
                let shape = &self.shared.model.shape;
                if shape.logit_scale != 1.0 {
                    desk.results.iter_mut().for_each(|logit| *logit *= shape.logit_scale);
                }
                if let Some(cap) = shape.logit_cap {
                    desk.results.iter_mut().for_each(|logit| *logit = bent(*logit, cap));
                }
                self.put(weights.output(), &desk.results, &state.given);
            }
            Phase::Rows => self.give_rows(desk),
        }
    }

    /// Norms the stream at the end of the tokens that ask, those that this worker has, or has with all others.
    fn give_rows(&self, desk: &mut Desk) {
        let (state, width) = (self.state, self.shared.model.shape.width);
        let own = match state.tokens.len() <= FEW {
            true if self.worker > 0 => return,
            true => 0..state.tokens.len(),
            false => part(state.tokens.len(), self.worker, self.workers),
        };
        let before = state.tokens[..own.start].iter().filter(|token| token.logits).count();
        self.prepare(Input::Rows, own, desk);
        let rows = self.shared.operands[self.worker].read().expect("no panic in a phase");
        rows.floats().enumerate().for_each(|(row, numbers)| state.given.put((before + row) * width, numbers));
    }

    /// Norms all heads of queries, and all of keys, of every `workers`-th token.
    fn norm_heads(&self, layer: usize, Desk { column, results, .. }: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let norms = model.weights.layers[layer].own.row_norms.iter().flatten();
        for (board, norm) in [&state.queries, &state.keys].into_iter().zip(norms) {
            column.resize(norm.len(), 0.0);
            results.resize(norm.len(), 0.0);
            for token in (self.worker..state.tokens.len()).step_by(self.workers) {
                board.copy(token * norm.len(), column);
                rms_norm(self.shared.isa, column, norm, model.shape.eps, results);
                board.put(token * norm.len(), results);
            }
        }
    }

    /// This worker's panels of a matrix times all columns.
    fn product(&self, matrix: &Packed, results: &mut Vec<f32>) {
        let panels = matrix.panels();
        let panels = panels.slice(part(panels.count(), self.worker, self.workers));
        let operands = self.operands();
        self.multiply(panels, Joined::of(&operands, panels.format()).all(), results);
    }

    /// The same of a matrix of a layer, with what an adapter adds to it.
    fn adapted(&self, layer: &Layer<Packed>, place: Place, results: &mut Vec<f32>, [inner, added]: &mut [Vec<f32>; 2]) {
        self.product(layer.matrix(place).expect(OF_PHASE), results);
        let Some(factors) = layer.added.of(place) else { return };
        let operands = self.operands();
        let first = factors.first.panels();
        // Each worker has all that the first gives: it is little, and no other has to be waited for.
        self.multiply(first, Joined::of(&operands, first.format()).all(), inner);
        let second = factors.second.panels();
        let second = second.slice(part(second.count(), self.worker, self.workers));
        self.multiply(second, Columns::Dense(inner), added);
        results.iter_mut().zip(&*added).for_each(|(x, added)| *x += factors.scale * added);
    }

    /// What was prepared: all columns lie with this worker, or each worker's with itself.
    fn operands(&self) -> Vec<RwLockReadGuard<'_, Operand>> {
        let operands = match self.state.tokens.len() <= FEW {
            true => &self.shared.operands[self.worker..=self.worker],
            false => &self.shared.operands[..],
        };
        operands.iter().map(|operand| operand.read().expect("no panic in a phase")).collect()
    }

    fn multiply(&self, panels: Panels<'_>, columns: Columns<'_>, results: &mut Vec<f32>) {
        // Every place is written.
        results.resize(panels.rows() * columns.count(panels.cols()), 0.0);
        matmul(self.shared.isa, panels, columns, results);
    }

    /// The rows of this worker's panels.
    fn rows(&self, matrix: &Packed) -> Range<usize> {
        let panels = matrix.panels();
        panels.rows_of(part(panels.count(), self.worker, self.workers))
    }

    /// Puts the results of this worker's panels where they belong.
    fn put(&self, matrix: &Packed, results: &[f32], board: &Board) {
        let (panels, rows) = (matrix.panels(), self.rows(matrix));
        for (column, results) in results.chunks_exact(rows.len().max(1)).enumerate() {
            board.put(column * panels.rows() + rows.start, results);
        }
    }
}

/// A number bent so that it stays between a limit and its negative.
fn bent(x: f32, limit: f32) -> f32 {
    limit * (x / limit).tanh()
}
