//! What the decoders of the families differ in. One graph computes them all: where a family has nothing of its own, a part
//! is left out.
//!
//! Named as `general.architecture` names them. What each does is its makers' description; that it is computed as the
//! field's other engines do is what the tests against llama.cpp are for.

use kernels::{Gate, Pairs};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Family {
    /// Which numbers of a head turn together.
    pub(crate) pairs: Pairs,
    /// What the gate of the feed-forward block is passed through.
    pub(crate) gate: Gate,
    /// Whether queries, keys and values are one matrix in the file, and gate and up another.
    pub(crate) fused: bool,
    /// Whether something is added to queries, keys and values.
    pub(crate) biases: bool,
    /// What of queries and keys is normed before they turn.
    pub(crate) key_norms: KeyNorms,
    /// Whether what a block reads is normed.
    pub(crate) input_norms: bool,
    /// Whether what a block gives is normed before it is added to the stream.
    pub(crate) block_norms: bool,
    /// Whether embeddings are multiplied by the root of their width.
    pub(crate) scaled_embedding: bool,
    /// Whether a file may have many feed-forward blocks in a layer, of which a token passes through some.
    pub(crate) experts: bool,
    /// Whether a file may say that scores of later positions are larger.
    pub(crate) says_temperature: bool,
    /// Whether a file says what embeddings, what a block gives, scores and logits are multiplied by.
    pub(crate) says_scales: bool,
    /// The same, where all of the family have the same and no file says.
    pub(crate) scales: Option<Scales>,
    /// Whether keys and values of all heads are made of a few numbers that they share, and queries of some more.
    pub(crate) latent: bool,
    /// Whether layers keep a state of what was before, and do not look back.
    pub(crate) states: bool,
    /// Of the layers that look back no further than a window, if there are any.
    pub(crate) windows: Option<Windows>,
    /// Layers of the one model that divides scores by the root of width over heads, and not by that of a head.
    pub(crate) by_width: Option<usize>,
}

/// What numbers are multiplied by, for any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scales {
    /// Embeddings by this.
    pub(crate) embeddings: f32,
    /// What a block gives by this over the root of the number of layers.
    pub(crate) blocks: f32,
    /// Logits by this over the width.
    pub(crate) logits: f32,
}

/// What of queries and keys is normed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyNorms {
    /// Nothing.
    None,
    /// Each head by itself.
    Heads,
    /// All heads of a token together.
    Rows,
}

/// Which layers look back no further than a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Windows {
    /// None but in models of so many layers, if it is not in all.
    pub(crate) of: Option<usize>,
    /// All but the last of so many in a row, where the file does not say.
    pub(crate) every: usize,
    /// Positions, where the file does not say; with none, a file that does not say has no windows.
    pub(crate) positions: Option<usize>,
    /// How heads turn in these layers.
    pub(crate) turns: Turns,
}

/// How heads turn in layers with windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turns {
    /// As in the others, unless the file says what frequencies begin with.
    Alike,
    /// As if contexts had not been stretched, from where the file says that frequencies begin, or from here.
    From(f64),
    /// As in the others if contexts had not been stretched.
    Unscaled,
    /// As they would in the others, where they do not turn.
    Alone,
}

const LLAMA: Family = Family {
    pairs: Pairs::Adjacent,
    gate: Gate::Silu,
    fused: false,
    biases: false,
    key_norms: KeyNorms::None,
    input_norms: true,
    block_norms: false,
    scaled_embedding: false,
    experts: false,
    says_temperature: false,
    says_scales: false,
    scales: None,
    latent: false,
    states: false,
    windows: None,
    by_width: None,
};

/// Mixtral's files too.
const LLAMA_WITH_EXPERTS: Family = Family { experts: true, ..LLAMA };

const QWEN2: Family = Family { pairs: Pairs::Halves, biases: true, ..LLAMA };

const QWEN3: Family = Family { pairs: Pairs::Halves, key_norms: KeyNorms::Heads, ..LLAMA };

const EXAONE: Family = Family { pairs: Pairs::Halves, ..LLAMA };

/// A file may speak of a window, which other engines pass over as well: what converters wrote there is not to be relied on.
const PHI3: Family = Family { pairs: Pairs::Halves, fused: true, ..LLAMA };

const MISTRAL3: Family = Family { says_temperature: true, ..LLAMA };

/// The third generation has windows, and goes by the name of the second.
const OLMO2: Family = Family {
    pairs: Pairs::Halves,
    key_norms: KeyNorms::Rows,
    input_norms: false,
    block_norms: true,
    windows: Some(Windows { of: None, every: 4, positions: None, turns: Turns::Unscaled }),
    ..LLAMA
};

/// The larger of its two models has windows.
const EXAONE4: Family = Family {
    key_norms: KeyNorms::Heads,
    windows: Some(Windows { of: Some(64), every: 4, positions: Some(4_096), turns: Turns::Alone }),
    ..OLMO2
};

const GRANITE: Family = Family { says_scales: true, ..LLAMA };

const MINICPM3: Family = Family {
    pairs: Pairs::Halves,
    scales: Some(Scales { embeddings: 12.0, blocks: 1.4, logits: 256.0 }),
    latent: true,
    ..LLAMA
};

/// Falcon's too.
const MAMBA: Family = Family { states: true, ..LLAMA };

const GEMMA2: Family = Family {
    pairs: Pairs::Halves,
    gate: Gate::Gelu,
    block_norms: true,
    scaled_embedding: true,
    windows: Some(Windows { of: None, every: 2, positions: Some(4_096), turns: Turns::Alike }),
    by_width: Some(46),
    ..LLAMA
};

const GEMMA3: Family = Family {
    key_norms: KeyNorms::Heads,
    windows: Some(Windows { of: None, every: 6, positions: None, turns: Turns::From(10_000.0) }),
    by_width: Some(62),
    ..GEMMA2
};

/// Every family that is computed, with its name.
pub(crate) const FAMILIES: [(&str, Family); 15] = [
    ("llama", LLAMA_WITH_EXPERTS),
    ("internlm2", LLAMA),
    ("qwen2", QWEN2),
    ("qwen3", QWEN3),
    ("qwen3moe", Family { experts: true, ..QWEN3 }),
    ("mistral3", MISTRAL3),
    ("phi3", PHI3),
    ("olmo2", OLMO2),
    ("exaone", EXAONE),
    ("exaone4", EXAONE4),
    ("granite", GRANITE),
    ("minicpm3", MINICPM3),
    ("mamba", MAMBA),
    ("gemma2", GEMMA2),
    ("gemma3", GEMMA3),
];

impl Family {
    /// Of an architecture; none if it is not computed.
    pub(crate) fn of(architecture: &str) -> Option<Self> {
        FAMILIES.iter().find(|(name, _)| *name == architecture).map(|(_, family)| *family)
    }
}
