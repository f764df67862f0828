//! One forward pass over a batch of texts, as phases that all threads run together.
//!
//! What is done to each token by itself - norms, residuals, quantising, its mix of values - is done by the one worker that
//! has the token, and stays with it; products are parted by the panels of their matrix, so that weights are read once for
//! all tokens, and what they give lies on sheets that all read in the next phase. Every number is computed whole by one
//! thread in one order: rows depend neither on how many threads there are nor on what else is in the batch.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use engine::encoder::Pooling;
use kernels::{Gate, Isa, Packed, gate_mul, layer_norm, matmul};

use super::{
    Encoder,
    attention::{Lane, Text},
    shape::Shape,
    sheet::Sheet,
    weights::{Layer, Linear, Norm},
};
use crate::model::{
    ModelError,
    operand::{Joined, Operand, Wanted},
    pool::{Pool, Work, part},
};

/// Rows of a panel.
pub(super) const PANEL: usize = 16;

/// An encoder with threads to run it.
pub struct Reader {
    encoder: Arc<Encoder>,
    isa: Isa,
    pool: Pool<Shared>,
}

/// What the workers see.
pub(super) struct Shared {
    encoder: Arc<Encoder>,
    pub(super) isa: Isa,
    /// Written by the calling thread between phases, read by all in a phase.
    state: RwLock<State>,
    /// What each worker prepared of its tokens: read by all in the next phase.
    operands: Vec<RwLock<Operand>>,
    pub(super) queries: Sheet,
    pub(super) keys: Sheet,
    pub(super) values: Sheet,
    /// For each head.
    pub(super) lanes: Vec<RwLock<Lane>>,
    /// Inside the feed-forward block.
    inner: Sheet,
    /// What is to be added to the stream.
    change: Sheet,
    /// What is a worker's own.
    desks: Vec<Mutex<Desk>>,
}

#[derive(Default)]
pub(super) struct State {
    phase: Option<Phase>,
    /// All tokens of the batch, text after text.
    ids: Vec<u32>,
    pub(super) texts: Vec<Text>,
    /// Cosine and sine of each pair of a head, `[position][pair]`, as far as any text has reached.
    angles: Vec<[f32; 2]>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The stream before a layer, and the columns of its attention.
    Begin(usize),
    QueryKeyValue(usize),
    Store,
    Attend(usize),
    AttentionOutput(usize),
    /// The stream between attention and the feed-forward block, and the columns of that.
    Between(usize),
    Up(usize),
    /// The columns of its second half.
    Inner(usize),
    Down(usize),
    /// The stream behind the last layer.
    End,
}

#[derive(Default)]
pub(super) struct Desk {
    /// The residual stream of this worker's tokens, `[token][width]`.
    stream: Vec<f32>,
    /// What attention gave them, `[token][width]`.
    pub(super) attended: Vec<f32>,
    /// A column in the making, or some queries.
    pub(super) column: Vec<f32>,
    pub(super) results: Vec<f32>,
    /// Of some queries with all keys of their text, `[query][token]`, and the sum of the exponentials of each.
    pub(super) scores: Vec<f32>,
    pub(super) sums: Vec<f32>,
    /// What a gate lets through.
    through: Vec<f32>,
}

impl Reader {
    /// Starts the threads, the calling one included.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn new(encoder: Arc<Encoder>, threads: usize, isa: Isa) -> Result<Self, ModelError> {
        let shape = &encoder.shape;
        let sheet = |rows: usize| {
            let panels = rows.div_ceil(PANEL);
            let rows_of = |panels: Range<usize>| panels.start * PANEL..(panels.end * PANEL).min(rows);
            Sheet::new((0..threads).map(|worker| rows_of(part(panels, worker, threads))).collect())
        };
        let shared = Shared {
            isa,
            state: RwLock::default(),
            operands: (0..threads).map(|_| RwLock::default()).collect(),
            queries: sheet(shape.width),
            keys: sheet(shape.width),
            values: sheet(shape.width),
            lanes: (0..shape.heads).map(|_| RwLock::default()).collect(),
            inner: sheet(shape.feed_forward),
            change: sheet(shape.width),
            desks: (0..threads).map(|_| Mutex::default()).collect(),
            encoder: Arc::clone(&encoder),
        };
        let pool = Pool::new(threads, shared).map_err(|source| ModelError::Threads { count: threads, source })?;
        Ok(Self { encoder, isa, pool })
    }

    /// A row of numbers for each of some texts: of [`engine::encoder::Makes::Vectors`] the vector, of any length, and of
    /// scores one number, of any size.
    ///
    /// # Panics
    /// If a text is empty or longer than the model's context, or a token is none of the model's: the caller checks what
    /// comes from outside.
    pub fn read(&mut self, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let shape = &self.encoder.shape;
        for text in texts {
            assert!((1..=shape.context).contains(&text.len()), "read: a text of {}", text.len());
            let unknown = text.iter().find(|&&id| id as usize >= shape.vocabulary);
            assert!(unknown.is_none(), "read: token {unknown:?} of {}", shape.vocabulary);
        }
        self.pool.work().start(texts);
        for layer in 0..shape.layers {
            for phase in [
                Phase::Begin(layer),
                Phase::QueryKeyValue(layer),
                Phase::Store,
                Phase::Attend(layer),
                Phase::AttentionOutput(layer),
                Phase::Between(layer),
                Phase::Up(layer),
                Phase::Inner(layer),
                Phase::Down(layer),
            ] {
                phase.run(&mut self.pool);
            }
        }
        Phase::End.run(&mut self.pool);
        self.rows()
    }

    /// The rows of the texts, from the stream of their tokens.
    fn rows(&self) -> Vec<Vec<f32>> {
        let (shared, width) = (self.pool.work(), self.encoder.shape.width);
        let state = shared.read();
        let desks: Vec<_> = shared.desks.iter().map(|desk| desk.lock().expect("no panic in a phase")).collect();
        // Each worker has its tokens one after the other, and the next worker the next ones.
        let stream: Vec<&[f32]> = desks.iter().flat_map(|desk| desk.stream.chunks_exact(width)).collect();
        let row = |text: &Text| {
            let tokens = &stream[text.tokens.clone()];
            let row = match self.encoder.shape.pooling {
                Pooling::First => tokens[0].to_vec(),
                Pooling::Last => tokens[tokens.len() - 1].to_vec(),
                Pooling::Mean => mean(tokens),
            };
            self.scored(row)
        };
        state.texts.iter().map(row).collect()
    }

    /// What the head makes of a row, where there is one.
    fn scored(&self, row: Vec<f32>) -> Vec<f32> {
        let Some(head) = &self.encoder.weights.head else { return row };
        let inner = match &head.inner {
            None => row,
            Some(inner) => self.product(inner, &row).into_iter().map(f32::tanh).collect(),
        };
        self.product(&head.output, &inner)
    }

    /// The product of a whole matrix with one column.
    fn product(&self, linear: &Linear<Packed>, column: &[f32]) -> Vec<f32> {
        let mut operand = Operand::default();
        operand.start(column.len());
        operand.put(self.isa, Wanted::by([&linear.matrix]), column);
        let panels = linear.matrix.panels();
        let mut results = vec![0.0; panels.rows()];
        matmul(self.isa, panels, Joined::of(&[&operand], panels.format()).all(), &mut results);
        add(&mut results, linear.bias.as_deref());
        results
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("shape", &self.encoder.shape).field("isa", &self.isa).finish_non_exhaustive()
    }
}

impl Phase {
    fn run(self, pool: &mut Pool<Shared>) {
        pool.work().write().phase = Some(self);
        pool.run();
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
    /// Notes the texts of a batch, and the angles of their positions.
    fn start(&self, texts: &[Vec<u32>]) {
        let shape = &self.encoder.shape;
        let mut state = self.write();
        state.ids.clear();
        state.texts.clear();
        for text in texts {
            state.ids.extend_from_slice(text);
            let text = Text::after(&state.texts, text.len(), shape.head);
            state.texts.push(text);
        }
        if let Some(rope) = &shape.rope {
            let known = state.angles.len() / rope.frequencies.len().max(1);
            for position in known..texts.iter().map(Vec::len).max().unwrap_or(0) {
                state.angles.extend(rope.angles(position).map(|[cos, sin]| [cos as f32, sin as f32]));
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
}

/// A worker in a phase.
pub(super) struct Task<'a> {
    pub(super) shared: &'a Shared,
    pub(super) state: &'a State,
    pub(super) worker: usize,
    pub(super) workers: usize,
}

impl Task<'_> {
    pub(super) fn shape(&self) -> &Shape {
        &self.shared.encoder.shape
    }

    /// The tokens that are this worker's.
    pub(super) fn own(&self) -> Range<usize> {
        part(self.state.ids.len(), self.worker, self.workers)
    }

    /// The angles of a position, where heads turn.
    pub(super) fn angles(&self, position: usize) -> Option<&[[f32; 2]]> {
        let pairs = self.shape().rope.as_ref()?.frequencies.len();
        Some(&self.state.angles[position * pairs..][..pairs])
    }

    fn run(&self, phase: Phase, desk: &mut Desk) {
        let (shared, layers) = (self.shared, &self.shared.encoder.weights.layers);
        match phase {
            Phase::Begin(index) => {
                match index.checked_sub(1) {
                    None => self.embed(desk),
                    Some(before) => self.add_change(&layers[before].norm, desk),
                }
                let Layer { query, key, value, .. } = &layers[index];
                self.columns(&desk.stream, [query, key, value].map(|linear| &linear.matrix));
            }
            Phase::QueryKeyValue(index) => {
                let layer = &layers[index];
                for (linear, sheet) in
                    [(&layer.query, &shared.queries), (&layer.key, &shared.keys), (&layer.value, &shared.values)]
                {
                    self.product(linear, &mut sheet.write(self.worker));
                }
            }
            Phase::Store => self.store(desk),
            Phase::Attend(index) => {
                self.attend(desk);
                self.columns(&desk.attended, [&layers[index].attention_output.matrix]);
            }
            Phase::AttentionOutput(index) => {
                self.product(&layers[index].attention_output, &mut shared.change.write(self.worker));
            }
            Phase::Between(index) => {
                let layer = &layers[index];
                self.add_change(&layer.attention_norm, desk);
                self.columns(&desk.stream, layer.gate.iter().chain([&layer.up]).map(|linear| &linear.matrix));
            }
            Phase::Up(index) => {
                let Layer { gate, up, .. } = &layers[index];
                let results = &mut *shared.inner.write(self.worker);
                match gate {
                    Some(gate) => {
                        self.product(gate, results);
                        self.product(up, &mut desk.through);
                        gate_mul(shared.isa, Gate::Silu, results, &desk.through);
                    }
                    None => {
                        self.product(up, results);
                        // A bend alone is a gate that lets through all that there is of one.
                        desk.through.clear();
                        desk.through.resize(results.len(), 1.0);
                        gate_mul(shared.isa, Gate::Gelu, results, &desk.through);
                    }
                }
            }
            Phase::Inner(index) => {
                let (len, inner) = (self.shape().feed_forward, shared.inner.read());
                let own = self.own();
                desk.column.resize(len, 0.0);
                let mut operand = self.start(len);
                let wanted = Wanted::by([&layers[index].down.matrix]);
                for token in own {
                    inner.copy(token, 0, &mut desk.column);
                    operand.put(shared.isa, wanted, &desk.column);
                }
            }
            Phase::Down(index) => self.product(&layers[index].down, &mut shared.change.write(self.worker)),
            Phase::End => {
                if let Some(last) = layers.last() {
                    self.add_change(&last.norm, desk);
                }
            }
        }
    }

    /// The stream of this worker's tokens before the first layer.
    fn embed(&self, Desk { stream, column, .. }: &mut Desk) {
        let (weights, width) = (&self.shared.encoder.weights, self.shape().width);
        let own = self.own();
        stream.resize(own.len() * width, 0.0);
        column.resize(width, 0.0);
        let positions = self.state.texts.iter().flat_map(|text| 0..text.tokens.len());
        let own = own.clone().zip(positions.skip(own.start));
        for ((token, position), stream) in own.zip(stream.chunks_exact_mut(width)) {
            let mut sum = weights.part.clone();
            weights.embedding.panels().row(self.state.ids[token] as usize, column);
            add(&mut sum, Some(column));
            if let Some(positions) = &weights.positions {
                positions.panels().row(position, column);
                add(&mut sum, Some(column));
            }
            self.norm(&weights.norm, &sum, stream);
        }
    }

    /// Adds what a block gave to the stream of this worker's tokens, and norms it.
    fn add_change(&self, norm: &Norm, Desk { stream, column, .. }: &mut Desk) {
        let (change, width) = (self.shared.change.read(), self.shape().width);
        column.resize(width, 0.0);
        for (token, stream) in self.own().zip(stream.chunks_exact_mut(width)) {
            change.copy(token, 0, column);
            column.iter_mut().zip(&*stream).for_each(|(change, x)| *change += x);
            self.norm(norm, column, stream);
        }
    }

    fn norm(&self, norm: &Norm, x: &[f32], out: &mut [f32]) {
        layer_norm(self.shared.isa, x, &norm.weight, &norm.bias, self.shape().eps, out);
    }

    /// Makes columns of rows as wide as the stream, in the forms that some matrices ask for.
    fn columns<'m>(&self, rows: &[f32], matrices: impl IntoIterator<Item = &'m Packed> + Clone) {
        let (wanted, width) = (Wanted::by(matrices), self.shape().width);
        let mut operand = self.start(width);
        rows.chunks_exact(width).for_each(|row| operand.put(self.shared.isa, wanted, row));
    }

    /// This worker's operand, emptied.
    fn start(&self, len: usize) -> RwLockWriteGuard<'_, Operand> {
        let mut operand = self.shared.operands[self.worker].write().expect("no panic in a phase");
        operand.start(len);
        operand
    }

    /// This worker's panels of a matrix times all columns, with their biases.
    fn product(&self, linear: &Linear<Packed>, results: &mut Vec<f32>) {
        let operands = self.shared.operands.iter().map(|operand| operand.read().expect("no panic in a phase"));
        let operands: Vec<_> = operands.collect();
        let panels = linear.matrix.panels();
        let own = part(panels.count(), self.worker, self.workers);
        let (rows, panels) = (panels.rows_of(own.clone()), panels.slice(own));
        // Every place is written.
        results.resize(rows.len() * self.state.ids.len(), 0.0);
        matmul(self.shared.isa, panels, Joined::of(&operands, panels.format()).all(), results);
        let bias = linear.bias.as_ref().map(|bias| &bias[rows.clone()]);
        results.chunks_exact_mut(rows.len().max(1)).for_each(|column| add(column, bias));
    }
}

fn add(x: &mut [f32], bias: Option<&[f32]>) {
    x.iter_mut().zip(bias.unwrap_or_default()).for_each(|(x, bias)| *x += bias);
}

/// The mean of some rows, each number in their order.
fn mean(rows: &[&[f32]]) -> Vec<f32> {
    let mut sums = vec![0.0f64; rows.first().map_or(0, |row| row.len())];
    for row in rows {
        sums.iter_mut().zip(*row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sums.into_iter().map(|sum| (sum / rows.len() as f64) as f32).collect()
}
