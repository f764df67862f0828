//! A llama-shaped model with random weights and a small vocabulary.

mod family;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    generate::{self, unit},
    gguf::TensorType,
};

use super::{Meta, Writer, quantise, quantise::quantises};

/// Which tokenizer the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// SentencePiece-like: bytes, letters, a few words with scores.
    Spm,
    /// Byte-level BPE: bytes and a few merges, split as GPT-2 does.
    Bpe,
}

/// How positions were stretched to a longer context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// Four times, by YaRN.
    Yarn,
    /// By LongRoPE, which has divisors for contexts of so many tokens at most, and others beyond.
    Long {
        /// The longest of the shorter ones.
        original: u32,
    },
}

/// What to build. Sizes must suit `kind`: rows of a K-quant are multiples of 256.
#[derive(Clone, Debug)]
pub struct Llama {
    /// `llama`, or one that differs from it in what each layer has beside and in constants ([`Llama::of`]).
    pub architecture: &'static str,
    /// Type of the matrices; norms are always F32. Of one without a quantiser here, blocks are filled at random.
    pub kind: TensorType,
    /// Type of the matrices that a mix such as Q4_K_M gives more bits; none for one type throughout.
    pub finer: Option<TensorType>,
    /// Layers.
    pub layers: u32,
    /// Layers behind those, of `llama` alone, that compute as others do and add nothing: it answers to the bit what it answers
    /// without them, and takes longer.
    pub idle_layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of the feed-forward layer.
    pub feed_forward: u32,
    /// Experts of a layer; with none, one feed-forward block.
    pub experts: u32,
    /// Experts that a token passes through.
    pub experts_used: u32,
    /// Context window in tokens.
    pub context: u32,
    /// How the context was stretched.
    pub scaling: Scaling,
    /// The tokenizer.
    pub vocabulary: Vocabulary,
    /// Tokens beside those that the tokenizer needs, for vocabularies as large as real ones: each letter by letter of a word.
    pub more_tokens: usize,
    /// Whether the output shares the embedding's weights.
    pub tied: bool,
    /// Of `mamba`, whether what steps are made of is normed, and what states take in and give.
    pub normed: bool,
    /// How far apart the logits are: with 1 nothing is likely, with 12 most often one token is.
    pub sharpness: f32,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for Llama {
    fn default() -> Self {
        Self {
            architecture: "llama",
            kind: TensorType::F32,
            finer: None,
            layers: 2,
            idle_layers: 0,
            width: 64,
            heads: 4,
            kv_heads: 2,
            feed_forward: 96,
            experts: 0,
            experts_used: 0,
            context: 256,
            scaling: Scaling::None,
            vocabulary: Vocabulary::Spm,
            more_tokens: 0,
            tied: false,
            normed: false,
            sharpness: 1.0,
            seed: 1,
        }
    }
}

/// A chat template that shows where turns begin and end.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\n\
    {{ message.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}";

const WORDS: [&str; 12] = ["the", "▁the", "▁a", "▁model", "in", "ing", "▁is", "er", "▁licence", "re", "on", "▁hello"];

impl Llama {
    /// The shape of the 1.1 B models that the field measures with, as Q4_K_M, except for a small vocabulary.
    pub fn billion() -> Self {
        Self {
            kind: TensorType::Q4_K,
            finer: Some(TensorType::Q6_K),
            layers: 22,
            width: 2_048,
            heads: 32,
            kv_heads: 4,
            feed_forward: 5_632,
            context: 2_048,
            ..Self::default()
        }
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        self.writer().finish()
    }

    /// The file in the making, for tests that damage it or add to it.
    pub fn writer(&self) -> Writer {
        let mut file = Writer::default();
        let head = self.width / self.heads;
        let key = |name: &str| format!("{}.{name}", self.architecture);
        file.set("general.architecture", Meta::Text(self.architecture.into()))
            .set("general.name", Meta::Text("random".into()))
            .set("general.license", Meta::Text("apache-2.0".into()))
            .set("general.base_model.count", Meta::U32(2))
            .set("general.base_model.0.repo_url", Meta::Text("https://huggingface.co/acme/base".into()))
            .set("general.base_model.1.name", Meta::Text("Some other".into()))
            .set(&key("context_length"), Meta::U32(self.context))
            .set(&key("embedding_length"), Meta::U32(self.width))
            .set(&key("block_count"), Meta::U32(self.layers + self.idle_layers))
            .set(&key("feed_forward_length"), Meta::U32(self.feed_forward))
            .set(&key("attention.head_count"), Meta::U32(self.heads))
            .set(&key("attention.head_count_kv"), Meta::U32(self.kv_heads))
            .set(&key("attention.layer_norm_rms_epsilon"), Meta::F32(1e-5))
            .set(&key("rope.dimension_count"), Meta::U32(self.turned(head)))
            .set(&key("rope.freq_base"), Meta::F32(if self.architecture == "gemma3" { 1e6 } else { 1e4 }));
        self.constants(&mut file, head);
        let vocabulary = match self.vocabulary {
            Vocabulary::Spm => spm(&mut file, self.more_tokens),
            Vocabulary::Bpe => bpe(&mut file, self.more_tokens),
        };
        file.set(&key("vocab_size"), Meta::U32(vocabulary)).set("tokenizer.chat_template", Meta::Text(TEMPLATE.into()));
        self.weights(&mut file, vocabulary, head);
        file
    }

    /// An adapter (LoRA) that fits it, of this rank.
    pub fn adapter(&self, rank: u32, seed: u64) -> Writer {
        let mut file = Writer::default();
        file.set("general.architecture", Meta::Text("llama".into()))
            .set("general.type", Meta::Text("adapter".into()))
            .set("adapter.type", Meta::Text("lora".into()))
            .set("adapter.lora.alpha", Meta::F32(2.0 * rank as f32));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Unit variance at the output of a product with unit input.
        let mut matrix = |name: String, row: u32, rows: u32| {
            random(&mut file, &mut rng, &name, &[row, rows], 0.0, (3.0 / row as f32).sqrt());
        };
        for layer in 0..self.layers {
            for (name, row, rows) in self.matrices(self.width / self.heads) {
                let name = format!("blk.{layer}.{name}.weight");
                matrix(format!("{name}.lora_a"), row, rank);
                matrix(format!("{name}.lora_b"), rank, rows);
            }
        }
        file
    }

    fn weights(&self, file: &mut Writer, vocabulary: u32, head: u32) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let width = self.width;
        let mut matrix = |file: &mut Writer, name: &str, row: u32, rows: u32| {
            // Unit variance at the output of a product with unit input; the embedding itself has unit variance.
            let scale = if name == "token_embd.weight" { 3f32.sqrt() } else { (3.0 / row as f32).sqrt() };
            let mut weights: Vec<f32> = (0..row * rows).map(|_| unit(&mut rng) * scale).collect();
            let mut dims = vec![u64::from(row), u64::from(rows)];
            if name.contains("_exps.") {
                dims = vec![u64::from(row), u64::from(rows / self.experts), u64::from(self.experts)];
            }
            if name == "token_embd.weight" {
                self.lean(&mut weights);
            }
            let is_finer = name == "output.weight" || generate::has_more_bits(name, self.layers);
            let (kind, data) = match self.finer.filter(|_| is_finer).unwrap_or(self.kind) {
                kind if quantises(kind) => (kind, quantise(kind, &weights)),
                // What experts are chosen by is no noise.
                _ if self.experts > 0 && name == "token_embd.weight" => {
                    (TensorType::Q8_0, quantise(TensorType::Q8_0, &weights))
                }
                kind => {
                    let mut data = vec![0; weights.len() / kind.block_len() * kind.block_bytes()];
                    generate::fill(kind, &mut rng, scale / 3f32.sqrt(), &mut data);
                    (kind, data)
                }
            };
            file.tensor(name, kind, &dims, data);
        };
        matrix(file, "token_embd.weight", width, vocabulary);
        for layer in 0..self.layers {
            for (name, row, rows) in self.matrices(head) {
                matrix(file, &format!("blk.{layer}.{name}.weight"), row, rows);
            }
            self.router(file, layer);
        }
        if !self.tied {
            matrix(file, "output.weight", width, vocabulary);
        }
        for layer in 0..self.layers {
            for name in self.input_norms() {
                random(file, &mut rng, &format!("blk.{layer}.{name}.weight"), &[width], 1.0, 0.1);
            }
        }
        random(file, &mut rng, "output_norm.weight", &[width], self.sharpness, 0.1 * self.sharpness);
        if let Scaling::Long { .. } = self.scaling {
            for (name, around) in [("short", 1.5), ("long", 6.0)] {
                let name = format!("rope_factors_{name}.weight");
                random(file, &mut rng, &name, &[self.turned(head) / 2], around, around / 3.0);
            }
        }
        for layer in 0..self.layers {
            for (name, len, around) in self.beside(head) {
                random(file, &mut rng, &format!("blk.{layer}.{name}"), &[len], around, 0.3);
            }
            self.states(file, &mut rng, layer);
        }
        for layer in self.layers..self.layers + self.idle_layers {
            for (name, row, rows) in self.matrices(head) {
                let scale = if matches!(name, "attn_output" | "ffn_down") { 0.0 } else { (3.0 / row as f32).sqrt() };
                let weights: Vec<f32> = (0..row * rows).map(|_| unit(&mut rng) * scale).collect();
                let name = format!("blk.{layer}.{name}.weight");
                file.tensor(&name, self.kind, &[row.into(), rows.into()], quantise(self.kind, &weights));
            }
            for name in self.input_norms() {
                random(file, &mut rng, &format!("blk.{layer}.{name}.weight"), &[width], 1.0, 0.1);
            }
        }
    }
}

/// Adds a tensor of F32 whose numbers are at most `scale` off one.
pub(super) fn random(file: &mut Writer, rng: &mut ChaCha8Rng, name: &str, dims: &[u32], around: f32, scale: f32) {
    random_of(TensorType::F32, file, rng, name, dims, around, scale);
}

/// The same of a type.
pub(super) fn random_of(
    kind: TensorType,
    file: &mut Writer,
    rng: &mut ChaCha8Rng,
    name: &str,
    dims: &[u32],
    around: f32,
    scale: f32,
) {
    let weights: Vec<f32> = (0..dims.iter().product::<u32>()).map(|_| around + unit(rng) * scale).collect();
    let dims: Vec<u64> = dims.iter().copied().map(u64::from).collect();
    file.tensor(name, kind, &dims, quantise(kind, &weights));
}

/// Words of capital letters that grow by a letter: each is an earlier one, or none, and a letter.
fn grown(count: usize) -> Vec<(String, char)> {
    let mut words: Vec<(String, char)> = ('A'..='Z').map(|letter| (String::new(), letter)).collect();
    for index in 0.. {
        if words.len() >= count + 26 {
            break;
        }
        let (begin, letter) = &words[index];
        let word = format!("{begin}{letter}");
        words.extend(('A'..='Z').map(|letter| (word.clone(), letter)));
    }
    words.truncate(count + 26);
    words.split_off(26)
}

/// Writes the vocabulary and answers with its size.
fn spm(file: &mut Writer, more: usize) -> u32 {
    let mut tokens: Vec<(String, f32, i32)> =
        vec![("<unk>".into(), 0.0, 2), ("<s>".into(), 0.0, 3), ("</s>".into(), 0.0, 3)];
    tokens.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    // Longer pieces score higher, so that merges prefer them.
    tokens.extend(WORDS.iter().map(|word| (word.to_string(), -20.0 + word.chars().count() as f32, 1)));
    tokens.extend(["th", "he", "▁t", "▁l", "▁h", "mo"].map(|pair| (pair.into(), -30.0, 1)));
    tokens.push(("▁".into(), -40.0, 1));
    tokens.extend((b'!'..=b'~').map(|byte| (char::from(byte).to_string(), -50.0, 1)));
    tokens.extend(grown(more).into_iter().map(|(begin, letter)| (format!("{begin}{letter}"), -60.0, 1)));
    file.set("tokenizer.ggml.model", Meta::Text("llama".into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(tokens.iter().map(|t| t.0.clone()).collect()))
        .set("tokenizer.ggml.scores", Meta::F32s(tokens.iter().map(|t| t.1).collect()))
        .set("tokenizer.ggml.token_type", Meta::I32s(tokens.iter().map(|t| t.2).collect()))
        .set("tokenizer.ggml.unknown_token_id", Meta::U32(0))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(1))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(2));
    tokens.len() as u32
}

fn bpe(file: &mut Writer, more: usize) -> u32 {
    let merges = ["t h", "th e", "Ġ the", "i n", "in g", "Ġ a", "e r", "h e", "Ġ m", "l l", "he ll", "hell o"];
    let grown = grown(more).into_iter().map(|(begin, letter)| format!("{begin} {letter}"));
    let merges: Vec<String> = merges.map(str::to_owned).into_iter().chain(grown).collect();
    let mut tokens: Vec<(String, i32)> = vec![("<s>".into(), 3), ("</s>".into(), 3)];
    tokens.extend((0..=255).map(|byte| (crate::tokenizer::byte_char(byte).to_string(), 1)));
    tokens.extend(merges.iter().map(|merge| (merge.replace(' ', ""), 1)));
    file.set("tokenizer.ggml.model", Meta::Text("gpt2".into()))
        .set("tokenizer.ggml.pre", Meta::Text("gpt-2".into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(tokens.iter().map(|t| t.0.clone()).collect()))
        .set("tokenizer.ggml.token_type", Meta::I32s(tokens.iter().map(|t| t.1).collect()))
        .set("tokenizer.ggml.merges", Meta::Texts(merges))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(0))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(1));
    tokens.len() as u32
}
