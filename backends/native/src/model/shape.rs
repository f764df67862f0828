//! The sizes and constants of a llama model, read from metadata and bounded.
//!
//! Metadata is untrusted: every number is checked against a limit far above any real model before it is multiplied
//! with another, and what this graph does not compute is refused by name.

use engine::gguf::{Error, File, Value};

use super::ModelError;

/// Far above any real model, and low enough that no product of two or three overflows.
const MAX_LAYERS: u64 = 1_024;
const MAX_WIDTH: u64 = 1 << 17;
const MAX_FEED_FORWARD: u64 = 1 << 20;
const MAX_CONTEXT: u64 = 1 << 24;

/// Sizes and constants of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shape {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head: usize,
    /// Width inside the feed-forward block.
    pub feed_forward: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Longest sequence that the model was made for.
    pub context: usize,
    /// Added to the mean of squares in each norm.
    pub eps: f32,
    /// How far each pair of a head turns from one position to the next.
    pub(crate) frequencies: Vec<f64>,
}

impl Shape {
    /// Reads the shape of a file of architecture `llama`.
    pub(super) fn read(file: &File) -> Result<Self, ModelError> {
        let architecture: &str = file.require("general.architecture")?;
        if architecture != "llama" {
            return Err(ModelError::unsupported(format!("the architecture `{}`", architecture.escape_debug())));
        }
        if file.get::<u64>("llama.expert_count")?.is_some_and(|experts| experts > 0) {
            return Err(ModelError::unsupported("mixtures of experts (`llama.expert_count`)"));
        }
        let layers = bounded(file, "llama.block_count", MAX_LAYERS)?;
        let width = bounded(file, "llama.embedding_length", MAX_WIDTH)?;
        let feed_forward = bounded(file, "llama.feed_forward_length", MAX_FEED_FORWARD)?;
        let context = bounded(file, "llama.context_length", MAX_CONTEXT)?;
        let heads = bounded(file, "llama.attention.head_count", width as u64)?;
        let kv_heads = match file.metadata("llama.attention.head_count_kv") {
            Some(_) => bounded(file, "llama.attention.head_count_kv", heads as u64)?,
            None => heads,
        };
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(wrong("llama.attention.head_count_kv", expected, kv_heads));
        }
        let head = head_length(file, width, heads)?;
        let embedding = file.tensor("token_embd.weight");
        let embedding = embedding.ok_or_else(|| ModelError::MissingTensor { name: "token_embd.weight".into() })?;
        let vocabulary = match *embedding.dims {
            [_, rows] => usize::try_from(rows).unwrap_or(usize::MAX),
            _ => 0, // binding the tensor refuses the shape
        };
        let eps: f32 = file.require("llama.attention.layer_norm_rms_epsilon")?;
        if !(0.0..=1.0).contains(&eps) {
            return Err(wrong("llama.attention.layer_norm_rms_epsilon", "a number from 0 to 1", eps));
        }
        let frequencies = frequencies(file, head)?;
        Ok(Self { layers, width, heads, kv_heads, head, feed_forward, vocabulary, context, eps, frequencies })
    }

    /// Query heads that share a key and value head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

fn head_length(file: &File, width: usize, heads: usize) -> Result<usize, ModelError> {
    const KEY: &str = "llama.attention.key_length";
    const VALUE: &str = "llama.attention.value_length";
    let head = match file.metadata(KEY) {
        Some(_) => bounded(file, KEY, width as u64)?,
        None if width.is_multiple_of(heads) => width / heads,
        None => return Err(wrong("llama.attention.head_count", format!("a divisor of the width {width}"), heads)),
    };
    match file.get::<u64>(VALUE)? {
        Some(values) if values != head as u64 => {
            Err(ModelError::unsupported(format!("values of {values} beside keys of {head} (`{VALUE}`)")))
        }
        _ => Ok(head),
    }
}

/// The angle of each pair for a step of one position.
fn frequencies(file: &File, head: usize) -> Result<Vec<f64>, ModelError> {
    const COUNT: &str = "llama.rope.dimension_count";
    const BASE: &str = "llama.rope.freq_base";
    let turned = match file.metadata(COUNT) {
        Some(_) => bounded(file, COUNT, head as u64)?,
        None => head,
    };
    if !turned.is_multiple_of(2) {
        return Err(wrong(COUNT, "an even number", turned));
    }
    let base = file.get::<f32>(BASE)?.map_or(10_000.0, f64::from);
    if !(base.is_finite() && base >= 1.0) {
        return Err(wrong(BASE, "a number of at least 1", base));
    }
    let factor = linear_factor(file)?;
    let own = own_factors(file, turned / 2)?;
    let angle = |pair: usize| base.powf(-2.0 * pair as f64 / turned as f64) / factor / own.get(pair).unwrap_or(&1.0);
    Ok((0..turned / 2).map(angle).collect())
}

/// The factor by which positions are squeezed.
fn linear_factor(file: &File) -> Result<f64, ModelError> {
    const TYPE: &str = "llama.rope.scaling.type";
    const FACTOR: &str = "llama.rope.scaling.factor";
    const OLD: &str = "llama.rope.scale_linear";
    let key = match file.get::<&str>(TYPE)? {
        Some("linear") => FACTOR,
        Some("none") => return Ok(1.0),
        Some(other) => {
            return Err(ModelError::unsupported(format!("rope scaling `{}` (`{TYPE}`)", other.escape_debug())));
        }
        None if file.metadata(FACTOR).is_some() => FACTOR,
        None => OLD,
    };
    let factor = file.get::<f32>(key)?.map_or(1.0, f64::from);
    // Files that do not scale may say zero.
    match factor {
        0.0 => Ok(1.0),
        factor if factor.is_finite() && factor >= 1.0 => Ok(factor),
        _ => Err(wrong(key, "a number of at least 1", factor)),
    }
}

/// The divisor that Llama 3.1 and later give for each pair, in a tensor; empty where there is none.
fn own_factors(file: &File, pairs: usize) -> Result<Vec<f64>, ModelError> {
    const NAME: &str = "rope_freqs.weight";
    let Some(view) = file.tensor(NAME) else { return Ok(Vec::new()) };
    let mismatch = |found: String| ModelError::WrongTensor {
        name: NAME.into(),
        expected: format!("F32 [{pairs}], each a positive number"),
        found,
    };
    if view.kind != engine::gguf::TensorType::F32 || *view.dims != [pairs as u64] {
        return Err(mismatch(format!("{} {:?}", view.kind, view.dims)));
    }
    let factors: Vec<f64> =
        view.data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect();
    match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        Some(factor) => Err(mismatch(factor.to_string())),
        None => Ok(factors),
    }
}

/// A whole number from 1 to `limit`.
fn bounded(file: &File, key: &'static str, limit: u64) -> Result<usize, ModelError> {
    if let Some(Value::Array(_)) = file.metadata(key) {
        return Err(ModelError::unsupported(format!("a `{key}` that differs from layer to layer")));
    }
    let value: u64 = file.require(key)?;
    match usize::try_from(value) {
        Ok(size) if (1..=limit).contains(&value) => Ok(size),
        _ => Err(wrong(key, format!("a whole number from 1 to {limit}"), value)),
    }
}

fn wrong(key: &str, expected: impl Into<String>, found: impl ToString) -> ModelError {
    Error::WrongValue { key: key.to_owned(), expected: expected.into(), found: found.to_string() }.into()
}
