//! A BERT-shaped model with random weights and a vocabulary of word pieces: one that reads and writes nothing.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{Meta, Writer, llama::random};

/// What to build.
#[derive(Clone, Debug)]
pub struct Bert {
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Heads.
    pub heads: u32,
    /// Context window in tokens.
    pub context: u32,
    /// How the tokens of a text become one: GGUF's number, and 4 for a model with a head that scores. Not said if `None`.
    pub pooling: Option<u32>,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for Bert {
    fn default() -> Self {
        Self { layers: 2, width: 64, heads: 4, context: 128, pooling: Some(2), seed: 1 }
    }
}

const WORDS: [&str; 7] = ["▁the", "▁model", "▁licence", "▁hello", "ing", "er", "▁is"];

impl Bert {
    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        self.writer().finish()
    }

    /// The file in the making, for tests that damage it or add to it.
    pub fn writer(&self) -> Writer {
        let mut file = Writer::default();
        file.set("general.architecture", Meta::Text("bert".into()))
            .set("general.name", Meta::Text("random".into()))
            .set("general.license", Meta::Text("mit".into()))
            .set("bert.context_length", Meta::U32(self.context))
            .set("bert.embedding_length", Meta::U32(self.width))
            .set("bert.block_count", Meta::U32(self.layers))
            .set("bert.feed_forward_length", Meta::U32(self.width * 2))
            .set("bert.attention.head_count", Meta::U32(self.heads))
            .set("bert.attention.layer_norm_epsilon", Meta::F32(1e-12))
            .set("bert.attention.causal", Meta::Bool(false));
        if let Some(pooling) = self.pooling {
            file.set("bert.pooling_type", Meta::U32(pooling));
        }
        let vocabulary = vocabulary(&mut file);
        self.weights(&mut file, vocabulary);
        file
    }

    fn weights(&self, file: &mut Writer, vocabulary: u32) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let (width, inner) = (self.width, self.width * 2);
        let mut add = |name: String, dims: &[u32], around: f32, scale: f32| {
            random(file, &mut rng, &name, dims, around, scale);
        };
        let mut matrix = |name: &str, row: u32, rows: u32| {
            add(format!("{name}.weight"), &[row, rows], 0.0, (3.0 / row as f32).sqrt());
            add(format!("{name}.bias"), &[rows], 0.0, 0.1);
        };
        for layer in 0..self.layers {
            for (name, row, rows) in [
                ("attn_q", width, width),
                ("attn_k", width, width),
                ("attn_v", width, width),
                ("attn_output", width, width),
                ("ffn_up", width, inner),
                ("ffn_down", inner, width),
            ] {
                matrix(&format!("blk.{layer}.{name}"), row, rows);
            }
        }
        if self.pooling == Some(4) {
            matrix("cls", width, width);
            matrix("cls.output", width, 1);
        }
        for (name, rows) in [("token_embd", vocabulary), ("token_types", 2), ("position_embd", self.context)] {
            add(format!("{name}.weight"), &[width, rows], 0.0, 1.0);
        }
        let norms = (0..self.layers).flat_map(|layer| ["attn_output_norm", "layer_output_norm"].map(|n| (layer, n)));
        let norms = norms.map(|(layer, name)| format!("blk.{layer}.{name}"));
        for name in norms.chain(["token_embd_norm".to_owned()]) {
            add(format!("{name}.weight"), &[width], 1.0, 0.1);
            add(format!("{name}.bias"), &[width], 0.0, 0.1);
        }
    }
}

/// Writes the vocabulary and answers with its size. Its unknown token is a control token, as in files of such models.
fn vocabulary(file: &mut Writer) -> u32 {
    let mut tokens: Vec<(String, i32)> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(|name| (name.to_owned(), 3)).to_vec();
    tokens.extend(WORDS.map(|word| (word.to_owned(), 1)));
    for letter in (b'a'..=b'z').map(char::from) {
        tokens.extend([(letter.to_string(), 1), (format!("▁{letter}"), 1)]);
    }
    tokens.extend("0123456789.,?!".chars().map(|sign| (format!("▁{sign}"), 1)));
    file.set("tokenizer.ggml.model", Meta::Text("bert".into()))
        .set("tokenizer.ggml.tokens", Meta::Texts(tokens.iter().map(|t| t.0.clone()).collect()))
        .set("tokenizer.ggml.token_type", Meta::I32s(tokens.iter().map(|t| t.1).collect()))
        .set("tokenizer.ggml.token_type_count", Meta::U32(2));
    for (name, id) in [("padding", 0), ("unknown", 1), ("bos", 2), ("cls", 2), ("seperator", 3), ("mask", 4)] {
        file.set(&format!("tokenizer.ggml.{name}_token_id"), Meta::U32(id));
    }
    tokens.len() as u32
}
