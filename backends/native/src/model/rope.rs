//! How heads turn with their position, and how that is stretched to contexts beyond the one that a model was first made for.
//!
//! Linear: positions are squeezed. YaRN: only pairs that turn slowly are, which have not seen a whole turn in the original
//! context, and what turns is made a little larger. LongRoPE: each pair has a divisor of its own, one for contexts up to
//! the original one and one beyond. A file's numbers are bounded here, and what comes of them is finite.

use engine::gguf::{File, TensorType};

use super::{ModelError, keys::Keys, shape::MAX_CONTEXT};

/// The divisors that Llama 3.1 and later give for each pair.
pub(super) const OWN: &str = "rope_freqs.weight";
/// Those for contexts up to the original one, and beyond.
pub(super) const LONG: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];

/// How heads turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rope {
    /// How far each pair of a head turns from one position to the next.
    pub(crate) frequencies: Vec<f64>,
    /// What the numbers that turn are multiplied by.
    pub(crate) magnitude: f64,
}

impl Rope {
    /// Cosine and sine of each pair at a position, as they are multiplied with.
    pub(crate) fn angles(&self, position: usize) -> impl Iterator<Item = [f64; 2]> {
        self.frequencies.iter().map(move |frequency| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            [cos * self.magnitude, sin * self.magnitude]
        })
    }
}

/// What a file says of it.
#[derive(Debug)]
pub(crate) struct Scaling {
    /// Numbers of a head that turn.
    turned: usize,
    /// What frequencies begin with.
    pub(super) base: f64,
    /// By how much positions are squeezed.
    factor: f64,
    /// How often a pair turns within the original context, from where on down it is squeezed in part and wholly; none where
    /// all are.
    turns: Option<[f64; 2]>,
    /// What grows with the factor, and what the file says beside.
    magnitude: [f64; 2],
    /// A divisor for each pair; none where there are none.
    own: Vec<f64>,
    /// The same in long contexts.
    long: Option<Vec<f64>>,
    /// The context before it was stretched.
    pub(super) original_context: usize,
}

impl Scaling {
    pub(crate) fn read(keys: &Keys<'_>, head: usize, context: usize) -> Result<Self, ModelError> {
        const COUNT: &str = "rope.dimension_count";
        const TYPE: &str = "rope.scaling.type";
        let turned = keys.bounded_or(COUNT, head as u64, head)?;
        if !turned.is_multiple_of(2) {
            return Err(keys.wrong(COUNT, "an even number", turned));
        }
        let kind = keys.get::<&str>(TYPE)?;
        let yarn = match kind {
            None | Some("none" | "linear" | "longrope") => false,
            Some("yarn") => true,
            Some(other) => {
                let (key, other) = (keys.name(TYPE), other.escape_debug());
                return Err(ModelError::unsupported(format!("rope scaling `{other}` (`{key}`)")));
            }
        };
        let factor = if kind == Some("none") { 1.0 } else { factor(keys)? };
        let (own, long) = divisors(keys.file, kind == Some("longrope"), turned / 2)?;
        let said = keys.within("rope.scaling.attn_factor", 0.000_001..=100.0)?.unwrap_or(1.0);
        let (turns, grown) = if yarn { self::yarn(keys, factor)? } else { (None, 1.0) };
        Ok(Self {
            turned,
            base: keys.base("rope.freq_base")?.unwrap_or(10_000.0),
            factor,
            turns,
            magnitude: [grown, said],
            own,
            long,
            original_context: keys.bounded_or("rope.scaling.original_context_length", MAX_CONTEXT, context)?,
        })
    }

    /// How heads turn.
    pub(crate) fn rope(&self) -> Rope {
        self.scaled(self.base, &self.own)
    }

    /// How they turn in contexts longer than the original one, where that is otherwise.
    pub(super) fn long_rope(&self) -> Option<Rope> {
        self.long.as_ref().map(|long| self.scaled(self.base, long))
    }

    /// With another base, and without divisors.
    pub(super) fn with_base(&self, base: f64) -> Rope {
        self.scaled(base, &[])
    }

    /// The same without any stretching.
    pub(super) fn unscaled(&self, base: f64) -> Rope {
        let frequencies = (0..self.turned / 2).map(|pair| self.plain(base, pair)).collect();
        Rope { frequencies, magnitude: self.magnitude[1] }
    }

    fn scaled(&self, base: f64, own: &[f64]) -> Rope {
        let kept = |pair: usize| {
            let [first, last] = self.turns?.map(|turns| self.pair(base, turns));
            let (first, last) = (first.floor().max(0.0), last.ceil().min(self.turned as f64 - 1.0));
            Some(1.0 - ((pair as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0))
        };
        let frequency = |pair: usize| {
            let kept = kept(pair).unwrap_or(0.0);
            self.plain(base, pair) / own.get(pair).unwrap_or(&1.0) * (kept + (1.0 - kept) / self.factor)
        };
        let [grown, said] = self.magnitude;
        Rope { frequencies: (0..self.turned / 2).map(frequency).collect(), magnitude: grown * said }
    }

    fn plain(&self, base: f64, pair: usize) -> f64 {
        base.powf(-2.0 * pair as f64 / self.turned as f64)
    }

    /// The pair that turns so often within the original context, between whole ones; any number where the base is one.
    fn pair(&self, base: f64, turns: f64) -> f64 {
        let longest = self.original_context as f64 / (turns * 2.0 * std::f64::consts::PI);
        self.turned as f64 * longest.ln() / (2.0 * base.ln())
    }
}

/// The factor by which positions are squeezed.
fn factor(keys: &Keys<'_>) -> Result<f64, ModelError> {
    const FACTOR: &str = "rope.scaling.factor";
    const OLD: &str = "rope.scale_linear";
    let key = if keys.has(FACTOR) { FACTOR } else { OLD };
    let factor = keys.get::<f32>(key)?.map_or(1.0, f64::from);
    // Files that do not scale may say zero.
    match factor {
        0.0 => Ok(1.0),
        factor if factor.is_finite() && factor >= 1.0 => Ok(factor),
        _ => Err(keys.wrong(key, "a number of at least 1", factor)),
    }
}

/// Between how many turns pairs are squeezed in part, and how much larger they grow.
fn yarn(keys: &Keys<'_>, factor: f64) -> Result<(Option<[f64; 2]>, f64), ModelError> {
    let turns = |key, unsaid| Ok::<_, ModelError>(keys.within(key, 0.001..=1_000_000.0)?.unwrap_or(unsaid));
    let turns = [turns("rope.scaling.yarn_beta_fast", 32.0)?, turns("rope.scaling.yarn_beta_slow", 1.0)?];
    let less = keys.within("rope.scaling.yarn_log_multiplier", 0.0..=100.0)?.unwrap_or(0.0);
    let grown = |by: f64| 1.0 + 0.1 * by * factor.ln();
    Ok((Some(turns), grown(1.0) / grown(less)))
}

/// The divisors for contexts up to the original one, and those beyond where they are others.
fn divisors(file: &File, long: bool, pairs: usize) -> Result<(Vec<f64>, Option<Vec<f64>>), ModelError> {
    if !long && LONG.iter().all(|name| file.tensor(name).is_none()) {
        return Ok((list(file, OWN, pairs)?.unwrap_or_default(), None));
    }
    let list = |name: &str| list(file, name, pairs)?.ok_or_else(|| ModelError::MissingTensor { name: name.into() });
    Ok((list(LONG[0])?, Some(list(LONG[1])?)))
}

/// A divisor for each pair, in a tensor; none where there is none.
fn list(file: &File, name: &str, pairs: usize) -> Result<Option<Vec<f64>>, ModelError> {
    let Some(view) = file.tensor(name) else { return Ok(None) };
    let mismatch = |found: String| ModelError::WrongTensor {
        name: name.into(),
        expected: format!("F32 [{pairs}], each a positive number"),
        found,
    };
    if view.kind != TensorType::F32 || *view.dims != [pairs as u64] {
        return Err(mismatch(format!("{} {:?}", view.kind, view.dims)));
    }
    let factors: Vec<f64> =
        view.data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect();
    match factors.iter().find(|factor| !(factor.is_normal() && **factor > 0.0)) {
        Some(factor) => Err(mismatch(factor.to_string())),
        None => Ok(Some(factors)),
    }
}
