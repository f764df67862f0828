//! Every tensor of a file bound to its place in the graph, with its shape checked.
//!
//! A tensor that the graph would leave out is refused: leaving it out would change what the model says, silently.

use std::collections::HashSet;

use kernels::Activation;

use engine::gguf::File;

use crate::tensor::Tensor;

use super::{ModelError, Shape};

/// Tensors that old converters wrote and that hold nothing but what metadata says.
const REDUNDANT: &str = ".attn_rot_embd";

/// The weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embedding: Tensor,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    /// The embedding again, where a file has no output matrix of its own.
    pub(super) output: Tensor,
    tied: bool,
}

/// The weights of a decoder layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) query: Tensor,
    pub(super) key: Tensor,
    pub(super) value: Tensor,
    pub(super) attention_output: Tensor,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
    pub(super) down: Tensor,
}

impl Weights {
    pub(super) fn bind(file: &File, shape: &Shape) -> Result<Self, ModelError> {
        let mut binder = Binder { file, used: HashSet::from(["rope_freqs.weight".to_owned()]) };
        let (width, inner) = (shape.width, shape.feed_forward);
        let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        let embedding = binder.matrix("token_embd.weight", width, shape.vocabulary)?;
        let mut layers = Vec::new();
        for index in 0..shape.layers {
            let name = |part: &str| format!("blk.{index}.{part}.weight");
            layers.push(Layer {
                attention_norm: binder.vector(&name("attn_norm"), width)?,
                query: binder.matrix(&name("attn_q"), width, queries)?,
                key: binder.matrix(&name("attn_k"), width, keys)?,
                value: binder.matrix(&name("attn_v"), width, keys)?,
                attention_output: binder.matrix(&name("attn_output"), queries, width)?,
                feed_forward_norm: binder.vector(&name("ffn_norm"), width)?,
                gate: binder.matrix(&name("ffn_gate"), width, inner)?,
                up: binder.matrix(&name("ffn_up"), width, inner)?,
                down: binder.matrix(&name("ffn_down"), inner, width)?,
            });
        }
        let norm = binder.vector("output_norm.weight", width)?;
        let tied = file.tensor("output.weight").is_none();
        let output = match tied {
            true => embedding.clone(),
            false => binder.matrix("output.weight", width, shape.vocabulary)?,
        };
        binder.finish()?;
        Ok(Self { embedding, layers, norm, output, tied })
    }

    /// Every matrix once.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        let layers = self.layers.iter().flat_map(Layer::matrices);
        let output = (!self.tied).then_some(&self.output);
        std::iter::once(&self.embedding).chain(layers).chain(output)
    }
}

impl Layer {
    fn matrices(&self) -> [&Tensor; 7] {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.gate, &self.up, &self.down]
    }
}

/// The forms of activations that a group of matrices asks for.
pub(super) fn activations<const N: usize>(tensors: [&Tensor; N]) -> [Activation; N] {
    tensors.map(|tensor| tensor.format().activation())
}

struct Binder<'a> {
    file: &'a File,
    used: HashSet<String>,
}

impl Binder<'_> {
    fn matrix(&mut self, name: &str, cols: usize, rows: usize) -> Result<Tensor, ModelError> {
        self.tensor(name, &[cols as u64, rows as u64])
    }

    /// A vector, as floats.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensor(name, &[len as u64])?;
        let mut values = vec![0.0; len];
        tensor.row(0, &mut values);
        Ok(values)
    }

    fn tensor(&mut self, name: &str, dims: &[u64]) -> Result<Tensor, ModelError> {
        let view = self.file.tensor(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if view.dims != dims {
            let (expected, found) = (format!("{dims:?}"), format!("{:?}", view.dims));
            return Err(ModelError::WrongTensor { name: name.to_owned(), expected, found });
        }
        let unsupported = || ModelError::unsupported(format!("with weights of type {} (`{name}`)", view.kind));
        self.used.insert(name.to_owned());
        Tensor::new(&view).ok_or_else(unsupported)
    }

    fn finish(self) -> Result<(), ModelError> {
        let unused = |name: &&str| !self.used.contains(*name) && !name.contains(REDUNDANT);
        match self.file.tensors().map(|view| view.name).find(unused) {
            Some(name) => Err(ModelError::unsupported(format!("with the tensor `{}`", name.escape_debug()))),
            None => Ok(()),
        }
    }
}
