//! One forward pass, as phases that all threads run together.
//!
//! A layer is five phases: queries, keys and values; attention; its output; gate and up; down. In a phase each worker
//! computes its share of the rows (or of the pairs of token and head) into its own buffer. Between phases the calling
//! thread alone puts the shares together and does what is small: residuals, norms, rotary positions, quantising.
//! Every row is computed whole by one thread, so results do not depend on how many there are.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kernels::{Columns, Isa, matmul, rms_norm, rope_adjacent, silu_mul, softmax, weighted_sum_f16};

use super::{
    Model, ModelError, Token,
    cache::Cache,
    operand::Operand,
    pool::{Pool, Work},
    weights::activations,
};
use crate::tensor::Tensor;

/// The threads, and what the calling thread keeps to itself.
pub(super) struct Step {
    pool: Pool<Shared>,
    /// The residual stream, `[token][width]`.
    stream: Vec<f32>,
    /// `[token][kv_heads * head]`
    keys: Vec<f32>,
    /// `[token][kv_heads * head]`
    values: Vec<f32>,
    /// Cosine and sine of each pair of a head, `[token][pair]`.
    angles: Vec<[f32; 2]>,
    /// `[wanted token][vocabulary]`
    logits: Vec<f32>,
}

/// What the workers see.
struct Shared {
    model: Arc<Model>,
    isa: Isa,
    /// Written by the calling thread between phases, read by all in a phase.
    state: RwLock<State>,
    /// What each worker computed in the last phase.
    shares: Vec<Mutex<Share>>,
}

struct State {
    phase: Phase,
    tokens: Vec<Token>,
    /// The columns of the phase's products.
    operand: Operand,
    /// `[token][heads * head]`
    queries: Vec<f32>,
    cache: Cache,
}

#[derive(Clone, Copy)]
enum Phase {
    QueryKeyValue(usize),
    Attend(usize),
    AttentionOutput(usize),
    GateUp(usize),
    Down(usize),
    Logits,
}

#[derive(Default)]
struct Share {
    results: Vec<f32>,
    /// Scores of a group of heads, or the second factor of a gate.
    scratch: Vec<f32>,
}

impl Step {
    pub(super) fn new(model: Arc<Model>, isa: Isa, threads: usize, cache: Cache) -> Result<Self, ModelError> {
        let (tokens, operand, queries) = (Vec::new(), Operand::default(), Vec::new());
        let state = RwLock::new(State { phase: Phase::Logits, tokens, operand, queries, cache });
        let shares = (0..threads).map(|_| Mutex::default()).collect();
        let pool = Pool::new(threads, Shared { model, isa, state, shares })
            .map_err(|source| ModelError::Threads { count: threads, source })?;
        let (stream, keys, values) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { pool, stream, keys, values, angles: Vec::new(), logits: Vec::new() })
    }

    /// The logits of the tokens that ask for them.
    pub(super) fn run(&mut self, tokens: &[Token]) -> &[f32] {
        let model = Arc::clone(&self.pool.work().model);
        self.start(&model, tokens);
        for layer in 0..model.shape.layers {
            self.attention(&model, layer, tokens);
            self.feed_forward(&model, layer, tokens.len());
        }
        self.finish(&model, tokens);
        &self.logits
    }

    /// Looks up the embeddings and the angles of the positions.
    fn start(&mut self, model: &Model, tokens: &[Token]) {
        let (width, frequencies) = (model.shape.width, &model.shape.frequencies);
        self.stream.resize(tokens.len() * width, 0.0);
        self.angles.clear();
        for (token, x) in tokens.iter().zip(self.stream.chunks_exact_mut(width)) {
            model.weights.embedding.row(token.id as usize, x);
            self.angles.extend(frequencies.iter().map(|frequency| {
                let (sin, cos) = (token.position as f64 * frequency).sin_cos();
                [cos as f32, sin as f32]
            }));
        }
        let mut state = self.state();
        state.tokens.clear();
        state.tokens.extend_from_slice(tokens);
    }

    fn attention(&mut self, model: &Model, index: usize, tokens: &[Token]) {
        let (shape, layer) = (&model.shape, &model.weights.layers[index]);
        let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        self.normed(model, &layer.attention_norm, tokens.len());
        self.state().operand.prepare(self.isa(), &activations([&layer.query, &layer.key, &layer.value]));
        self.phase(Phase::QueryKeyValue(index));

        self.keys.resize(tokens.len() * keys, 0.0);
        self.values.resize(tokens.len() * keys, 0.0);
        let shared = self.pool.work();
        let mut state = shared.write();
        let State { queries: all, cache, .. } = &mut *state;
        all.resize(tokens.len() * queries, 0.0);
        shared.collect([(queries, all), (keys, &mut self.keys), (keys, &mut self.values)], <[f32]>::copy_from_slice);
        let pairs = shape.frequencies.len();
        for (i, token) in tokens.iter().enumerate() {
            let angles = &self.angles[i * pairs..(i + 1) * pairs];
            let (key, value) = (&mut self.keys[i * keys..][..keys], &self.values[i * keys..][..keys]);
            rope_adjacent(&mut all[i * queries..][..queries], shape.head, angles);
            rope_adjacent(key, shape.head, angles);
            cache.write(index, token.slot, token.position, key, value);
        }
        drop(state);

        self.phase(Phase::Attend(index));
        let shared = self.pool.work();
        let mut state = shared.write();
        let group = shape.group() * shape.head;
        shared.collect_pairs(group, state.operand.fill(queries, tokens.len()));
        state.operand.prepare(shared.isa, &activations([&layer.attention_output]));
        drop(state);
        self.phase(Phase::AttentionOutput(index));
        self.add_to_stream(shape.width);
    }

    fn feed_forward(&mut self, model: &Model, index: usize, count: usize) {
        let (shape, layer) = (&model.shape, &model.weights.layers[index]);
        self.normed(model, &layer.feed_forward_norm, count);
        self.state().operand.prepare(self.isa(), &activations([&layer.gate, &layer.up]));
        self.phase(Phase::GateUp(index));
        let shared = self.pool.work();
        let mut state = shared.write();
        let inner = state.operand.fill(shape.feed_forward, count);
        shared.collect([(shape.feed_forward, inner)], <[f32]>::copy_from_slice);
        state.operand.prepare(shared.isa, &activations([&layer.down]));
        drop(state);
        self.phase(Phase::Down(index));
        self.add_to_stream(shape.width);
    }

    /// The logits of the tokens that ask for them, from the end of the stream.
    fn finish(&mut self, model: &Model, tokens: &[Token]) {
        let (width, vocabulary) = (model.shape.width, model.shape.vocabulary);
        let wanted = tokens.iter().filter(|token| token.logits).count();
        self.logits.resize(wanted * vocabulary, 0.0);
        if wanted == 0 {
            return;
        }
        // The wanted rows move to the front.
        let places = tokens.iter().enumerate().filter(|(_, token)| token.logits);
        for (to, (from, _)) in places.enumerate() {
            self.stream.copy_within(from * width..(from + 1) * width, to * width);
        }
        self.normed(model, &model.weights.norm, wanted);
        self.state().operand.prepare(self.isa(), &activations([&model.weights.output]));
        self.phase(Phase::Logits);
        self.pool.work().collect([(vocabulary, &mut self.logits)], <[f32]>::copy_from_slice);
    }

    /// Fills the operand with the norm of the first `count` rows of the stream.
    fn normed(&mut self, model: &Model, weight: &[f32], count: usize) {
        let (width, isa) = (model.shape.width, self.isa());
        let mut state = self.pool.work().write();
        let out = state.operand.fill(width, count).chunks_exact_mut(width);
        for (x, out) in self.stream.chunks_exact(width).zip(out) {
            rms_norm(isa, x, weight, model.shape.eps, out);
        }
    }

    fn add_to_stream(&mut self, width: usize) {
        self.pool.work().collect([(width, &mut self.stream)], |stream, share| {
            for (x, y) in stream.iter_mut().zip(share) {
                *x += y;
            }
        });
    }

    fn phase(&mut self, phase: Phase) {
        self.state().phase = phase;
        self.pool.run();
    }

    fn state(&self) -> RwLockWriteGuard<'_, State> {
        self.pool.work().write()
    }

    fn isa(&self) -> Isa {
        self.pool.work().isa
    }
}

impl Work for Shared {
    fn run(&self, worker: usize, workers: usize) {
        let state = self.read();
        let mut share = self.share(worker);
        let Share { results, scratch } = &mut *share;
        results.clear();
        let weights = &self.model.weights;
        let product = |tensor: &Tensor, out: &mut Vec<f32>| {
            let columns = state.operand.columns(tensor.format().activation());
            let rows = part(tensor.rows(), worker, workers);
            let start = out.len();
            out.resize(start + rows.len() * columns.count(), 0.0);
            matmul(self.isa, tensor.matrix().slice(rows), columns, &mut out[start..]);
        };
        match state.phase {
            Phase::QueryKeyValue(layer) => {
                let layer = &weights.layers[layer];
                product(&layer.query, results);
                product(&layer.key, results);
                product(&layer.value, results);
            }
            Phase::Attend(layer) => self.attend(&state, layer, worker, workers, results, scratch),
            Phase::AttentionOutput(layer) => product(&weights.layers[layer].attention_output, results),
            Phase::GateUp(layer) => {
                let layer = &weights.layers[layer];
                scratch.clear();
                product(&layer.gate, results);
                product(&layer.up, scratch);
                silu_mul(self.isa, results, scratch);
            }
            Phase::Down(layer) => product(&weights.layers[layer].down, results),
            Phase::Logits => product(&weights.output, results),
        }
    }
}

impl Shared {
    /// Every `workers`-th pair of a token and a key head: the query heads of its group attend to all positions up to
    /// the token's own.
    fn attend(
        &self,
        state: &State,
        layer: usize,
        worker: usize,
        workers: usize,
        results: &mut Vec<f32>,
        scores: &mut Vec<f32>,
    ) {
        let shape = &self.model.shape;
        let (head, group) = (shape.head, shape.group());
        let scale = 1.0 / (head as f32).sqrt();
        for pair in (worker..state.tokens.len() * shape.kv_heads).step_by(workers) {
            let (token, kv_head) = (state.tokens[pair / shape.kv_heads], pair % shape.kv_heads);
            let len = token.position + 1;
            let queries = &state.queries[pair * group * head..][..group * head];
            scores.resize(group * len, 0.0);
            let keys = state.cache.keys(layer, token.slot, kv_head, len);
            matmul(self.isa, keys, Columns::f32(head, queries), scores);
            let values = state.cache.values(layer, token.slot, kv_head, len);
            for scores in scores.chunks_exact_mut(len) {
                softmax(self.isa, scores, scale);
                let start = results.len();
                results.resize(start + head, 0.0);
                weighted_sum_f16(self.isa, scores, values, &mut results[start..]);
            }
        }
    }

    /// Puts the workers' shares of each matrix of a phase, `rows` results a column, where they belong.
    fn collect<const N: usize>(&self, to: [(usize, &mut [f32]); N], put: impl Fn(&mut [f32], &[f32])) {
        let workers = self.shares.len();
        let mut to = to;
        for worker in 0..workers {
            let share = self.share(worker);
            let mut rest = &share.results[..];
            for (rows, to) in &mut to {
                let range = part(*rows, worker, workers);
                for column in to.chunks_exact_mut(*rows) {
                    let (here, after) = rest.split_at(range.len());
                    put(&mut column[range.clone()], here);
                    rest = after;
                }
            }
        }
    }

    /// Puts the workers' pairs of an attention phase, `len` results each, where they belong.
    fn collect_pairs(&self, len: usize, to: &mut [f32]) {
        let workers = self.shares.len();
        for worker in 0..workers {
            let share = self.share(worker);
            let places = to.chunks_exact_mut(len).skip(worker).step_by(workers);
            for (place, result) in places.zip(share.results.chunks_exact(len)) {
                place.copy_from_slice(result);
            }
        }
    }

    // A lock is poisoned only by a panic in a phase, which `Pool::run` has passed on to the caller.

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no panic in a phase")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no panic in a phase")
    }

    fn share(&self, worker: usize) -> MutexGuard<'_, Share> {
        self.shares[worker].lock().expect("no panic in a phase")
    }
}

/// The rows of one worker.
fn part(rows: usize, worker: usize, workers: usize) -> Range<usize> {
    rows * worker / workers..rows * (worker + 1) / workers
}
