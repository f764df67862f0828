//! What families have beside llama, in constants and in each layer.

use rand_chacha::ChaCha8Rng;

use crate::gguf::TensorType;

use super::{Llama, Meta, Scaling, Writer, quantise, random};

impl Llama {
    /// A small model of an architecture, with what its files have: `llama`, `qwen2`, `qwen2vl` (positions of pictures count
    /// in two directions), `qwen3`, `qwen3moe`, `internlm2`, `exaone`, `granite`, `gemma2`, `gemma3` (both with windows of 24 tokens),
    /// `phi3` (of whose heads a quarter does not turn, and whose window means nothing), `mistral3`, `olmo2` (with windows where
    /// it is stretched, which is its next generation), `exaone4` (with windows if it has 64 layers), `minicpm3` (whose heads share
    /// what keys and values are made of, and turn in the last third of their numbers), `mamba` (whose layers keep states).
    ///
    /// Sizes suit the type of the matrices.
    pub fn of(architecture: &'static str, kind: TensorType) -> Self {
        let gemma = architecture.starts_with("gemma");
        let (width, feed_forward) = if kind.block_len() == 256 { (256, 512) } else { (64, 96) };
        let (experts, experts_used) = if architecture == "qwen3moe" { (8, 3) } else { (0, 0) };
        let kv_heads = if architecture == "minicpm3" { 4 } else { 2 };
        // Of gemma 3, five layers of six have windows.
        Self {
            architecture,
            kv_heads,
            kind,
            width,
            feed_forward,
            experts,
            experts_used,
            tied: gemma,
            layers: if gemma { 7 } else { 2 },
            ..Self::default()
        }
    }

    /// Models that differ from most of their architecture, each with what it is called in messages.
    pub fn variants(kind: TensorType) -> Vec<(&'static str, Self)> {
        let scaled = |architecture, scaling| Self { scaling, ..Self::of(architecture, kind) };
        let olmo3 = Self { layers: 5, ..scaled("olmo2", Scaling::Yarn) };
        let exaone4 = Self { layers: 64, ..Self::of("exaone4", kind) };
        // So many layers have so many roundings that only those of floats are small.
        let deep = (kind == TensorType::F32).then_some(("exaone4 with windows", exaone4));
        let variants = [
            ("llama with experts", Self { experts: 5, experts_used: 2, ..Self::of("llama", kind) }),
            ("llama with yarn", scaled("llama", Scaling::Yarn)),
            ("gemma2 with yarn", scaled("gemma2", Scaling::Yarn)),
            ("phi3 in a long context", scaled("phi3", Scaling::Long { original: 64 })),
            ("phi3 that could be longer", scaled("phi3", Scaling::Long { original: 256 })),
            ("llama in a long context", scaled("llama", Scaling::Long { original: 64 })),
            ("llama that could be longer", scaled("llama", Scaling::Long { original: 256 })),
            ("mistral3 with yarn", scaled("mistral3", Scaling::Yarn)),
            ("olmo2 with windows and yarn", olmo3),
            ("mamba with norms", Self { normed: true, ..Self::of("mamba", kind) }),
            ("minicpm3 in a long context", scaled("minicpm3", Scaling::Long { original: 64 })),
            ("minicpm3 that could be longer", scaled("minicpm3", Scaling::Long { original: 256 })),
        ];
        variants.into_iter().chain(deep).collect()
    }

    /// The metadata of its family.
    pub(super) fn constants(&self, file: &mut Writer, head: u32) {
        let key = |name: &str| format!("{}.{name}", self.architecture);
        let olmo3 = self.architecture == "olmo2" && self.scaling == Scaling::Yarn;
        if olmo3 || matches!(self.architecture, "gemma2" | "gemma3" | "phi3" | "exaone4") {
            file.set(&key("attention.sliding_window"), Meta::U32(24));
        }
        if olmo3 {
            let windowed = (0..self.layers).map(|layer| layer != 1).collect();
            file.set(&key("attention.sliding_window_pattern"), Meta::Bools(windowed));
        }
        if self.experts > 0 {
            file.set(&key("expert_count"), Meta::U32(self.experts))
                .set(&key("expert_used_count"), Meta::U32(self.experts_used));
        }
        match self.architecture {
            "qwen3moe" => {
                // The first is that of a block that no layer has.
                file.set(&key("feed_forward_length"), Meta::U32(3 * self.feed_forward))
                    .set(&key("expert_feed_forward_length"), Meta::U32(self.feed_forward));
            }
            "gemma2" => {
                file.set(&key("attn_logit_softcapping"), Meta::F32(5.0));
                file.set(&key("final_logit_softcapping"), Meta::F32(3.0));
            }
            "granite" => {
                for (name, scale) in
                    [("embedding_scale", 3.0), ("residual_scale", 0.4), ("attention.scale", 0.2), ("logit_scale", 2.0)]
                {
                    file.set(&key(name), Meta::F32(scale));
                }
            }
            "mistral3" => {
                for (name, number) in [
                    ("attention.temperature_scale", 0.5),
                    ("rope.scaling.yarn_beta_fast", 4.0),
                    ("rope.scaling.yarn_beta_slow", 0.5),
                    ("rope.scaling.yarn_log_multiplier", 0.7),
                ] {
                    file.set(&key(name), Meta::F32(number));
                }
            }
            "minicpm3" => {
                let [query, shared] = self.ranks();
                file.set(&key("attention.key_length"), Meta::U32(head + self.turned(head)))
                    .set(&key("attention.q_lora_rank"), Meta::U32(query))
                    .set(&key("attention.kv_lora_rank"), Meta::U32(shared));
            }
            "mamba" => {
                let [channels, window, state, rank] = self.channels();
                // As its files have them.
                for (name, number) in [
                    ("feed_forward_length", 0),
                    ("attention.head_count", 0),
                    ("ssm.inner_size", channels),
                    ("ssm.conv_kernel", window),
                    ("ssm.state_size", state),
                    ("ssm.time_step_rank", rank),
                ] {
                    file.set(&key(name), Meta::U32(number));
                }
                for name in ["attention.head_count_kv", "rope.dimension_count", "rope.freq_base"] {
                    file.unset(&key(name));
                }
                file.set(&key("ssm.dt_b_c_rms"), Meta::Bool(self.normed));
            }
            "gemma3" => {
                file.set(&key("rope.scaling.type"), Meta::Text("linear".into()));
                file.set(&key("rope.scaling.factor"), Meta::F32(8.0));
            }
            _ => {}
        }
        if self.architecture == "qwen2vl" {
            // Of pairs of a head: those that turn with time, with the row and with the column.
            let [time, row] = [head / 8, 3 * head / 16].map(|pairs| pairs as i32);
            let sections = vec![time, row, head as i32 / 2 - time - row, 0];
            file.set(&key("rope.dimension_sections"), Meta::I32s(sections));
        }
        match self.scaling {
            Scaling::None => {}
            Scaling::Yarn => {
                file.set(&key("rope.scaling.type"), Meta::Text("yarn".into()))
                    .set(&key("rope.scaling.factor"), Meta::F32(4.0))
                    .set(&key("rope.scaling.attn_factor"), Meta::F32(0.9))
                    .set(&key("rope.scaling.original_context_length"), Meta::U32(self.context / 4));
            }
            Scaling::Long { original } => {
                file.set(&key("rope.scaling.type"), Meta::Text("longrope".into()))
                    .set(&key("rope.scaling.attn_factor"), Meta::F32(1.1))
                    .set(&key("rope.scaling.original_context_length"), Meta::U32(original));
            }
        }
    }

    /// Makes the embeddings of tokens say which experts they pass through, in one number for each expert: would other numbers
    /// decide, some token would lie so near the edge that rounding sends it elsewhere, and to another result.
    pub(super) fn lean(&self, embeddings: &mut [f32]) {
        for (token, embedding) in embeddings.chunks_exact_mut(self.width as usize).enumerate() {
            for (expert, number) in embedding[..self.experts as usize].iter_mut().enumerate() {
                let place = (token as u32 + expert as u32) % self.experts;
                *number = if place < self.experts_used { 5.0 - place as f32 / 2.0 } else { -5.0 };
            }
        }
    }

    /// What reads that.
    pub(super) fn router(&self, file: &mut Writer, layer: u32) {
        if self.experts > 0 {
            let place = |index: u32| if index / self.width == index % self.width { 0.6 } else { 0.0 };
            let weights: Vec<f32> = (0..self.experts * self.width).map(place).collect();
            let dims = [self.width, self.experts].map(u64::from);
            let name = format!("blk.{layer}.ffn_gate_inp.weight");
            file.tensor(&name, TensorType::F32, &dims, quantise(TensorType::F32, &weights));
        }
    }

    /// The norms of what the blocks of a layer read.
    pub(super) fn input_norms(&self) -> &'static [&'static str] {
        match self.architecture {
            "olmo2" | "exaone4" => &[],
            "mamba" => &["attn_norm"],
            _ => &["attn_norm", "ffn_norm"],
        }
    }

    /// How many numbers of a head turn.
    pub(super) fn turned(&self, head: u32) -> u32 {
        match self.architecture {
            "phi3" => head / 4 * 3,
            "minicpm3" => head / 2,
            _ => head,
        }
    }

    /// How many numbers queries of all heads are made of, and keys and values, where heads share those. They are rows of matrices.
    fn ranks(&self) -> [u32; 2] {
        let row = self.kind.block_len().max(32) as u32;
        [2 * row, row]
    }

    /// Channels of a layer that keeps states, how many of the last values of each are mixed, numbers of a state, and how many steps
    /// are made of, which are rows of matrices.
    fn channels(&self) -> [u32; 4] {
        [2 * self.width, 4, 16, self.kind.block_len().max(32) as u32]
    }

    /// What such a layer has beside matrices that are multiplied with, and vectors: by how much channels are multiplied, and what
    /// states decay by, which is below zero.
    pub(super) fn states(&self, file: &mut Writer, rng: &mut ChaCha8Rng, layer: u32) {
        if self.architecture != "mamba" {
            return;
        }
        let [channels, window, state, _] = self.channels();
        random(file, rng, &format!("blk.{layer}.ssm_conv1d.weight"), &[window, channels], 0.0, 0.8);
        random(file, rng, &format!("blk.{layer}.ssm_a"), &[state, channels], -2.0, 1.9);
    }

    /// The matrices of a layer: numbers of a row, and rows.
    pub(super) fn matrices(&self, head: u32) -> Vec<(&'static str, u32, u32)> {
        if self.architecture == "mamba" {
            let [channels, _, state, rank] = self.channels();
            return vec![
                ("ssm_in", self.width, 2 * channels),
                ("ssm_x", channels, rank + 2 * state),
                ("ssm_dt", rank, channels),
                ("ssm_out", channels, self.width),
            ];
        }
        let (width, inner) = (self.width, self.feed_forward);
        let (queries, keys) = (self.heads * head, self.kv_heads * head);
        let usual = vec![("ffn_gate", width, inner), ("ffn_up", width, inner)];
        let (attention, feed_forward) = match self.architecture {
            "minicpm3" => {
                let ([query, shared], turned) = (self.ranks(), self.turned(head));
                let matrices = vec![
                    ("attn_q_a", width, query),
                    ("attn_q_b", query, self.heads * (head + turned)),
                    ("attn_kv_a_mqa", width, shared + turned),
                    ("attn_kv_b", shared, self.heads * 2 * head),
                ];
                (matrices, usual)
            }
            "phi3" => (vec![("attn_qkv", width, queries + 2 * keys)], vec![("ffn_up", width, 2 * inner)]),
            _ => (vec![("attn_q", width, queries), ("attn_k", width, keys), ("attn_v", width, keys)], usual),
        };
        let output = vec![("attn_output", queries, width)];
        let feed_forward = match self.experts {
            0 => [feed_forward, vec![("ffn_down", inner, width)]].concat(),
            experts => vec![
                ("ffn_gate_exps", width, inner * experts),
                ("ffn_up_exps", width, inner * experts),
                ("ffn_down_exps", inner, width * experts),
            ],
        };
        [attention, output, feed_forward].concat()
    }

    /// What a layer has beside those of llama: its length, and what its numbers lie around.
    pub(super) fn beside(&self, head: u32) -> Vec<(&'static str, u32, f32)> {
        let (queries, keys, width) = (self.heads * head, self.kv_heads * head, self.width);
        let head_norms = [("attn_q_norm.weight", head, 1.0), ("attn_k_norm.weight", head, 1.0)];
        let row_norms = [("attn_q_norm.weight", queries, 1.0), ("attn_k_norm.weight", keys, 1.0)];
        let block_norms = [("post_attention_norm.weight", width, 1.0), ("post_ffw_norm.weight", width, 1.0)];
        match self.architecture {
            "mamba" => {
                let [channels, ..] = self.channels();
                // Steps of a twentieth, one more and one less.
                vec![("ssm_conv1d.bias", channels, 0.0), ("ssm_dt.bias", channels, -3.0), ("ssm_d", channels, 1.0)]
            }
            "minicpm3" => {
                let [query, shared] = self.ranks();
                vec![("attn_q_a_norm.weight", query, 1.0), ("attn_kv_a_norm.weight", shared, 1.0)]
            }
            "qwen2" => vec![("attn_q.bias", queries, 0.0), ("attn_k.bias", keys, 0.0), ("attn_v.bias", keys, 0.0)],
            "qwen3" | "qwen3moe" => head_norms.to_vec(),
            "gemma2" => block_norms.to_vec(),
            "gemma3" | "exaone4" => [head_norms, block_norms].concat(),
            "olmo2" => [row_norms, block_norms].concat(),
            _ => Vec::new(),
        }
    }
}
