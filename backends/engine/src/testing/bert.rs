//! A BERT-shaped model with random weights and a vocabulary of word pieces: one that reads and writes nothing.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{Meta, Writer, llama::random_of};
use crate::gguf::TensorType;

/// What to build.
#[derive(Clone, Debug)]
pub struct Bert {
    /// `bert`, or `nomic-bert`, whose heads turn with their position and whose feed-forward block has a gate.
    pub architecture: &'static str,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Width inside the feed-forward block.
    pub feed_forward: u32,
    /// Heads.
    pub heads: u32,
    /// Context window in tokens.
    pub context: u32,
    /// How the matrices of the layers are stored, and the embedding.
    pub kind: TensorType,
    /// Whether queries, keys and values are one matrix.
    pub fused: bool,
    /// How the tokens of a text become one: GGUF's number, and 4 for a model with a head that scores. Not said if `None`.
    pub pooling: Option<u32>,
    /// Pieces beside the usual ones.
    pub pieces: Vec<String>,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for Bert {
    fn default() -> Self {
        Self {
            architecture: "bert",
            layers: 2,
            width: 64,
            feed_forward: 128,
            heads: 4,
            context: 128,
            kind: TensorType::F32,
            fused: false,
            pooling: Some(2),
            pieces: Vec::new(),
            seed: 1,
        }
    }
}

const WORDS: [&str; 7] = ["▁the", "▁model", "▁licence", "▁hello", "ing", "er", "▁is"];

impl Bert {
    /// The other architecture, as its files have it.
    pub fn nomic() -> Self {
        Self { architecture: "nomic-bert", fused: true, pooling: Some(1), ..Self::default() }
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        self.writer().finish()
    }

    /// The file in the making, for tests that damage it or add to it.
    pub fn writer(&self) -> Writer {
        let mut file = Writer::default();
        let key = |key: &str| format!("{}.{key}", self.architecture);
        file.set("general.architecture", Meta::Text(self.architecture.into()))
            .set("general.name", Meta::Text("random".into()))
            .set("general.license", Meta::Text("mit".into()))
            .set(&key("context_length"), Meta::U32(self.context))
            .set(&key("embedding_length"), Meta::U32(self.width))
            .set(&key("block_count"), Meta::U32(self.layers))
            .set(&key("feed_forward_length"), Meta::U32(self.feed_forward))
            .set(&key("attention.head_count"), Meta::U32(self.heads))
            .set(&key("attention.layer_norm_epsilon"), Meta::F32(1e-12))
            .set(&key("attention.causal"), Meta::Bool(false));
        if self.turns() {
            file.set(&key("rope.freq_base"), Meta::F32(1_000.0));
        }
        if let Some(pooling) = self.pooling {
            file.set(&key("pooling_type"), Meta::U32(pooling));
        }
        let vocabulary = self.vocabulary(&mut file);
        self.weights(&mut file, vocabulary);
        file
    }

    fn turns(&self) -> bool {
        self.architecture == "nomic-bert"
    }

    fn weights(&self, file: &mut Writer, vocabulary: u32) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let (width, inner) = (self.width, self.feed_forward);
        let mut add = |name: String, kind: TensorType, dims: &[u32], around: f32, scale: f32| {
            random_of(kind, file, &mut rng, &name, dims, around, scale);
        };
        let mut matrix = |name: &str, kind: TensorType, row: u32, rows: u32, biased: bool| {
            add(format!("{name}.weight"), kind, &[row, rows], 0.0, (3.0 / row as f32).sqrt());
            if biased {
                add(format!("{name}.bias"), TensorType::F32, &[rows], 0.0, 0.1);
            }
        };
        let attention: &[(&str, u32)] = match self.fused {
            true => &[("attn_qkv", 3 * width)],
            false => &[("attn_q", width), ("attn_k", width), ("attn_v", width)],
        };
        for layer in 0..self.layers {
            let mut matrix =
                |name: &str, row, rows| matrix(&format!("blk.{layer}.{name}"), self.kind, row, rows, !self.turns());
            attention.iter().for_each(|(name, rows)| matrix(name, width, *rows));
            matrix("attn_output", width, width);
            matrix("ffn_up", width, inner);
            if self.turns() {
                matrix("ffn_gate", width, inner);
            }
            matrix("ffn_down", inner, width);
        }
        if self.pooling == Some(4) {
            matrix("cls", TensorType::F32, width, width, true);
            matrix("cls.output", TensorType::F32, width, 1, true);
        }
        add("token_embd.weight".into(), self.kind, &[width, vocabulary], 0.0, 1.0);
        let positions = (!self.turns()).then_some(("position_embd", self.context));
        for (name, rows) in [("token_types", 2)].into_iter().chain(positions) {
            add(format!("{name}.weight"), TensorType::F32, &[width, rows], 0.0, 1.0);
        }
        let norms = (0..self.layers).flat_map(|layer| ["attn_output_norm", "layer_output_norm"].map(|n| (layer, n)));
        let norms = norms.map(|(layer, name)| format!("blk.{layer}.{name}"));
        for name in norms.chain(["token_embd_norm".to_owned()]) {
            add(format!("{name}.weight"), TensorType::F32, &[width], 1.0, 0.1);
            add(format!("{name}.bias"), TensorType::F32, &[width], 0.0, 0.1);
        }
    }

    /// Writes the vocabulary and answers with its size. Its unknown token is a control token, as in files of such models.
    fn vocabulary(&self, file: &mut Writer) -> u32 {
        let mut tokens: Vec<(String, i32)> =
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(|name| (name.to_owned(), 3)).to_vec();
        tokens.extend(WORDS.map(|word| (word.to_owned(), 1)));
        for letter in (b'a'..=b'z').map(char::from) {
            tokens.extend([(letter.to_string(), 1), (format!("▁{letter}"), 1)]);
        }
        tokens.extend("0123456789.,?!".chars().map(|sign| (format!("▁{sign}"), 1)));
        tokens.extend(self.pieces.iter().map(|piece| (piece.clone(), 1)));
        file.set("tokenizer.ggml.model", Meta::Text("bert".into()))
            .set("tokenizer.ggml.tokens", Meta::Texts(tokens.iter().map(|t| t.0.clone()).collect()))
            .set("tokenizer.ggml.token_type", Meta::I32s(tokens.iter().map(|t| t.1).collect()))
            .set("tokenizer.ggml.token_type_count", Meta::U32(2));
        for (name, id) in [("padding", 0), ("unknown", 1), ("bos", 2), ("cls", 2), ("seperator", 3), ("mask", 4)] {
            file.set(&format!("tokenizer.ggml.{name}_token_id"), Meta::U32(id));
        }
        tokens.len() as u32
    }
}
