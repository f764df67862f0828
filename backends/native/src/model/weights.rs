//! Every tensor of a file bound to its place in the graph, with its shape checked.
//!
//! A tensor that the graph would leave out is refused: leaving it out would change what the model says, silently.

use std::collections::HashSet;

use kernels::Packed;

use engine::gguf::File;

use crate::tensor::View;

use super::{
    ModelError, Shape,
    adapter::Added,
    cache::PANEL,
    family::KeyNorms,
    shape::{self, Channels},
};

/// Tensors that old converters wrote and that hold nothing but what metadata says.
const REDUNDANT: &str = ".attn_rot_embd";

/// The weights of a model: where they lie in a file, or packed.
#[derive(Debug)]
pub(super) struct Weights<M> {
    pub(super) embedding: M,
    /// None where the family keeps states.
    pub(super) layers: Vec<Layer<M>>,
    /// None where it does not.
    pub(super) states: Vec<StateLayer<M>>,
    pub(super) norm: Vec<f32>,
    /// None where the embedding is the output matrix too.
    output: Option<M>,
}

/// The weights of a decoder layer.
#[derive(Debug)]
pub(super) struct Layer<M> {
    /// None where the family reads the stream as it is.
    pub(super) attention_norm: Option<Vec<f32>>,
    pub(super) projections: Projections<M>,
    pub(super) attention_output: M,
    /// The same.
    pub(super) feed_forward_norm: Option<Vec<f32>>,
    /// What gives experts their scores, where there are some: gate, up and down are those of all, one after the other.
    pub(super) router: Option<M>,
    pub(super) gate: M,
    pub(super) up: M,
    pub(super) down: M,
    pub(super) own: Own,
    pub(super) added: Added,
}

/// What makes queries, keys and values of what attention reads.
#[derive(Debug)]
pub(super) enum Projections<M> {
    /// A matrix for each.
    Each([M; 3]),
    /// See [`super::shape::Latent`].
    Latent(Latent<M>),
}

/// See [`super::shape::Latent`].
#[derive(Debug)]
pub(super) struct Latent<M> {
    /// Makes what queries are made of.
    pub(super) query: M,
    pub(super) query_norm: Vec<f32>,
    /// Makes queries of that.
    pub(super) queries: M,
    /// Makes what keys and values are made of, and behind it what of keys turns.
    pub(super) shared: M,
    /// Of the first.
    pub(super) shared_norm: Vec<f32>,
    /// Of each head, what makes keys of what is shared, turned, as the products of its queries with keys are those of what this
    /// makes of its queries with what is shared.
    pub(super) keys: M,
    /// Of each head, what makes values of what is shared.
    pub(super) values: M,
}

impl<M> Projections<M> {
    fn matrices(&self) -> impl Iterator<Item = &M> {
        let (each, latent): (&[M], _) = match self {
            Self::Each(each) => (&each[..], None),
            Self::Latent(latent) => (&[], Some(latent)),
        };
        each.iter().chain(
            latent
                .into_iter()
                .flat_map(|latent| [&latent.query, &latent.queries, &latent.shared, &latent.keys, &latent.values]),
        )
    }

    fn map<N, E>(self, pass: &mut impl FnMut(M) -> Result<N, E>) -> Result<Projections<N>, E> {
        Ok(match self {
            Self::Each([query, key, value]) => Projections::Each([pass(query)?, pass(key)?, pass(value)?]),
            Self::Latent(latent) => Projections::Latent(Latent {
                query: pass(latent.query)?,
                query_norm: latent.query_norm,
                queries: pass(latent.queries)?,
                shared: pass(latent.shared)?,
                shared_norm: latent.shared_norm,
                keys: pass(latent.keys)?,
                values: pass(latent.values)?,
            }),
        })
    }
}

/// The weights of a layer that keeps a state. See [`super::shape::Channels`].
#[derive(Debug)]
pub(super) struct StateLayer<M> {
    pub(super) norm: Vec<f32>,
    /// Makes channels of the stream.
    pub(super) channels: M,
    /// Makes the gate of what is given.
    pub(super) gate: M,
    /// Of each of the last values of a channel, the newest behind: what it is multiplied by, `[value][channel]`.
    pub(super) window: Vec<f32>,
    /// What is added to those.
    pub(super) window_bias: Vec<f32>,
    /// Makes what steps are made of, what states take in, and what they give.
    pub(super) read: M,
    /// Makes the lengths of steps of what they are made of.
    pub(super) steps: M,
    pub(super) steps_bias: Vec<f32>,
    /// What states decay by in a step of length one, as the kernel reads it.
    pub(super) decay: Vec<[f32; PANEL]>,
    /// What part of a channel is given beside its state.
    pub(super) passed: Vec<f32>,
    pub(super) output: M,
    /// As many ones as there are numbers in what is normed without weights.
    pub(super) ones: Vec<f32>,
}

impl<M> StateLayer<M> {
    fn matrices(&self) -> impl Iterator<Item = &M> {
        [&self.channels, &self.gate, &self.read, &self.steps, &self.output].into_iter()
    }

    fn map<N, E>(self, pass: &mut impl FnMut(M) -> Result<N, E>) -> Result<StateLayer<N>, E> {
        Ok(StateLayer {
            norm: self.norm,
            channels: pass(self.channels)?,
            gate: pass(self.gate)?,
            window: self.window,
            window_bias: self.window_bias,
            read: pass(self.read)?,
            steps: pass(self.steps)?,
            steps_bias: self.steps_bias,
            decay: self.decay,
            passed: self.passed,
            output: pass(self.output)?,
            ones: self.ones,
        })
    }
}

/// The matrices of a layer that adapters may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

impl Place {
    /// Each with the name that a file has for it, where it has each by itself.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Query, "attn_q"),
        (Self::Key, "attn_k"),
        (Self::Value, "attn_v"),
        (Self::AttentionOutput, "attn_output"),
        (Self::Gate, "ffn_gate"),
        (Self::Up, "ffn_up"),
        (Self::Down, "ffn_down"),
    ];
}

/// What layers of some families have beside.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Added to queries, keys and values.
    pub(super) biases: Option<[Vec<f32>; 3]>,
    /// Of each head of queries and of keys.
    pub(super) head_norms: Option<[Vec<f32>; 2]>,
    /// Of all heads of queries together, and of keys.
    pub(super) row_norms: Option<[Vec<f32>; 2]>,
    /// Of what attention and the feed-forward block give.
    pub(super) block_norms: Option<[Vec<f32>; 2]>,
}

impl Weights<View> {
    pub(super) fn bind(file: &File, shape: &Shape) -> Result<Self, ModelError> {
        let mut binder = Binder { file, used: shape.rope_tensors().iter().map(|&name| name.to_owned()).collect() };
        let (width, inner) = (shape.width, shape.feed_forward);
        let attended = shape.heads * shape.latent.map_or(shape.value, |latent| latent.value);
        let embedding = binder.matrix("token_embd.weight", width, shape.vocabulary)?;
        let mut states = Vec::new();
        if let Some(channels) = shape.channels {
            for index in 0..shape.layers {
                states.push(binder.state_layer(width, channels, index)?);
            }
        }
        // All are of one kind.
        let mut layers = Vec::new();
        for index in states.len()..shape.layers {
            let name = |part: &str| format!("blk.{index}.{part}.weight");
            let attention_norm = binder.input_norm(&name("attn_norm"), shape)?;
            let projections = binder.projections(shape, name)?;
            let [gate, up] = match shape.family.fused {
                true => binder.fused(&name("ffn_up"), width, [inner, inner])?,
                false => [
                    binder.feed_forward(&name("ffn_gate"), width, inner, shape)?,
                    binder.feed_forward(&name("ffn_up"), width, inner, shape)?,
                ],
            };
            layers.push(Layer {
                attention_norm,
                projections,
                attention_output: binder.matrix(&name("attn_output"), attended, width)?,
                feed_forward_norm: binder.input_norm(&name("ffn_norm"), shape)?,
                router: match shape.experts {
                    Some(experts) => Some(binder.matrix(&name("ffn_gate_inp"), width, experts.count)?),
                    None => None,
                },
                gate,
                up,
                down: binder.feed_forward(&name("ffn_down"), inner, width, shape)?,
                own: binder.own(shape, index)?,
                added: Added::default(),
            });
        }
        let norm = binder.vector("output_norm.weight", width)?;
        let output = match file.tensor("output.weight") {
            Some(_) => Some(binder.matrix("output.weight", width, shape.vocabulary)?),
            None => None,
        };
        binder.finish()?;
        Ok(Self { embedding, layers, states, norm, output })
    }

    /// Packs every matrix, one after the other, each by all threads.
    pub(super) fn pack(self, threads: usize) -> Result<Weights<Packed>, ModelError> {
        self.map(|view| view.pack(threads).map_err(ModelError::Memory))
    }
}

impl<M> Weights<M> {
    /// Every matrix once.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &M> {
        let layers = self.layers.iter().flat_map(Layer::matrices);
        let states = self.states.iter().flat_map(StateLayer::matrices);
        std::iter::once(&self.embedding).chain(layers).chain(states).chain(&self.output)
    }

    /// Each matrix as what it becomes, in the order of [`Weights::matrices`].
    pub(super) fn map<N, E>(self, mut pass: impl FnMut(M) -> Result<N, E>) -> Result<Weights<N>, E> {
        let embedding = pass(self.embedding)?;
        let layer = |layer: Layer<M>| -> Result<Layer<N>, E> {
            Ok(Layer {
                attention_norm: layer.attention_norm,
                projections: layer.projections.map(&mut pass)?,
                attention_output: pass(layer.attention_output)?,
                feed_forward_norm: layer.feed_forward_norm,
                gate: pass(layer.gate)?,
                up: pass(layer.up)?,
                down: pass(layer.down)?,
                router: layer.router.map(&mut pass).transpose()?,
                own: layer.own,
                added: layer.added,
            })
        };
        let layers = self.layers.into_iter().map(layer).collect::<Result<_, E>>()?;
        let states = self.states.into_iter().map(|layer| layer.map(&mut pass)).collect::<Result<_, E>>()?;
        Ok(Weights { embedding, layers, states, norm: self.norm, output: self.output.map(pass).transpose()? })
    }
}

impl Weights<Packed> {
    pub(super) fn output(&self) -> &Packed {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl<M> Layer<M> {
    /// The matrix of a place; none where the family has no such place.
    pub(super) fn matrix(&self, place: Place) -> Option<&M> {
        let each = |index: usize| match &self.projections {
            Projections::Each(each) => Some(&each[index]),
            Projections::Latent(_) => None,
        };
        match place {
            Place::Query => each(0),
            Place::Key => each(1),
            Place::Value => each(2),
            Place::AttentionOutput => Some(&self.attention_output),
            Place::Gate => Some(&self.gate),
            Place::Up => Some(&self.up),
            Place::Down => Some(&self.down),
        }
    }

    /// What makes queries, keys and values, where heads share what those are made of.
    pub(super) fn latent(&self) -> Option<&Latent<M>> {
        match &self.projections {
            Projections::Each(_) => None,
            Projections::Latent(latent) => Some(latent),
        }
    }

    fn matrices(&self) -> impl Iterator<Item = &M> {
        let others = [&self.attention_output, &self.gate, &self.up, &self.down];
        self.projections.matrices().chain(others).chain(&self.router)
    }
}

impl Layer<Packed> {
    /// What reads a column for some places: their matrices, and what is added to those.
    pub(super) fn readers(&self, places: &'static [Place]) -> impl Iterator<Item = &Packed> + Clone {
        let of =
            |place: &Place| self.matrix(*place).into_iter().chain(self.added.of(*place).map(|factors| &factors.first));
        places.iter().flat_map(of)
    }
}

pub(crate) struct Binder<'a> {
    pub(crate) file: &'a File,
    pub(crate) used: HashSet<String>,
}

impl Binder<'_> {
    /// The norm of what a block reads, where the family has that.
    fn input_norm(&mut self, name: &str, shape: &Shape) -> Result<Option<Vec<f32>>, ModelError> {
        shape.family.input_norms.then(|| self.vector(name, shape.width)).transpose()
    }

    /// What makes queries, keys and values in a layer.
    fn projections(&mut self, shape: &Shape, name: impl Fn(&str) -> String) -> Result<Projections<View>, ModelError> {
        let width = shape.width;
        let Some(shape::Latent { query, rank, plain, turned, value }) = shape.latent else {
            let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
            return Ok(Projections::Each(match shape.family.fused {
                true => self.fused(&name("attn_qkv"), width, [queries, keys, keys])?,
                false => [
                    self.matrix(&name("attn_q"), width, queries)?,
                    self.matrix(&name("attn_k"), width, keys)?,
                    self.matrix(&name("attn_v"), width, keys)?,
                ],
            }));
        };
        let head = plain + value;
        let both = self.matrix(&name("attn_kv_b"), rank, shape.heads * head)?;
        Ok(Projections::Latent(Latent {
            query: self.matrix(&name("attn_q_a"), width, query)?,
            query_norm: self.vector(&name("attn_q_a_norm"), query)?,
            queries: self.matrix(&name("attn_q_b"), query, shape.heads * (plain + turned))?,
            shared: self.matrix(&name("attn_kv_a_mqa"), width, rank + turned)?,
            shared_norm: self.vector(&name("attn_kv_a_norm"), rank)?,
            keys: both.of_groups_turned(head, 0..plain),
            values: both.of_groups(head, plain..head),
        }))
    }

    /// A layer that keeps a state.
    fn state_layer(&mut self, width: usize, sizes: Channels, index: usize) -> Result<StateLayer<View>, ModelError> {
        let Channels { count, window, state, rank, .. } = sizes;
        let name = |part: &str| format!("blk.{index}.{part}");
        let [channels, gate] = self.fused(&name("ssm_in.weight"), width, [count, count])?;
        let weights = self.matrix(&name("ssm_conv1d.weight"), window, count)?.numbers();
        let window = (0..window).flat_map(|value| weights.iter().skip(value).step_by(window)).copied().collect();
        let decay = self.matrix(&name("ssm_a"), state, count)?.numbers();
        // Number after number of sixteen channels.
        let sixteen = |channels: &[f32]| {
            let lane = |n: usize| std::array::from_fn(|channel| channels[channel * state + n]);
            (0..state).map(lane).collect::<Vec<_>>()
        };
        Ok(StateLayer {
            norm: self.vector(&name("attn_norm.weight"), width)?,
            channels,
            gate,
            window,
            window_bias: self.vector(&name("ssm_conv1d.bias"), count)?,
            read: self.matrix(&name("ssm_x.weight"), count, rank + 2 * state)?,
            steps: self.matrix(&name("ssm_dt.weight"), rank, count)?,
            steps_bias: self.vector(&name("ssm_dt.bias"), count)?,
            decay: decay.chunks_exact(PANEL * state).flat_map(sixteen).collect(),
            passed: self.vector(&name("ssm_d"), count)?,
            output: self.matrix(&name("ssm_out.weight"), count, width)?,
            ones: vec![1.0; rank.max(state)],
        })
    }

    /// What the family calls for in a layer.
    fn own(&mut self, shape: &Shape, index: usize) -> Result<Own, ModelError> {
        let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        let mut vector = |part: &str, len| self.vector(&format!("blk.{index}.{part}"), len);
        let mut own = Own::default();
        if shape.family.biases {
            own.biases =
                Some([vector("attn_q.bias", queries)?, vector("attn_k.bias", keys)?, vector("attn_v.bias", keys)?]);
        }
        let norms = ["attn_q_norm.weight", "attn_k_norm.weight"];
        match shape.family.key_norms {
            KeyNorms::None => {}
            KeyNorms::Heads => {
                own.head_norms = Some([vector(norms[0], shape.head)?, vector(norms[1], shape.head)?]);
            }
            KeyNorms::Rows => own.row_norms = Some([vector(norms[0], queries)?, vector(norms[1], keys)?]),
        }
        if shape.family.block_norms {
            let names = ["post_attention_norm.weight", "post_ffw_norm.weight"];
            own.block_norms = Some([vector(names[0], shape.width)?, vector(names[1], shape.width)?]);
        }
        Ok(own)
    }

    pub(crate) fn matrix(&mut self, name: &str, cols: usize, rows: usize) -> Result<View, ModelError> {
        self.tensor(name, &[cols as u64, rows as u64])
    }

    /// A matrix of the feed-forward block, or those of all experts, one after the other.
    fn feed_forward(&mut self, name: &str, cols: usize, rows: usize, shape: &Shape) -> Result<View, ModelError> {
        match shape.experts {
            None => self.matrix(name, cols, rows),
            Some(experts) => {
                let name = name.replace(".weight", "_exps.weight");
                self.tensor(&name, &[cols as u64, rows as u64, experts.count as u64])
            }
        }
    }

    /// Several that lie one behind the other in one tensor.
    pub(crate) fn fused<const N: usize>(
        &mut self,
        name: &str,
        cols: usize,
        rows: [usize; N],
    ) -> Result<[View; N], ModelError> {
        let whole = self.matrix(name, cols, rows.iter().sum())?;
        let mut first = 0;
        Ok(rows.map(|rows| {
            first += rows;
            whole.rows(first - rows..first)
        }))
    }

    /// A vector, as floats.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.tensor(name, &[len as u64])?.numbers())
    }

    fn tensor(&mut self, name: &str, dims: &[u64]) -> Result<View, ModelError> {
        let view = self.file.tensor(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if view.dims != dims {
            let (expected, found) = (format!("{dims:?}"), format!("{:?}", view.dims));
            return Err(ModelError::WrongTensor { name: name.to_owned(), expected, found });
        }
        let unsupported = || ModelError::unsupported(format!("with weights of type {} (`{name}`)", view.kind));
        self.used.insert(name.to_owned());
        View::new(&view).ok_or_else(unsupported)
    }

    pub(crate) fn finish(self) -> Result<(), ModelError> {
        let unused = |name: &&str| !self.used.contains(*name) && !name.contains(REDUNDANT);
        match self.file.tensors().map(|view| view.name).find(unused) {
            Some(name) => Err(ModelError::unsupported(format!("with the tensor `{}`", name.escape_debug()))),
            None => Ok(()),
        }
    }
}
