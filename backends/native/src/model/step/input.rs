//! What products read: the residual stream, brought up to date and normed, or what a phase before gave; as columns in the
//! forms that the weights ask for.

use std::ops::Range;

use kernels::rms_norm;

use super::{Desk, FEW, OF_PHASE, Task};
use crate::model::{operand::Wanted, weights::Place};

/// What a product reads.
#[derive(Clone, Copy)]
pub(super) enum Input {
    /// The stream before a layer's attention, normed where the family does.
    Attention(usize),
    /// The stream before a layer that keeps a state, normed.
    State(usize),
    /// The channels of such a layer.
    Channels(usize),
    /// What the lengths of its steps are made of, normed where the model does.
    Steps(usize),
    /// What its states gave.
    Given(usize),
    /// What a layer's queries are made of, normed, where heads share that.
    Queries(usize),
    /// What a layer's attention gave.
    Attended(usize),
    /// The same as the first before a layer's feed-forward block.
    FeedForward(usize),
    /// Gate times up.
    Inner(usize),
    /// The norm of the stream at the end, of the tokens that want logits.
    End,
    /// The same, as it is.
    Rows,
}

/// A part of a model that reads the stream.
struct Reader<'a> {
    wanted: Wanted,
    norm: Option<&'a Vec<f32>>,
    /// The norm of what the block before gave, which is added first.
    change_norm: Option<&'a Vec<f32>>,
}

impl Task<'_> {
    /// Prepares what a product reads, if no phase before has.
    pub(super) fn input(&self, input: Input, desk: &mut Desk) {
        if self.state.tokens.len() <= FEW {
            self.prepare(input, 0..self.columns(input), desk);
        }
    }

    /// How many columns a product reads: one for each token, or for each expert that a token passes through.
    pub(super) fn columns(&self, input: Input) -> usize {
        match input {
            Input::Inner(_) if self.shared.model.shape.experts.is_some() => self.state.visits.len(),
            _ => self.state.tokens.len(),
        }
    }

    /// Makes some of those columns.
    pub(super) fn prepare(&self, input: Input, columns: Range<usize>, desk: &mut Desk) {
        let (model, state) = (&self.shared.model, self.state);
        let (shape, layers) = (&model.shape, &model.weights.layers);
        // Of what attention (0) or the feed-forward block (1) gave.
        let block_norm = |layer: usize, block: usize| Some(&layers.get(layer)?.own.block_norms.as_ref()?[block]);
        let states = &model.weights.states;
        match input {
            Input::State(index) => {
                let layer = &states[index];
                let wanted = Wanted::by([&layer.channels, &layer.gate]);
                let reader = Reader { wanted, norm: Some(&layer.norm), change_norm: None };
                self.read(input, &reader, columns, desk);
            }
            Input::Channels(index) => {
                let (len, wanted) = (shape.channels.expect(OF_PHASE).count, Wanted::by([&states[index].read]));
                let take = |token, column: &mut [f32]| state.states.channels.copy(token * len, column);
                self.take(take, len, None, wanted, columns, desk);
            }
            Input::Steps(index) => {
                let (sizes, layer) = (shape.channels.expect(OF_PHASE), &states[index]);
                let stride = sizes.rank + 2 * sizes.state;
                let take = |token, column: &mut [f32]| state.states.read.copy(token * stride, column);
                let norm = sizes.normed.then_some(&layer.ones[..sizes.rank]);
                self.take(take, sizes.rank, norm, Wanted::by([&layer.steps]), columns, desk);
            }
            Input::Given(index) => {
                let (len, wanted) = (shape.channels.expect(OF_PHASE).count, Wanted::by([&states[index].output]));
                let take = |token, column: &mut [f32]| state.states.given.copy(token * len, column);
                self.take(take, len, None, wanted, columns, desk);
            }
            Input::Attended(index) => {
                let wanted = Wanted::by(layers[index].readers(&[Place::AttentionOutput]));
                match shape.latent {
                    None => {
                        let take = |token, column: &mut [f32]| self.attended(index, token, column);
                        self.take(take, shape.heads * shape.value, None, wanted, columns, desk);
                    }
                    Some(latent) => {
                        let len = shape.heads * latent.value;
                        let take = |token, column: &mut [f32]| state.latent.given.copy(token * len, column);
                        self.take(take, len, None, wanted, columns, desk);
                    }
                }
            }
            Input::Queries(index) => {
                let latent = layers[index].latent().expect(OF_PHASE);
                let (len, wanted) = (latent.query_norm.len(), Wanted::by([&latent.queries]));
                let take = |token, column: &mut [f32]| state.latent.query.copy(token * len, column);
                self.take(take, len, Some(&latent.query_norm), wanted, columns, desk);
            }
            Input::Inner(index) => {
                let (len, wanted) = (shape.feed_forward, Wanted::by(layers[index].readers(&[Place::Down])));
                self.take(|column, to| state.inner.copy(column * len, to), len, None, wanted, columns, desk);
            }
            Input::Attention(index) => {
                let layer = &layers[index];
                let made = layer.latent().into_iter().flat_map(|latent| [&latent.query, &latent.shared]);
                let reader = Reader {
                    wanted: Wanted::by(layer.readers(&[Place::Query, Place::Key, Place::Value]).chain(made)),
                    norm: layer.attention_norm.as_ref(),
                    change_norm: index.checked_sub(1).and_then(|before| block_norm(before, 1)),
                };
                self.read(input, &reader, columns, desk);
            }
            Input::FeedForward(index) => {
                let layer = &layers[index];
                let reader = Reader {
                    wanted: Wanted::by(layer.readers(&[Place::Gate, Place::Up]).chain(&layer.router)),
                    norm: layer.feed_forward_norm.as_ref(),
                    change_norm: block_norm(index, 0),
                };
                self.read(input, &reader, columns, desk);
            }
            Input::End | Input::Rows => {
                let reader = Reader {
                    wanted: match input {
                        Input::Rows => Wanted::FLOATS,
                        _ => Wanted::by([model.weights.output()]),
                    },
                    norm: Some(&model.weights.norm),
                    change_norm: block_norm(shape.layers - 1, 1),
                };
                self.read(input, &reader, columns, desk);
            }
        }
    }

    /// Makes columns of what a phase before gave, normed where there is a norm.
    fn take(
        &self,
        copy: impl Fn(usize, &mut [f32]),
        len: usize,
        norm: Option<&[f32]>,
        wanted: Wanted,
        columns: Range<usize>,
        desk: &mut Desk,
    ) {
        let mut operand = self.shared.operands[self.worker].write().expect("no panic in a phase");
        operand.start(len);
        desk.column.resize(len, 0.0);
        for index in columns {
            copy(index, &mut desk.column);
            match norm {
                None => operand.put(self.shared.isa, wanted, &desk.column),
                Some(norm) => {
                    desk.results.resize(len, 0.0);
                    rms_norm(self.shared.isa, &desk.column, norm, self.shared.model.shape.eps, &mut desk.results);
                    operand.put(self.shared.isa, wanted, &desk.results);
                }
            }
        }
    }

    /// Brings the stream of some tokens up to date and makes columns of it.
    fn read(&self, input: Input, reader: &Reader<'_>, tokens: Range<usize>, desk: &mut Desk) {
        let (model, state, isa) = (&self.shared.model, self.state, self.shared.isa);
        let (shape, width) = (&model.shape, model.shape.width);
        let Desk { stream, column, results, .. } = desk;
        let mut operand = self.shared.operands[self.worker].write().expect("no panic in a phase");
        operand.start(width);
        column.resize(width, 0.0);
        stream.resize(tokens.len() * width, 0.0);
        for (token, stream) in tokens.zip(stream.chunks_exact_mut(width)) {
            match (input, reader.change_norm) {
                (Input::Attention(0) | Input::State(0), _) => {
                    model.weights.embedding.panels().row(state.tokens[token].id as usize, stream);
                    stream.iter_mut().for_each(|x| *x *= shape.embedding_scale);
                }
                (_, None) => {
                    for (x, change) in stream.iter_mut().zip(state.change.get(token * width, width)) {
                        *x += change * shape.block_scale;
                    }
                }
                (_, Some(norm)) => {
                    results.resize(width, 0.0);
                    state.change.copy(token * width, results);
                    rms_norm(isa, results, norm, shape.eps, column);
                    stream.iter_mut().zip(&*column).for_each(|(x, change)| *x += change * shape.block_scale);
                }
            }
            if matches!(input, Input::End | Input::Rows) && !state.tokens[token].logits {
                continue;
            }
            match reader.norm {
                Some(norm) => {
                    rms_norm(isa, stream, norm, shape.eps, column);
                    operand.put(isa, reader.wanted, column);
                }
                None => operand.put(isa, reader.wanted, stream),
            }
        }
    }
}
