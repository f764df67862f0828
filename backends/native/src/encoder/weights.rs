//! Every tensor of a file bound to its place in the graph, with its shape checked. One that the graph would leave out is
//! refused.

use std::collections::HashSet;

use engine::gguf::File;
use kernels::Packed;

use super::shape::Shape;
use crate::{
    model::{ModelError, weights::Binder},
    tensor::View,
};

/// The weights of an encoder: where they lie in a file, or packed.
#[derive(Debug)]
pub(super) struct Weights<M> {
    pub(super) embedding: M,
    /// Added to every token: a text is one part, the first.
    pub(super) part: Vec<f32>,
    /// Added by position, where heads do not turn.
    pub(super) positions: Option<M>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer<M>>,
    pub(super) head: Option<Head<M>>,
}

/// The weights of a layer.
#[derive(Debug)]
pub(super) struct Layer<M> {
    pub(super) query: Linear<M>,
    pub(super) key: Linear<M>,
    pub(super) value: Linear<M>,
    pub(super) attention_output: Linear<M>,
    pub(super) attention_norm: Norm,
    pub(super) gate: Option<Linear<M>>,
    pub(super) up: Linear<M>,
    pub(super) down: Linear<M>,
    pub(super) norm: Norm,
}

/// What makes a number of the row of a text.
#[derive(Debug)]
pub(super) struct Head<M> {
    /// Its result is bent, where there is one.
    pub(super) inner: Option<Linear<M>>,
    pub(super) output: Linear<M>,
}

/// A matrix, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear<M> {
    pub(super) matrix: M,
    pub(super) bias: Option<Vec<f32>>,
}

/// What a layer norm multiplies by and adds.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Weights<View> {
    pub(super) fn bind(file: &File, shape: &Shape) -> Result<Self, ModelError> {
        let mut binder = Binder { file, used: HashSet::new() };
        let (width, inner) = (shape.width, shape.feed_forward);
        let embedding = binder.matrix("token_embd.weight", width, shape.vocabulary)?;
        let positions = match shape.rope {
            Some(_) => None,
            None => Some(binder.matrix("position_embd.weight", width, shape.context)?),
        };
        let mut layers = Vec::new();
        for index in 0..shape.layers {
            let name = |part: &str| format!("blk.{index}.{part}");
            let [query, key, value] = attention(&mut binder, index, width)?;
            // Other engines leave the biases of gated blocks out; so here they are refused, as tensors without a place.
            let mut block = |part: &str, cols, rows| match shape.gated {
                true => bare(&mut binder, &name(part), cols, rows),
                false => linear(&mut binder, &name(part), cols, rows),
            };
            let gate = if shape.gated { Some(block("ffn_gate", width, inner)?) } else { None };
            let (up, down) = (block("ffn_up", width, inner)?, block("ffn_down", inner, width)?);
            layers.push(Layer {
                query,
                key,
                value,
                attention_output: linear(&mut binder, &name("attn_output"), width, width)?,
                attention_norm: norm(&mut binder, &name("attn_output_norm"), width)?,
                gate,
                up,
                down,
                norm: norm(&mut binder, &name("layer_output_norm"), width)?,
            });
        }
        let weights = Self {
            embedding,
            part: part(&mut binder, width)?,
            positions,
            norm: norm(&mut binder, "token_embd_norm", width)?,
            layers,
            head: if shape.scores { Some(head(&mut binder, width)?) } else { None },
        };
        binder.finish()?;
        Ok(weights)
    }

    /// Packs every matrix, one after the other, each by all threads.
    pub(super) fn pack(self, threads: usize) -> Result<Weights<Packed>, ModelError> {
        let pack = |view: View| view.pack(threads).map_err(ModelError::Memory);
        let linear =
            |linear: Linear<View>| Ok::<_, ModelError>(Linear { matrix: pack(linear.matrix)?, bias: linear.bias });
        let layer = |layer: Layer<View>| {
            Ok(Layer {
                query: linear(layer.query)?,
                key: linear(layer.key)?,
                value: linear(layer.value)?,
                attention_output: linear(layer.attention_output)?,
                attention_norm: layer.attention_norm,
                gate: layer.gate.map(linear).transpose()?,
                up: linear(layer.up)?,
                down: linear(layer.down)?,
                norm: layer.norm,
            })
        };
        let head = |head: Head<View>| {
            Ok::<_, ModelError>(Head { inner: head.inner.map(linear).transpose()?, output: linear(head.output)? })
        };
        Ok(Weights {
            embedding: pack(self.embedding)?,
            part: self.part,
            positions: self.positions.map(pack).transpose()?,
            norm: self.norm,
            layers: self.layers.into_iter().map(layer).collect::<Result<_, ModelError>>()?,
            head: self.head.map(head).transpose()?,
        })
    }
}

impl<M> Weights<M> {
    /// Every matrix once.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &M> {
        let head = self.head.iter().flat_map(|head| head.inner.iter().chain([&head.output]));
        let linears = self.layers.iter().flat_map(Layer::linears).chain(head).map(|linear| &linear.matrix);
        std::iter::once(&self.embedding).chain(&self.positions).chain(linears)
    }
}

impl<M> Layer<M> {
    fn linears(&self) -> impl Iterator<Item = &Linear<M>> {
        let attention = [&self.query, &self.key, &self.value, &self.attention_output];
        attention.into_iter().chain(&self.gate).chain([&self.up, &self.down])
    }
}

/// Queries, keys and values: three matrices, or one with all of them.
fn attention(binder: &mut Binder<'_>, layer: usize, width: usize) -> Result<[Linear<View>; 3], ModelError> {
    let whole = format!("blk.{layer}.attn_qkv");
    if binder.file.tensor(&format!("{whole}.weight")).is_none() {
        let mut one = |part| linear(binder, &format!("blk.{layer}.attn_{part}"), width, width);
        return Ok([one("q")?, one("k")?, one("v")?]);
    }
    let matrices = binder.fused(&format!("{whole}.weight"), width, [width; 3])?;
    let bias = bias(binder, &whole, 3 * width)?;
    let mut parts = 0..3;
    Ok(matrices.map(|matrix| {
        let part = parts.next().unwrap_or(0);
        Linear { matrix, bias: bias.as_ref().map(|bias| bias[part * width..][..width].to_vec()) }
    }))
}

/// The first row of those that say which part of a pair a text is, where the model was made for pairs.
fn part(binder: &mut Binder<'_>, width: usize) -> Result<Vec<f32>, ModelError> {
    const NAME: &str = "token_types.weight";
    let Some(view) = binder.file.tensor(NAME) else { return Ok(vec![0.0; width]) };
    let rows = match *view.dims {
        [_, rows] => usize::try_from(rows).unwrap_or(usize::MAX),
        _ => 1, // binding the tensor refuses the shape
    };
    Ok(binder.matrix(NAME, width, rows)?.rows(0..1).numbers())
}

fn head(binder: &mut Binder<'_>, width: usize) -> Result<Head<View>, ModelError> {
    let inner = binder.file.tensor("cls.weight").map(|_| linear(binder, "cls", width, width));
    Ok(Head { inner: inner.transpose()?, output: linear(binder, "cls.output", width, 1)? })
}

fn norm(binder: &mut Binder<'_>, name: &str, width: usize) -> Result<Norm, ModelError> {
    Ok(Norm {
        weight: binder.vector(&format!("{name}.weight"), width)?,
        bias: binder.vector(&format!("{name}.bias"), width)?,
    })
}

/// A matrix, with a bias if the file has one.
fn linear(binder: &mut Binder<'_>, name: &str, cols: usize, rows: usize) -> Result<Linear<View>, ModelError> {
    Ok(Linear { bias: bias(binder, name, rows)?, ..bare(binder, name, cols, rows)? })
}

fn bare(binder: &mut Binder<'_>, name: &str, cols: usize, rows: usize) -> Result<Linear<View>, ModelError> {
    Ok(Linear { matrix: binder.matrix(&format!("{name}.weight"), cols, rows)?, bias: None })
}

fn bias(binder: &mut Binder<'_>, name: &str, len: usize) -> Result<Option<Vec<f32>>, ModelError> {
    let name = format!("{name}.bias");
    binder.file.tensor(&name).map(|_| binder.vector(&name, len)).transpose()
}
