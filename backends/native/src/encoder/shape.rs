//! The sizes and constants of an encoder, read from metadata and bounded, and what those of the families differ in.

use engine::{Purpose, encoder::Pooling, gguf::File};

use crate::model::{
    ModelError,
    keys::Keys,
    rope::{Rope, Scaling},
};

/// Far above any real model, and low enough that no product of two or three overflows.
const MAX_LAYERS: u64 = 1_024;
const MAX_WIDTH: u64 = 1 << 17;
const MAX_FEED_FORWARD: u64 = 1 << 20;
const MAX_CONTEXT: u64 = 1 << 20;

/// What the encoders of the families differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Whether heads turn with their position. Where they do not, each position has a row that is added to its token's.
    turns: bool,
    /// Whether what the feed-forward block passes on goes through a gate (SwiGLU), and not through a bend (GELU).
    gated: bool,
}

/// Every family that is computed, with its name.
pub(super) const FAMILIES: [(&str, Family); 2] =
    [("bert", Family { turns: false, gated: false }), ("nomic-bert", Family { turns: true, gated: true })];

/// Sizes and constants of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Numbers of a head.
    pub(super) head: usize,
    pub(super) feed_forward: usize,
    pub(super) vocabulary: usize,
    /// The longest text that it was made for.
    pub(super) context: usize,
    /// Added to the mean of squares in each norm.
    pub(super) eps: f32,
    pub(super) gated: bool,
    /// How heads turn, where they do.
    pub(super) rope: Option<Rope>,
    pub(super) pooling: Pooling,
    /// Whether a row becomes one number.
    pub(super) scores: bool,
}

impl Shape {
    pub(super) fn read(file: &File, purpose: Purpose) -> Result<Self, ModelError> {
        let architecture: &str = file.require("general.architecture")?;
        let family = FAMILIES.iter().find(|(name, _)| *name == architecture).map(|(_, family)| family);
        let unknown = || ModelError::unsupported(format!("the architecture `{}`", architecture.escape_debug()));
        let family = family.ok_or_else(unknown)?;
        let keys = Keys { file, architecture };
        let width = keys.bounded("embedding_length", MAX_WIDTH)?;
        let heads = keys.bounded("attention.head_count", width as u64)?;
        let head = head(&keys, width, heads)?;
        let context = keys.bounded("context_length", MAX_CONTEXT)?;
        let embedding = file.tensor("token_embd.weight");
        let embedding = embedding.ok_or_else(|| ModelError::MissingTensor { name: "token_embd.weight".into() })?;
        const EPS: &str = "attention.layer_norm_epsilon";
        let eps: f32 = file.require(&keys.name(EPS))?;
        if !(0.0..=1.0).contains(&eps) {
            return Err(keys.wrong(EPS, "a number from 0 to 1", eps));
        }
        // Where a file says nothing of it other engines look back only, as models that write do.
        const CAUSAL: &str = "attention.causal";
        if keys.get::<bool>(CAUSAL)? != Some(false) {
            let key = keys.name(CAUSAL);
            return Err(ModelError::unsupported(format!("an encoder that looks back only (`{key}` is not false)")));
        }
        Ok(Self {
            layers: keys.bounded("block_count", MAX_LAYERS)?,
            width,
            heads,
            head,
            feed_forward: keys.bounded("feed_forward_length", MAX_FEED_FORWARD)?,
            vocabulary: match *embedding.dims {
                [_, rows] => usize::try_from(rows).unwrap_or(usize::MAX),
                _ => 0, // binding the tensor refuses the shape
            },
            context,
            eps,
            gated: family.gated,
            rope: family.turns.then(|| Scaling::read(&keys, head, context)).transpose()?.map(|scaling| scaling.rope()),
            pooling: if purpose == Purpose::Scores { Pooling::First } else { Pooling::of(file, architecture)? },
            scores: purpose == Purpose::Scores,
        })
    }

    /// What the products of queries and keys are multiplied by.
    pub(super) fn score_scale(&self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }
}

/// Numbers of a head, which is its share of the width.
fn head(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize, ModelError> {
    if !width.is_multiple_of(heads) {
        return Err(keys.wrong("attention.head_count", format!("a divisor of the width {width}"), heads));
    }
    let head = width / heads;
    for (key, one) in
        [("attention.head_count_kv", heads), ("attention.key_length", head), ("attention.value_length", head)]
    {
        if keys.bounded_or(key, MAX_WIDTH, one)? != one {
            let key = keys.name(key);
            return Err(ModelError::unsupported(format!("an encoder with another `{key}` than {one}")));
        }
    }
    for key in ["attention.clamp_kqv", "attention.max_alibi_bias"] {
        if keys.positive(key)?.is_some() {
            return Err(ModelError::unsupported(format!("an encoder with `{}`", keys.name(key))));
        }
    }
    Ok(head)
}
