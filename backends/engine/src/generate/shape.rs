//! The shapes of models that many use: sizes, constants and tensors.

use std::str::FromStr;

use super::{Holds, Tensor};
use crate::gguf::{Header, Meta};

/// What families differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen3,
    Gemma3,
}

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What it is asked for by.
    pub name: &'static str,
    pub(super) family: Family,
    pub(super) layers: u32,
    pub(super) width: u32,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    /// Numbers of a head.
    pub(super) head: u32,
    pub(super) feed_forward: u32,
    /// Tokens.
    pub(super) vocabulary: u32,
    pub(super) context: u32,
    /// Whether the embedding is the output matrix too.
    pub(super) tied: bool,
    /// How often the context was stretched, in llama's own way.
    pub(super) stretched: Option<f32>,
}

/// What llama was trained with before its context was stretched.
const LLAMA_CONTEXT: f32 = 8_192.0;

const LLAMA: Shape = Shape {
    name: "llama-1b",
    family: Family::Llama,
    layers: 16,
    width: 2_048,
    heads: 32,
    kv_heads: 8,
    head: 64,
    feed_forward: 8_192,
    vocabulary: 128_256,
    context: 131_072,
    tied: true,
    stretched: Some(32.0),
};

const QWEN3: Shape = Shape {
    name: "qwen3-0.6b",
    family: Family::Qwen3,
    layers: 28,
    width: 1_024,
    heads: 16,
    kv_heads: 8,
    head: 128,
    feed_forward: 3_072,
    vocabulary: 151_936,
    context: 40_960,
    tied: true,
    stretched: None,
};

impl Shape {
    /// Every shape: Llama 3.2 1B and 3B, Llama 3.1 8B, Qwen3 0.6B and 4B, Gemma 3 1B.
    pub const ALL: [Shape; 6] = [
        LLAMA,
        Shape { name: "llama-3b", layers: 28, width: 3_072, heads: 24, head: 128, ..LLAMA },
        Shape {
            name: "llama-8b",
            layers: 32,
            width: 4_096,
            head: 128,
            feed_forward: 14_336,
            tied: false,
            stretched: Some(8.0),
            ..LLAMA
        },
        QWEN3,
        Shape { name: "qwen3-4b", layers: 36, width: 2_560, heads: 32, feed_forward: 9_728, ..QWEN3 },
        Shape {
            name: "gemma3-1b",
            family: Family::Gemma3,
            layers: 26,
            width: 1_152,
            heads: 4,
            kv_heads: 1,
            head: 256,
            feed_forward: 6_912,
            vocabulary: 262_144,
            context: 32_768,
            tied: true,
            stretched: None,
        },
    ];

    /// The shape of a name.
    pub fn named(name: &str) -> Option<&'static Shape> {
        const ALL: &[Shape] = &Shape::ALL;
        ALL.iter().find(|shape| shape.name == name)
    }

    /// How many layers it has.
    pub fn layers(&self) -> u32 {
        self.layers
    }

    /// The same with so many layers.
    pub fn with_layers(&self, layers: u32) -> Self {
        Shape { layers, ..self.clone() }
    }

    /// The same family in small, for tests: with rows that are whole blocks of 256 where its own are.
    #[cfg(any(test, feature = "testing"))]
    pub fn small(&self) -> Self {
        let width = if self.width.is_multiple_of(256) { 256 } else { 288 };
        Shape {
            layers: 8,
            width,
            heads: 4,
            kv_heads: 2,
            head: 64,
            feed_forward: 512,
            vocabulary: 1_500,
            context: 4_096,
            ..self.clone()
        }
    }

    fn architecture(&self) -> &'static str {
        match self.family {
            Family::Llama => "llama",
            Family::Qwen3 => "qwen3",
            Family::Gemma3 => "gemma3",
        }
    }

    pub(super) fn constants(&self, header: &mut Header) {
        let architecture = self.architecture();
        header.set("general.architecture", Meta::Text(architecture.into()));
        let (base, epsilon) = match self.family {
            Family::Llama => (500_000.0, 1e-5),
            Family::Qwen3 | Family::Gemma3 => (1_000_000.0, 1e-6),
        };
        let mut set = |name: &str, value| {
            header.set(&format!("{architecture}.{name}"), value);
        };
        for (name, number) in [
            ("context_length", self.context),
            ("embedding_length", self.width),
            ("block_count", self.layers),
            ("feed_forward_length", self.feed_forward),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head),
            ("attention.value_length", self.head),
            ("vocab_size", self.vocabulary),
        ] {
            set(name, Meta::U32(number));
        }
        set("rope.freq_base", Meta::F32(base));
        set("attention.layer_norm_rms_epsilon", Meta::F32(epsilon));
        match self.family {
            Family::Llama => set("rope.dimension_count", Meta::U32(self.head)),
            Family::Qwen3 => {}
            Family::Gemma3 => set("attention.sliding_window", Meta::U32(512)),
        }
    }

    /// Every tensor, in the order that converters write them.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let (queries, keys) = (self.heads * self.head, self.kv_heads * self.head);
        let (width, inner) = (self.width, self.feed_forward);
        // A product with numbers of size one has that size too.
        let matrix = |name: String, row: u32, rows: u32| {
            Tensor::new(name, &[row, rows], Holds::Weights(1.0 / (row as f32).sqrt()))
        };
        let norm = |name: String, len: u32| Tensor::new(name, &[len], Holds::Ones);
        let mut all = vec![matrix("token_embd.weight".into(), width, self.vocabulary)];
        if let Some(factor) = self.stretched {
            all.push(Tensor::new("rope_freqs.weight", &[self.head / 2], Holds::Numbers(self.divisors(factor))));
        }
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            all.extend([
                norm(name("attn_norm"), width),
                matrix(name("attn_q"), width, queries),
                matrix(name("attn_k"), width, keys),
                matrix(name("attn_v"), width, keys),
                matrix(name("attn_output"), queries, width),
                norm(name("ffn_norm"), width),
                matrix(name("ffn_gate"), width, inner),
                matrix(name("ffn_up"), width, inner),
                matrix(name("ffn_down"), inner, width),
            ]);
            if self.family != Family::Llama {
                all.extend(["attn_q_norm", "attn_k_norm"].map(|part| norm(name(part), self.head)));
            }
            if self.family == Family::Gemma3 {
                all.extend(["post_attention_norm", "post_ffw_norm"].map(|part| norm(name(part), width)));
            }
        }
        all.push(norm("output_norm.weight".into(), width));
        if !self.tied {
            all.push(matrix("output.weight".into(), width, self.vocabulary));
        }
        all
    }

    /// What llama divides the frequencies of its pairs by: those that turn seldom within its first context are slowed, those
    /// that turn often are not, and what is between is in part.
    fn divisors(&self, factor: f32) -> Vec<f32> {
        let (seldom, often) = (1.0, 4.0);
        let divisor = |pair: u32| {
            let frequency = 500_000f32.powf(-2.0 * pair as f32 / self.head as f32);
            let turns = LLAMA_CONTEXT * frequency / std::f32::consts::TAU;
            let kept = ((turns - seldom) / (often - seldom)).clamp(0.0, 1.0);
            1.0 / ((1.0 - kept) / factor + kept)
        };
        (0..self.head / 2).map(divisor).collect()
    }
}

impl FromStr for &'static Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Shape::named(name).ok_or_else(|| format!("it is one of {}", Shape::ALL.map(|shape| shape.name).join(", ")))
    }
}
