//! Layers that keep a state: what a token makes of the channels goes through each by itself, and no token looks back.
//!
//! Three phases and the output: channels and their gate, mixed with the last values; what steps are made of, what states take in
//! and give; the steps, and states. A worker's rows of the first product and of the last are the same channels, so each has
//! theirs in hand, and takes tokens of a slot in their order.

use kernels::{Gate, Packed, Scan, gate_mul, rms_norm, scan};

use super::{Desk, OF_PHASE, Phase, Step, Task, input::Input};
use crate::model::{Shape, board::Board, cache::PANEL, shape::Channels, weights::StateLayer};

/// What phases hand to each other.
#[derive(Debug, Default)]
pub(super) struct Boards {
    /// `[token][channel]`
    pub(super) channels: Board,
    /// `[token][channel]`
    gates: Board,
    /// What steps are made of, what states take in, and what they give: `[token][rank + 2 * state]`.
    pub(super) read: Board,
    /// What states gave, through their gates, `[token][channel]`.
    pub(super) given: Board,
}

impl Boards {
    /// Takes room for some tokens.
    pub(super) fn start(&mut self, shape: &Shape, tokens: usize) {
        let Some(Channels { count, state, rank, .. }) = shape.channels else { return };
        for board in [&mut self.channels, &mut self.gates, &mut self.given] {
            board.reserve(tokens * count);
        }
        self.read.reserve(tokens * (rank + 2 * state));
    }
}

impl Step {
    /// A layer.
    pub(super) fn states(&mut self, many: bool, layer: usize) {
        self.product(many, Input::State(layer), Phase::Channels(layer));
        self.product(many, Input::Channels(layer), Phase::Read(layer));
        self.product(many, Input::Steps(layer), Phase::Scan(layer));
        self.product(many, Input::Given(layer), Phase::StateOutput(layer));
    }
}

impl Task<'_> {
    /// This worker's channels and their gates.
    pub(super) fn channels(&self, layer: usize, desk: &mut Desk) {
        let (state, weights) = (self.state, self.state_layer(layer));
        let Channels { count, window, .. } = self.shared.model.shape.channels.expect(OF_PHASE);
        self.input(Input::State(layer), desk);
        self.product(&weights.gate, &mut desk.results);
        self.put(&weights.gate, &desk.results, &state.states.gates);
        self.product(&weights.channels, &mut desk.results);
        let own = self.rows(&weights.channels);
        if own.is_empty() {
            return;
        }
        let Desk { column: mixed, results: values, second: seen, .. } = desk;
        let mut states = self.shared.states[self.worker].lock().expect("no panic in a phase");
        let ones = vec![1.0; own.len()];
        for run in &state.runs {
            let last = states.last(layer, run.kept);
            seen.clear();
            seen.extend_from_slice(last);
            seen.extend_from_slice(&values[run.tokens.start * own.len()..run.tokens.end * own.len()]);
            for (index, token) in run.tokens.clone().enumerate() {
                mixed.clear();
                mixed.extend_from_slice(&weights.window_bias[own.clone()]);
                let rows = seen[index * own.len()..].chunks_exact(own.len()).take(window);
                for (values, weights) in rows.zip(weights.window.chunks_exact(count)) {
                    let products = values.iter().zip(&weights[own.clone()]);
                    mixed.iter_mut().zip(products).for_each(|(sum, (value, weight))| *sum += value * weight);
                }
                gate_mul(self.shared.isa, Gate::Silu, mixed, &ones);
                state.states.channels.put(token * count + own.start, mixed);
            }
            last.copy_from_slice(&seen[seen.len() - last.len()..]);
        }
    }

    /// What of a token's channels is read for all.
    pub(super) fn read_channels(&self, layer: usize, desk: &mut Desk) {
        let weights = self.state_layer(layer);
        self.input(Input::Channels(layer), desk);
        self.product(&weights.read, &mut desk.results);
        self.put(&weights.read, &desk.results, &self.state.states.read);
    }

    /// Takes the states of this worker's channels a step further for each token.
    pub(super) fn scan(&self, layer: usize, desk: &mut Desk) {
        let (state, weights, isa) = (self.state, self.state_layer(layer), self.shared.isa);
        let Channels { count, state: numbers, .. } = self.shared.model.shape.channels.expect(OF_PHASE);
        self.input(Input::Steps(layer), desk);
        self.product(&weights.steps, &mut desk.results);
        let own = self.rows(&weights.steps);
        if own.is_empty() {
            return;
        }
        let decay = &weights.decay[own.start / PANEL * numbers..own.end / PANEL * numbers];
        let Desk { column: given, results: steps, second: x, thin: [read, gates], .. } = desk;
        for steps in steps.chunks_exact_mut(own.len()) {
            steps
                .iter_mut()
                .zip(&weights.steps_bias[own.clone()])
                .for_each(|(step, bias)| *step = softplus(*step + bias));
        }
        x.resize(own.len(), 0.0);
        gates.resize(own.len(), 0.0);
        given.resize(own.len(), 0.0);
        let mut states = self.shared.states[self.worker].lock().expect("no panic in a phase");
        for run in &state.runs {
            let states = states.states(layer, run.kept);
            for token in run.tokens.clone() {
                self.taken_and_given(weights, token, read);
                state.states.channels.copy(token * count + own.start, x);
                state.states.gates.copy(token * count + own.start, gates);
                let (input, output) = read.split_at(numbers);
                let step = &steps[token * own.len()..][..own.len()];
                scan(isa, Scan { decay, input, output, step, x }, states, given);
                for ((given, x), passed) in given.iter_mut().zip(&*x).zip(&weights.passed[own.clone()]) {
                    *given += x * passed;
                }
                gate_mul(isa, Gate::Silu, gates, given);
                state.states.given.put(token * count + own.start, gates);
            }
        }
    }

    /// What states take in of a token, and behind it what they give.
    fn taken_and_given(&self, weights: &StateLayer<Packed>, token: usize, read: &mut Vec<f32>) {
        let shape = &self.shared.model.shape;
        let Channels { state, rank, normed, .. } = shape.channels.expect(OF_PHASE);
        let at = token * (rank + 2 * state) + rank;
        read.resize(2 * state, 0.0);
        self.state.states.read.copy(at, read);
        if normed {
            let plain = read.clone();
            for (plain, read) in plain.chunks_exact(state).zip(read.chunks_exact_mut(state)) {
                rms_norm(self.shared.isa, plain, &weights.ones[..state], shape.eps, read);
            }
        }
    }

    /// What layers give.
    pub(super) fn state_output(&self, layer: usize, desk: &mut Desk) {
        let weights = self.state_layer(layer);
        self.input(Input::Given(layer), desk);
        self.product(&weights.output, &mut desk.results);
        self.put(&weights.output, &desk.results, &self.state.change);
    }

    fn state_layer(&self, layer: usize) -> &StateLayer<Packed> {
        &self.shared.model.weights.states[layer]
    }
}

/// `ln(1 + e^x)`, which far above zero is `x`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
