//! The sizes and constants of a model, read from metadata and bounded.
//!
//! Metadata is untrusted: every number is checked against a limit far above any real model before it is multiplied
//! with another, and what this graph does not compute is refused by name.

use engine::gguf::{File, FromValue, Value};

use super::{
    ModelError,
    cache::PANEL,
    family::{Family, Scales, Turns},
    keys::Keys,
    rope::{self, Rope, Scaling},
};

/// Far above any real model, and low enough that no product of two or three overflows.
const MAX_LAYERS: u64 = 1_024;
const MAX_WIDTH: u64 = 1 << 17;
const MAX_FEED_FORWARD: u64 = 1 << 20;
const MAX_EXPERTS: u64 = 1_024;
const MAX_WINDOW: u64 = 1 << 10;
const MAX_STATE: u64 = 1 << 12;
pub(super) const MAX_CONTEXT: u64 = 1 << 24;

/// Sizes and constants of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shape {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads; none where layers keep states.
    pub heads: usize,
    /// Key and value heads that are kept; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers of a head of keys, as it is kept.
    pub head: usize,
    /// Numbers of a head of values, as it is kept.
    pub(crate) value: usize,
    /// Of families where a head of keys and values is what all heads are made of.
    pub(crate) latent: Option<Latent>,
    /// Of families that keep a state of what was before; those have no heads, and no feed-forward block.
    pub(crate) channels: Option<Channels>,
    /// Width inside the feed-forward block, or inside that of each expert.
    pub feed_forward: usize,
    /// Of mixtures.
    pub(crate) experts: Option<Experts>,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Longest sequence that the model was made for.
    pub context: usize,
    /// Added to the mean of squares in each norm.
    pub eps: f32,
    /// What its decoder differs in from others.
    pub(crate) family: Family,
    /// How heads turn.
    rope: Rope,
    /// How they turn in contexts that are longer than the original one, where that is otherwise.
    long_rope: Option<Rope>,
    /// The context before it was stretched.
    original_context: usize,
    /// How much larger scores become with the logarithm of how many such contexts a position is behind, if they do.
    temperature: Option<f32>,
    /// The layers that look back no further than a window, if there are any.
    pub(crate) windows: Option<Windows>,
    /// What embeddings are multiplied by.
    pub(crate) embedding_scale: f32,
    /// What a block gives is multiplied by this before it is added to the stream.
    pub(crate) block_scale: f32,
    /// What the products of queries and keys are multiplied by.
    score_scale: f32,
    /// What logits are multiplied by.
    pub(crate) logit_scale: f32,
    /// What scores are bent towards, between this and its negative.
    pub(crate) score_cap: Option<f32>,
    /// The same of logits.
    pub(crate) logit_cap: Option<f32>,
}

/// The heads of a family that keeps what keys and values of all heads are made of, and not those: `rank` numbers, and behind them
/// in a key those that turn with its position, which heads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latent {
    /// Numbers that queries of all heads are made of.
    pub(crate) query: usize,
    /// Numbers that keys and values of all heads are made of.
    pub(crate) rank: usize,
    /// Numbers of a head of queries that stay as they are.
    pub(crate) plain: usize,
    /// Numbers behind them that turn.
    pub(crate) turned: usize,
    /// Numbers of a head of what attention gives.
    pub(crate) value: usize,
}

/// A layer that keeps a state of what was before: what it reads becomes channels, each of which is mixed with its last few values,
/// and has a state that decays by a step of its own length, takes in the channel, and gives what goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) count: usize,
    /// Values of a channel that are mixed, the last among them.
    pub(crate) window: usize,
    /// Numbers of a channel's state.
    pub(crate) state: usize,
    /// Numbers that the lengths of all channels' steps are made of.
    pub(crate) rank: usize,
    /// Whether those are normed, and what states take in, and what they give.
    pub(crate) normed: bool,
}

/// The feed-forward blocks of a layer, where there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Experts {
    pub(crate) count: usize,
    /// How many a token passes through.
    pub(crate) used: usize,
}

/// The layers that look back no further than a window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Windows {
    /// Which layers.
    layers: Vec<bool>,
    /// Positions, a token's own included.
    pub(crate) positions: usize,
    /// How heads turn in them, where that is not as it would be in the others.
    rope: Option<Rope>,
    /// Whether heads turn in no others.
    alone: bool,
}

impl Shape {
    /// Reads the shape of a file, whose architecture must be one of [`super::architectures`].
    pub(super) fn read(file: &File) -> Result<Self, ModelError> {
        let architecture: &str = file.require("general.architecture")?;
        let unknown = || ModelError::unsupported(format!("the architecture `{}`", architecture.escape_debug()));
        let family = Family::of(architecture).ok_or_else(unknown)?;
        let keys = Keys { file, architecture };
        let layers = keys.bounded("block_count", MAX_LAYERS)?;
        let width = keys.bounded("embedding_length", MAX_WIDTH)?;
        let context = keys.bounded("context_length", MAX_CONTEXT)?;
        let vocabulary = vocabulary(file)?;
        let eps = eps(&keys)?;
        if family.states {
            return Ok(Self {
                layers,
                width,
                heads: 0,
                kv_heads: 0,
                head: 0,
                value: 0,
                latent: None,
                channels: Some(channels(&keys)?),
                feed_forward: 0,
                experts: None,
                vocabulary,
                context,
                eps,
                family,
                rope: Rope { frequencies: Vec::new(), magnitude: 1.0 },
                long_rope: None,
                original_context: context,
                temperature: None,
                windows: None,
                embedding_scale: 1.0,
                block_scale: 1.0,
                score_scale: 1.0,
                logit_scale: 1.0,
                score_cap: None,
                logit_cap: None,
            });
        }
        let feed_forward = keys.bounded("feed_forward_length", MAX_FEED_FORWARD)?;
        let (experts, feed_forward) = experts(&keys, family, width, feed_forward)?;
        let heads = keys.bounded("attention.head_count", width as u64)?;
        let kv_heads = keys.bounded_or("attention.head_count_kv", heads as u64, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(keys.wrong("attention.head_count_kv", expected, kv_heads));
        }
        let latent = if family.latent { Some(latent(&keys, width, [heads, kv_heads])?) } else { None };
        let (scored, [kv_heads, head, value]) = match latent {
            Some(Latent { rank, plain, turned, .. }) => (plain + turned, [1, rank + turned, rank]),
            None => {
                let head = head_length(&keys, width, heads)?;
                (head, [kv_heads, head, head])
            }
        };
        let scaling = Scaling::read(&keys, scored, context)?;
        let windows = windows(&keys, family, layers, &scaling)?;
        let divisor = if family.by_width == Some(layers) { width / heads } else { scored };
        let scales = match family.scales {
            _ if family.says_scales => scales(&keys)?,
            Some(Scales { embeddings, blocks, logits }) => {
                [Some(embeddings), Some(blocks / (layers as f32).sqrt()), None, Some(width as f32 / logits)]
            }
            None => [None; 4],
        };
        let embedding_scale = if family.scaled_embedding { (width as f32).sqrt() } else { 1.0 };
        Ok(Self {
            layers,
            width,
            heads,
            kv_heads,
            head,
            value,
            latent,
            channels: None,
            feed_forward,
            experts,
            vocabulary,
            context,
            eps,
            family,
            rope: scaling.rope(),
            long_rope: scaling.long_rope(),
            original_context: scaling.original_context,
            temperature: if family.says_temperature { temperature(&keys)? } else { None },
            windows,
            embedding_scale: scales[0].unwrap_or(embedding_scale),
            block_scale: scales[1].unwrap_or(1.0),
            score_scale: scales[2].unwrap_or(1.0 / (divisor as f32).sqrt()),
            logit_scale: scales[3].map_or(1.0, |divisor| 1.0 / divisor),
            score_cap: keys.positive("attn_logit_softcapping")?,
            logit_cap: keys.positive("final_logit_softcapping")?,
        })
    }

    /// Whether all but the beginning of a sequence can be forgotten: a state has the past in it as a whole.
    pub fn goes_back(&self) -> bool {
        self.channels.is_none()
    }

    /// How many positions a layer looks back, a token's own included, where not to the first.
    pub(crate) fn window(&self, layer: usize) -> Option<&Windows> {
        self.windows.as_ref().filter(|windows| windows.layers[layer])
    }

    /// How heads turn in a runner's context: in layers that look back to the first position, and in those with windows.
    pub(crate) fn ropes(&self, context: usize) -> [Option<&Rope>; 2] {
        let long = self.long_rope.as_ref().filter(|_| context > self.original_context);
        let rope = long.unwrap_or(&self.rope);
        let windows = self.windows.as_ref();
        let others = windows.is_none_or(|windows| !windows.alone).then_some(rope);
        [others, windows.map(|windows| windows.rope.as_ref().unwrap_or(rope))]
    }

    /// What products of a query at some position with keys are multiplied by.
    pub(crate) fn score_scale_at(&self, position: usize) -> f32 {
        match self.temperature {
            None => self.score_scale,
            Some(temperature) => {
                let behind = (position / self.original_context + 1) as f32;
                self.score_scale * (1.0 + temperature * behind.ln())
            }
        }
    }

    /// The tensors that say how heads turn.
    pub(super) fn rope_tensors(&self) -> &'static [&'static str] {
        if self.long_rope.is_some() { &rope::LONG } else { &[rope::OWN] }
    }

    /// Query heads that share a key and value head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Tokens of the vocabulary.
fn vocabulary(file: &File) -> Result<usize, ModelError> {
    let embedding = file.tensor("token_embd.weight");
    let embedding = embedding.ok_or_else(|| ModelError::MissingTensor { name: "token_embd.weight".into() })?;
    Ok(match *embedding.dims {
        [_, rows] => usize::try_from(rows).unwrap_or(usize::MAX),
        _ => 0, // binding the tensor refuses the shape
    })
}

fn eps(keys: &Keys<'_>) -> Result<f32, ModelError> {
    const EPS: &str = "attention.layer_norm_rms_epsilon";
    let eps: f32 = keys.file.require(&keys.name(EPS))?;
    if !(0.0..=1.0).contains(&eps) {
        return Err(keys.wrong(EPS, "a number from 0 to 1", eps));
    }
    Ok(eps)
}

/// The channels of a family that keeps states.
fn channels(keys: &Keys<'_>) -> Result<Channels, ModelError> {
    const COUNT: &str = "ssm.inner_size";
    let count = keys.bounded(COUNT, MAX_FEED_FORWARD)?;
    // Sixteen lie side by side.
    if !count.is_multiple_of(PANEL) {
        let what = format!("{count} channels, which are no multiple of {PANEL} (`{}`)", keys.name(COUNT));
        return Err(ModelError::unsupported(what));
    }
    Ok(Channels {
        count,
        window: keys.bounded("ssm.conv_kernel", MAX_WINDOW)?,
        state: keys.bounded("ssm.state_size", MAX_STATE)?,
        rank: keys.bounded("ssm.time_step_rank", MAX_WIDTH)?,
        normed: keys.get("ssm.dt_b_c_rms")?.unwrap_or(false),
    })
}

/// The experts, if there are some, and the width inside a feed-forward block.
fn experts(
    keys: &Keys<'_>,
    family: Family,
    width: usize,
    feed_forward: usize,
) -> Result<(Option<Experts>, usize), ModelError> {
    const COUNT: &str = "expert_count";
    const INNER: &str = "expert_feed_forward_length";
    const GROUPS: &str = "expert_group_count";
    let unsupported = |what: &str, key| Err(ModelError::unsupported(format!("{what} (`{}`)", keys.name(key))));
    if keys.get::<u64>(COUNT)?.unwrap_or(0) == 0 {
        return Ok((None, feed_forward));
    }
    if !family.experts {
        return unsupported("mixtures of experts", COUNT);
    }
    if keys.get::<u64>(GROUPS)?.is_some_and(|groups| groups > 1) {
        return unsupported("groups of experts", GROUPS);
    }
    let count = keys.bounded(COUNT, MAX_EXPERTS)?;
    let used = keys.bounded("expert_used_count", count as u64)?;
    let inner = keys.bounded_or(INNER, MAX_FEED_FORWARD, feed_forward)?;
    // Each begins with a panel.
    if !inner.is_multiple_of(PANEL) || !width.is_multiple_of(PANEL) {
        return unsupported(&format!("experts of {inner} rows and {width}, which are no multiples of {PANEL}"), COUNT);
    }
    Ok((Some(Experts { count, used }), inner))
}

fn head_length(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize, ModelError> {
    const KEY: &str = "attention.key_length";
    const VALUE: &str = "attention.value_length";
    let head = match keys.has(KEY) {
        true => keys.bounded(KEY, width as u64)?,
        false => head_of_width(keys, width, heads)?,
    };
    match keys.get::<u64>(VALUE)? {
        Some(values) if values != head as u64 => {
            let key = keys.name(VALUE);
            Err(ModelError::unsupported(format!("values of {values} beside keys of {head} (`{key}`)")))
        }
        _ => Ok(head),
    }
}

/// The heads of a family that keeps what they are made of.
fn latent(keys: &Keys<'_>, width: usize, [heads, kv_heads]: [usize; 2]) -> Result<Latent, ModelError> {
    const TURNED: &str = "rope.dimension_count";
    const RANK: &str = "attention.kv_lora_rank";
    const VALUE: &str = "attention.value_length";
    if kv_heads != heads {
        let expected = format!("{heads}, as many as there are query heads");
        return Err(keys.wrong("attention.head_count_kv", expected, kv_heads));
    }
    let head = keys.bounded("attention.key_length", width as u64)?;
    let turned = keys.bounded(TURNED, MAX_WIDTH)?;
    if turned >= head {
        return Err(keys.wrong(TURNED, format!("fewer than the {head} numbers of a head"), turned));
    }
    let latent = Latent {
        query: keys.bounded("attention.q_lora_rank", MAX_WIDTH)?,
        rank: keys.bounded(RANK, MAX_WIDTH)?,
        plain: head - turned,
        turned,
        value: match keys.has(VALUE) {
            true => keys.bounded(VALUE, width as u64)?,
            false => head_of_width(keys, width, heads)?,
        },
    };
    // Each head of what makes keys and values begins with a panel.
    for (key, rows) in [(RANK, latent.rank), (VALUE, latent.value)] {
        if !rows.is_multiple_of(PANEL) {
            let key = keys.name(key);
            return Err(ModelError::unsupported(format!("heads of {rows}, which is no multiple of {PANEL} (`{key}`)")));
        }
    }
    Ok(latent)
}

fn head_of_width(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize, ModelError> {
    match width.is_multiple_of(heads) {
        true => Ok(width / heads),
        false => Err(keys.wrong("attention.head_count", format!("a divisor of the width {width}"), heads)),
    }
}

fn windows(keys: &Keys<'_>, family: Family, layers: usize, scaling: &Scaling) -> Result<Option<Windows>, ModelError> {
    const POSITIONS: &str = "attention.sliding_window";
    let Some(windows) = family.windows.filter(|windows| windows.of.is_none_or(|of| of == layers)) else {
        return Ok(None);
    };
    let positions = match keys.get::<u64>(POSITIONS)? {
        Some(0) => None,
        Some(_) => Some(keys.bounded(POSITIONS, MAX_CONTEXT)?),
        None => windows.positions,
    };
    let Some(positions) = positions else { return Ok(None) };
    let said = keys.base("rope.freq_base_swa")?;
    let rope = match windows.turns {
        Turns::Alike => said.map(|said| scaling.with_base(said)),
        Turns::From(base) => Some(scaling.unscaled(said.unwrap_or(base))),
        Turns::Unscaled => Some(Rope { magnitude: 1.0, ..scaling.unscaled(scaling.base) }),
        Turns::Alone => None,
    };
    let layers = windowed(keys, layers, windows.every)?;
    Ok(Some(Windows { layers, positions, rope, alone: windows.turns == Turns::Alone }))
}

/// Which layers have windows: those that a list says, or all but the last of so many in a row.
fn windowed(keys: &Keys<'_>, layers: usize, every: usize) -> Result<Vec<bool>, ModelError> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    match keys.file.metadata(&keys.name(PATTERN)) {
        Some(Value::Array(list)) => {
            let said: Option<Vec<bool>> = list.iter().map(|value| bool::from_value(&value)).collect();
            let wrong = || {
                keys.wrong(PATTERN, format!("a boolean for each of {layers} layers"), format!("{} values", list.len()))
            };
            said.filter(|said| said.len() == layers).ok_or_else(wrong)
        }
        _ => {
            let every = keys.bounded_or(PATTERN, MAX_LAYERS, every)?;
            Ok((0..layers).map(|layer| layer % every != every - 1).collect())
        }
    }
}

fn temperature(keys: &Keys<'_>) -> Result<Option<f32>, ModelError> {
    Ok(keys.within("attention.temperature_scale", 0.0..=100.0)?.map(|scale| scale as f32))
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
