//! The sizes and constants of a model, read from metadata and bounded.
//!
//! Metadata is untrusted: every number is checked against a limit far above any real model before it is multiplied
//! with another, and what this graph does not compute is refused by name.

use engine::gguf::{Error, File, FromValue, Value};

use super::{ModelError, family::Family};

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
    /// What its decoder differs in from others.
    pub(crate) family: Family,
    /// How far each pair of a head turns from one position to the next.
    pub(crate) frequencies: Vec<f64>,
    /// The layers that look back no further than a window, if there are any.
    pub(crate) windows: Option<Windows>,
    /// What embeddings are multiplied by.
    pub(crate) embedding_scale: f32,
    /// What a block gives is multiplied by this before it is added to the stream.
    pub(crate) block_scale: f32,
    /// What the products of queries and keys are multiplied by.
    pub(crate) score_scale: f32,
    /// What logits are multiplied by.
    pub(crate) logit_scale: f32,
    /// What scores are bent towards, between this and its negative.
    pub(crate) score_cap: Option<f32>,
    /// The same of logits.
    pub(crate) logit_cap: Option<f32>,
}

/// The layers that look back no further than a window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Windows {
    /// All but the last of so many in a row.
    pub(crate) every: usize,
    /// Positions, a token's own included.
    pub(crate) positions: usize,
    /// As [`Shape::frequencies`].
    pub(crate) frequencies: Vec<f64>,
}

impl Shape {
    /// Reads the shape of a file, whose architecture must be one of [`super::architectures`].
    pub(super) fn read(file: &File) -> Result<Self, ModelError> {
        let architecture: &str = file.require("general.architecture")?;
        let unknown = || ModelError::unsupported(format!("the architecture `{}`", architecture.escape_debug()));
        let family = Family::of(architecture).ok_or_else(unknown)?;
        let keys = Keys { file, architecture };
        if keys.get::<u64>("expert_count")?.is_some_and(|experts| experts > 0) {
            let key = keys.name("expert_count");
            return Err(ModelError::unsupported(format!("mixtures of experts (`{key}`)")));
        }
        let layers = keys.bounded("block_count", MAX_LAYERS)?;
        let width = keys.bounded("embedding_length", MAX_WIDTH)?;
        let feed_forward = keys.bounded("feed_forward_length", MAX_FEED_FORWARD)?;
        let context = keys.bounded("context_length", MAX_CONTEXT)?;
        let heads = keys.bounded("attention.head_count", width as u64)?;
        let kv_heads = keys.bounded_or("attention.head_count_kv", heads as u64, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(keys.wrong("attention.head_count_kv", expected, kv_heads));
        }
        let head = head_length(&keys, width, heads)?;
        let embedding = file.tensor("token_embd.weight");
        let embedding = embedding.ok_or_else(|| ModelError::MissingTensor { name: "token_embd.weight".into() })?;
        let vocabulary = match *embedding.dims {
            [_, rows] => usize::try_from(rows).unwrap_or(usize::MAX),
            _ => 0, // binding the tensor refuses the shape
        };
        let eps: f32 = file.require(&keys.name("attention.layer_norm_rms_epsilon"))?;
        if !(0.0..=1.0).contains(&eps) {
            return Err(keys.wrong("attention.layer_norm_rms_epsilon", "a number from 0 to 1", eps));
        }
        let turned = turned(&keys, head)?;
        let base = keys.base("rope.freq_base")?.unwrap_or(10_000.0);
        let (factor, own) = (linear_factor(&keys)?, own_factors(file, turned / 2)?);
        let windows = windows(&keys, family, turned, base, factor)?;
        let divisor = if family.by_width == Some(layers) { width / heads } else { head };
        let scales = if family.says_scales { scales(&keys)? } else { [None; 4] };
        let embedding_scale = if family.scaled_embedding { (width as f32).sqrt() } else { 1.0 };
        Ok(Self {
            layers,
            width,
            heads,
            kv_heads,
            head,
            feed_forward,
            vocabulary,
            context,
            eps,
            family,
            frequencies: frequencies(turned, base, factor, &own),
            windows,
            embedding_scale: scales[0].unwrap_or(embedding_scale),
            block_scale: scales[1].unwrap_or(1.0),
            score_scale: scales[2].unwrap_or(1.0 / (divisor as f32).sqrt()),
            logit_scale: scales[3].map_or(1.0, |divisor| 1.0 / divisor),
            score_cap: keys.positive("attn_logit_softcapping")?,
            logit_cap: keys.positive("final_logit_softcapping")?,
        })
    }

    /// How many positions a layer looks back, a token's own included, where not to the first.
    pub(crate) fn window(&self, layer: usize) -> Option<&Windows> {
        self.windows.as_ref().filter(|windows| layer % windows.every != windows.every - 1)
    }

    /// Query heads that share a key and value head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

fn head_length(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize, ModelError> {
    const KEY: &str = "attention.key_length";
    const VALUE: &str = "attention.value_length";
    let head = match keys.has(KEY) {
        true => keys.bounded(KEY, width as u64)?,
        false if width.is_multiple_of(heads) => width / heads,
        false => return Err(keys.wrong("attention.head_count", format!("a divisor of the width {width}"), heads)),
    };
    match keys.get::<u64>(VALUE)? {
        Some(values) if values != head as u64 => {
            let key = keys.name(VALUE);
            Err(ModelError::unsupported(format!("values of {values} beside keys of {head} (`{key}`)")))
        }
        _ => Ok(head),
    }
}

/// How many numbers of a head turn.
fn turned(keys: &Keys<'_>, head: usize) -> Result<usize, ModelError> {
    const COUNT: &str = "rope.dimension_count";
    let turned = keys.bounded_or(COUNT, head as u64, head)?;
    match turned.is_multiple_of(2) {
        true => Ok(turned),
        false => Err(keys.wrong(COUNT, "an even number", turned)),
    }
}

/// The angle of each pair for a step of one position.
fn frequencies(turned: usize, base: f64, factor: f64, own: &[f64]) -> Vec<f64> {
    let angle = |pair: usize| base.powf(-2.0 * pair as f64 / turned as f64) / factor / own.get(pair).unwrap_or(&1.0);
    (0..turned / 2).map(angle).collect()
}

fn windows(
    keys: &Keys<'_>,
    family: Family,
    turned: usize,
    base: f64,
    factor: f64,
) -> Result<Option<Windows>, ModelError> {
    const POSITIONS: &str = "attention.sliding_window";
    let Some(windows) = family.windows else { return Ok(None) };
    let positions = match keys.get::<u64>(POSITIONS)? {
        Some(0) => None,
        Some(_) => Some(keys.bounded(POSITIONS, MAX_CONTEXT)?),
        None => windows.positions,
    };
    let Some(positions) = positions else { return Ok(None) };
    let every = keys.bounded_or("attention.sliding_window_pattern", MAX_LAYERS, windows.every)?;
    let own = keys.base("rope.freq_base_swa")?.or(windows.base);
    // What has a base of its own is not squeezed.
    let (base, factor) = own.map_or((base, factor), |own| (own, if windows.base.is_some() { 1.0 } else { factor }));
    Ok(Some(Windows { every, positions, frequencies: frequencies(turned, base, factor, &[]) }))
}

/// What embeddings, blocks and scores are multiplied by, and what logits are divided by, where the file says so.
fn scales(keys: &Keys<'_>) -> Result<[Option<f32>; 4], ModelError> {
    const TURNS: &str = "rope.scaling.finetuned";
    if keys.get::<bool>(TURNS)? == Some(false) {
        return Err(ModelError::unsupported(format!("positions without rope (`{}`)", keys.name(TURNS))));
    }
    Ok([
        keys.positive("embedding_scale")?,
        keys.positive("residual_scale")?,
        keys.positive("attention.scale")?,
        keys.positive("logit_scale")?,
    ])
}

/// The factor by which positions are squeezed.
fn linear_factor(keys: &Keys<'_>) -> Result<f64, ModelError> {
    const TYPE: &str = "rope.scaling.type";
    const FACTOR: &str = "rope.scaling.factor";
    const OLD: &str = "rope.scale_linear";
    let key = match keys.get::<&str>(TYPE)? {
        Some("linear") => FACTOR,
        Some("none") => return Ok(1.0),
        Some(other) => {
            let (key, other) = (keys.name(TYPE), other.escape_debug());
            return Err(ModelError::unsupported(format!("rope scaling `{other}` (`{key}`)")));
        }
        None if keys.has(FACTOR) => FACTOR,
        None => OLD,
    };
    let factor = keys.get::<f32>(key)?.map_or(1.0, f64::from);
    // Files that do not scale may say zero.
    match factor {
        0.0 => Ok(1.0),
        factor if factor.is_finite() && factor >= 1.0 => Ok(factor),
        _ => Err(keys.wrong(key, "a number of at least 1", factor)),
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

/// The metadata that begins with the architecture's name.
struct Keys<'f> {
    file: &'f File,
    architecture: &'f str,
}

impl<'f> Keys<'f> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn has(&self, key: &str) -> bool {
        self.file.metadata(&self.name(key)).is_some()
    }

    fn get<T: FromValue<'f>>(&self, key: &str) -> Result<Option<T>, ModelError> {
        Ok(self.file.get(&self.name(key))?)
    }

    /// A whole number from 1 to `limit`.
    fn bounded(&self, key: &str, limit: u64) -> Result<usize, ModelError> {
        let name = self.name(key);
        if let Some(Value::Array(_)) = self.file.metadata(&name) {
            return Err(ModelError::unsupported(format!("a `{name}` that differs from layer to layer")));
        }
        let value: u64 = self.file.require(&name)?;
        match usize::try_from(value) {
            Ok(size) if (1..=limit).contains(&value) => Ok(size),
            _ => Err(self.wrong(key, format!("a whole number from 1 to {limit}"), value)),
        }
    }

    /// The same, where the file may not say.
    fn bounded_or(&self, key: &str, limit: u64, unsaid: usize) -> Result<usize, ModelError> {
        if self.has(key) { self.bounded(key, limit) } else { Ok(unsaid) }
    }

    /// What frequencies begin with.
    fn base(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.get::<f32>(key)?.map(f64::from) {
            Some(base) if !(base.is_finite() && base >= 1.0) => Err(self.wrong(key, "a number of at least 1", base)),
            base => Ok(base),
        }
    }

    /// A number above zero, which stands for none.
    fn positive(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.get::<f32>(key)? {
            None | Some(0.0) => Ok(None),
            Some(number) if number.is_normal() && number > 0.0 => Ok(Some(number)),
            Some(number) => Err(self.wrong(key, "a positive number", number)),
        }
    }

    fn wrong(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> ModelError {
        Error::WrongValue { key: self.name(key), expected: expected.into(), found: found.to_string() }.into()
    }
}
