//! How much memory a model takes while it serves, and what fits into a given one.
//!
//! Need = weights + cache + overhead, all in bytes, for one sequence; more sequences at once share the cache, so count
//! the tokens of all of them as the context.
//!
//! - **Weights**: parameters x bits per weight / 8; where a quantization has a range of bits, its upper end.
//! - **Cache**, at 16 bits a value. Attention: 2 (keys and values) x layers x KV heads x head dimension, for each
//!   token, and in layers with a window for no more tokens than it has (Kwon et al. 2023, section 3). Latent
//!   attention: layers x (rank + rotary part) for each token (DeepSeek-V2, section 2.1). Mamba: one state a layer at 32
//!   bits, whatever the context.
//! - **Overhead**: activations, workspace and fragments, which differ by engine. vLLM leaves a tenth of a GPU free
//!   unless told otherwise (`gpu_memory_utilization` 0.9); so weights and cache may fill nine tenths here too.
//!
//! A model whose shape is not known gets an upper bound for its cache ([`ShapeSource::Bound`]), never zero. The bound
//! is no theorem: it is a little more than the hungriest known model of the same size needs.
//!
//! Does not know: tensors split over several GPUs, engines that keep windowed layers in full, caches below 16 bits.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::{Model, Quantization, builtin};

/// Bytes of a cached key or value.
const CACHED_VALUE: u64 = 2;

/// Bytes of a value of a recurrent state, which engines keep in full precision.
const STATE_VALUE: u64 = 4;

/// Weights and cache may take 9 of 10 parts of the memory.
const USABLE: (u64, u64) = (9, 10);

/// Cached values a token, for keys alone, of a model with 1e9 parameters of which no shape is known; it grows with the
/// parameters to the power of 2/3. Pythia 410M, the hungriest of the known shapes, comes to 44,500.
const BOUND: f64 = 45_000.0;

/// What a served model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The weights.
    pub weights_bytes: u64,
    /// Keys and values, or the state, of one sequence.
    pub cache_bytes: u64,
    /// What the cache was worked out from.
    pub cache_from: ShapeSource,
    /// What an engine wants beside.
    pub overhead_bytes: u64,
    /// All three.
    pub total_bytes: u64,
}

/// Where the shape of a model is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeSource {
    /// Its published configuration.
    Config,
    /// General use; the parameters counted from it give the published number.
    Count,
    /// The model it was made from.
    Base,
    /// It is not known: the figure is an upper bound.
    #[serde(skip_deserializing)]
    Bound,
}

/// Whether a need goes into a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// It does.
    Fits,
    /// It does not.
    TooLarge,
    /// The weights do; of the cache only a bound is known, and that does not.
    Unknown,
}

impl Need {
    fn new(weights_bytes: u64, cache_bytes: u64, cache_from: ShapeSource) -> Need {
        let total_bytes = with_overhead(weights_bytes.saturating_add(cache_bytes));
        let overhead_bytes = total_bytes.saturating_sub(weights_bytes).saturating_sub(cache_bytes);
        Need { weights_bytes, cache_bytes, cache_from, overhead_bytes, total_bytes }
    }

    /// Whether a memory of `memory_bytes` holds it.
    pub fn fit(&self, memory_bytes: u64) -> Fit {
        if self.total_bytes <= memory_bytes {
            Fit::Fits
        } else if self.cache_from == ShapeSource::Bound && with_overhead(self.weights_bytes) <= memory_bytes {
            Fit::Unknown
        } else {
            Fit::TooLarge
        }
    }
}

fn with_overhead(bytes: u64) -> u64 {
    let total = (u128::from(bytes) * u128::from(USABLE.1)).div_ceil(u128::from(USABLE.0));
    u64::try_from(total).unwrap_or(u64::MAX)
}

/// What `model` takes with its weights in `quantization` and `context_tokens` in the cache. `None` where the number of
/// parameters or the bits per weight are not known.
pub fn need(model: &Model, quantization: &Quantization, context_tokens: u64) -> Option<Need> {
    let shape = shape(&model.id);
    let parameters = parameters(model, shape)?;
    let [_, bits] = quantization.bits_per_weight?;
    let weights = parameters * bits / 8.0;
    // Casts from floats saturate, and a row of a company may say anything.
    let weights_bytes = (weights.is_finite() && weights > 0.0).then_some(weights.round() as u64)?;
    let (cache_bytes, source) = match shape {
        Some(shape) => (shape.cache_bytes(context_tokens), shape.source),
        None => (bound(parameters, context_tokens), ShapeSource::Bound),
    };
    Some(Need::new(weights_bytes, cache_bytes, source))
}

/// The most tokens of context, up to `most`, with which `model` fits into `memory_bytes` for certain. `None` where that
/// is not known, or not even an empty cache fits.
pub fn longest_context(model: &Model, quantization: &Quantization, memory_bytes: u64, most: u64) -> Option<u64> {
    let fits = |tokens| Some(need(model, quantization, tokens)?.fit(memory_bytes) == Fit::Fits);
    if !fits(0)? {
        return None;
    }
    // The need never falls when the context grows. `low` fits; what is above `high` does not, or is not asked for.
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

/// The first of `quantizations` with which `model` fits into `memory_bytes` for certain.
pub fn first_that_fits<'a>(
    model: &Model,
    quantizations: impl IntoIterator<Item = &'a Quantization>,
    context_tokens: u64,
    memory_bytes: u64,
) -> Option<(&'a Quantization, Need)> {
    quantizations.into_iter().find_map(|quantization| {
        let need = need(model, quantization, context_tokens)?;
        (need.fit(memory_bytes) == Fit::Fits).then_some((quantization, need))
    })
}

/// The parameters of a model; where its shape was counted, that figure: names round, by up to a third.
fn parameters(model: &Model, shape: Option<&Shape>) -> Option<f64> {
    let billions = shape.and_then(|shape| shape.parameters_b).or(model.parameters_b)?;
    (billions.is_finite() && billions > 0.0).then_some(billions * 1e9)
}

/// The cache of a model of unknown shape, from above.
fn bound(parameters: f64, context_tokens: u64) -> u64 {
    let values = 2.0 * BOUND * (parameters / 1e9).powf(2.0 / 3.0);
    ((values * CACHED_VALUE as f64).ceil() as u64).saturating_mul(context_tokens)
}

/// A file of shapes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    shapes: Vec<Shape>,
}

/// What the cache of some models is worked out from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    models: Vec<String>,
    #[serde(default)]
    parameters_b: Option<f64>,
    #[serde(default)]
    attention: Vec<Attention>,
    #[serde(default)]
    latent: Option<Latent>,
    #[serde(default)]
    state: Option<State>,
    source: ShapeSource,
}

/// Layers that keep keys and values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attention {
    layers: u64,
    kv_heads: u64,
    head_dim: u64,
    #[serde(default)]
    window: Option<u64>,
}

/// Layers that keep a latent vector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latent {
    layers: u64,
    rank: u64,
    rope: u64,
}

/// Layers that keep a state.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    layers: u64,
    values: u64,
}

impl Shape {
    fn cache_bytes(&self, context_tokens: u64) -> u64 {
        let attention = self.attention.iter().map(|group| {
            let tokens = group.window.map_or(context_tokens, |window| window.min(context_tokens));
            (2 * group.layers * group.kv_heads * group.head_dim * CACHED_VALUE).saturating_mul(tokens)
        });
        let latent = self
            .latent
            .iter()
            .map(|latent| (latent.layers * (latent.rank + latent.rope) * CACHED_VALUE).saturating_mul(context_tokens));
        let state = self.state.iter().map(|state| state.layers * state.values * STATE_VALUE);
        attention.chain(latent).chain(state).fold(0, u64::saturating_add)
    }
}

/// The shape of the built-in model with this id. A company's own models have none: their ids are never those of ours.
fn shape(id: &str) -> Option<&'static Shape> {
    static SHAPES: OnceLock<HashMap<String, Shape>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(|| {
        let file: Shapes = builtin::read(builtin::SHAPES);
        file.shapes
            .into_iter()
            .flat_map(|shape| shape.models.clone().into_iter().map(move |id| (id, shape.clone())))
            .collect()
    });
    shapes.get(id)
}

#[cfg(test)]
mod tests;
