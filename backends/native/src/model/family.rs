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
    /// Whether each head of queries and keys is normed before it turns.
    pub(crate) head_norms: bool,
    /// Whether what a block gives is normed before it is added to the stream.
    pub(crate) block_norms: bool,
    /// Whether embeddings are multiplied by the root of their width.
    pub(crate) scaled_embedding: bool,
    /// Whether a file says what embeddings, what a block gives, scores and logits are multiplied by.
    pub(crate) says_scales: bool,
    /// Of the layers that look back no further than a window, if there are any.
    pub(crate) windows: Option<Windows>,
    /// Layers of the one model that divides scores by the root of width over heads, and not by that of a head.
    pub(crate) by_width: Option<usize>,
}

/// Which layers look back no further than a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Windows {
    /// All but the last of so many in a row, where the file does not say.
    pub(crate) every: usize,
    /// Positions, where the file does not say; with none, a file that does not say has no windows.
    pub(crate) positions: Option<usize>,
    /// What frequencies of these layers begin with, where the file does not say; with none, as all others.
    pub(crate) base: Option<f64>,
}

const LLAMA: Family = Family {
    pairs: Pairs::Adjacent,
    gate: Gate::Silu,
    fused: false,
    biases: false,
    head_norms: false,
    block_norms: false,
    scaled_embedding: false,
    says_scales: false,
    windows: None,
    by_width: None,
};

const QWEN2: Family = Family { pairs: Pairs::Halves, biases: true, ..LLAMA };

const QWEN3: Family = Family { pairs: Pairs::Halves, head_norms: true, ..LLAMA };

const EXAONE: Family = Family { pairs: Pairs::Halves, ..LLAMA };

/// A file may speak of a window, which other engines pass over as well: what converters wrote there is not to be relied on.
const PHI3: Family = Family { pairs: Pairs::Halves, fused: true, ..LLAMA };

const GRANITE: Family = Family { says_scales: true, ..LLAMA };

const GEMMA2: Family = Family {
    pairs: Pairs::Halves,
    gate: Gate::Gelu,
    block_norms: true,
    scaled_embedding: true,
    windows: Some(Windows { every: 2, positions: Some(4_096), base: None }),
    by_width: Some(46),
    ..LLAMA
};

const GEMMA3: Family = Family {
    head_norms: true,
    windows: Some(Windows { every: 6, positions: None, base: Some(10_000.0) }),
    by_width: Some(62),
    ..GEMMA2
};

/// Every family that is computed, with its name.
pub(crate) const FAMILIES: [(&str, Family); 9] = [
    ("llama", LLAMA),
    ("internlm2", LLAMA),
    ("qwen2", QWEN2),
    ("qwen3", QWEN3),
    ("phi3", PHI3),
    ("exaone", EXAONE),
    ("granite", GRANITE),
    ("gemma2", GEMMA2),
    ("gemma3", GEMMA3),
];

impl Family {
    /// Of an architecture; none if it is not computed.
    pub(crate) fn of(architecture: &str) -> Option<Self> {
        FAMILIES.iter().find(|(name, _)| *name == architecture).map(|(_, family)| *family)
    }
}
