//! A projector with random weights, which makes pictures into what a llama-shaped model reads.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{Meta, Writer, llama::random};

/// How the encoder's patches become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// As LLaVA does: a token a patch, each attending to those before it.
    Llava,
    /// As Gemma 3 does: a token for two by two patches, and in the model each attends to all.
    Gemma3,
    /// As Qwen2-VL does: a token for two by two patches, of as many patches as the picture has room for.
    Qwen2,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Clip {
    /// How patches become tokens.
    pub projection: Projection,
    /// Layers.
    pub layers: u32,
    /// Width of the encoder.
    pub width: u32,
    /// Heads.
    pub heads: u32,
    /// Pixels of a picture's side, once it is cut.
    pub image: u32,
    /// Pixels of a patch's side.
    pub patch: u32,
    /// Width of the model that reads.
    pub reader: u32,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for Clip {
    fn default() -> Self {
        Self { projection: Projection::Llava, layers: 2, width: 32, heads: 2, image: 24, patch: 4, reader: 64, seed: 1 }
    }
}

impl Clip {
    /// Tokens of a picture, without the marks around it, where all pictures have as many.
    pub fn tokens(&self) -> u32 {
        let patches = (self.image / self.patch).pow(2);
        match self.projection {
            Projection::Llava => patches,
            Projection::Gemma3 | Projection::Qwen2 => patches / 4,
        }
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        self.writer().finish()
    }

    /// The file in the making, for tests that damage it or add to it.
    pub fn writer(&self) -> Writer {
        let mut file = Writer::default();
        let name = match self.projection {
            Projection::Llava => "mlp",
            Projection::Gemma3 => "gemma3",
            Projection::Qwen2 => "qwen2vl_merger",
        };
        file.set("general.architecture", Meta::Text("clip".into()))
            .set("general.name", Meta::Text("random".into()))
            .set("clip.has_vision_encoder", Meta::Bool(true))
            .set("clip.projector_type", Meta::Text(name.into()))
            .set("clip.use_gelu", Meta::Bool(true))
            .set("clip.vision.image_size", Meta::U32(self.image))
            .set("clip.vision.patch_size", Meta::U32(self.patch))
            .set("clip.vision.embedding_length", Meta::U32(self.width))
            .set("clip.vision.feed_forward_length", Meta::U32(self.width * 2))
            .set("clip.vision.block_count", Meta::U32(self.layers))
            .set("clip.vision.attention.head_count", Meta::U32(self.heads))
            .set("clip.vision.attention.layer_norm_epsilon", Meta::F32(1e-6))
            .set("clip.vision.projection_dim", Meta::U32(self.reader))
            .set("clip.vision.projector.scale_factor", Meta::U32(2))
            .set("clip.vision.image_mean", Meta::F32s(vec![0.5; 3]))
            .set("clip.vision.image_std", Meta::F32s(vec![0.5; 3]));
        self.weights(&mut file);
        file
    }

    fn weights(&self, file: &mut Writer) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let width = self.width;
        let mut tensor = |file: &mut Writer, name: &str, dims: &[u32], inputs: u32, around: f32| {
            random(file, &mut rng, name, dims, around, (3.0 / inputs as f32).sqrt());
        };
        let (patch, patches) = (self.patch, (self.image / self.patch).pow(2));
        tensor(file, "v.patch_embd.weight", &[patch, patch, 3, width], patch * patch * 3, 0.0);
        if self.projection == Projection::Qwen2 {
            // Of the second of two frames; places are turned, and not added.
            tensor(file, "v.patch_embd.weight.1", &[patch, patch, 3, width], patch * patch * 3, 0.0);
        } else {
            tensor(file, "v.patch_embd.bias", &[width], width, 0.0);
            tensor(file, "v.position_embd.weight", &[width, patches], 3, 0.0);
        }
        for layer in 0..self.layers {
            for (name, row, rows) in [
                ("attn_q", width, width),
                ("attn_k", width, width),
                ("attn_v", width, width),
                ("attn_out", width, width),
                ("ffn_up", width, width * 2),
                ("ffn_down", width * 2, width),
            ] {
                tensor(file, &format!("v.blk.{layer}.{name}.weight"), &[row, rows], row, 0.0);
                tensor(file, &format!("v.blk.{layer}.{name}.bias"), &[rows], 300, 0.0);
            }
            for name in ["ln1", "ln2"] {
                tensor(file, &format!("v.blk.{layer}.{name}.weight"), &[width], 300, 1.0);
                tensor(file, &format!("v.blk.{layer}.{name}.bias"), &[width], 300, 0.0);
            }
        }
        match self.projection {
            Projection::Llava => {
                tensor(file, "mm.0.weight", &[width, self.reader], width, 0.0);
                tensor(file, "mm.0.bias", &[self.reader], 300, 0.0);
                tensor(file, "mm.2.weight", &[self.reader, self.reader], self.reader, 0.0);
                tensor(file, "mm.2.bias", &[self.reader], 300, 0.0);
            }
            Projection::Qwen2 => {
                tensor(file, "v.post_ln.weight", &[width], 300, 1.0);
                tensor(file, "v.post_ln.bias", &[width], 300, 0.0);
                tensor(file, "mm.0.weight", &[width * 4, width * 4], width * 4, 0.0);
                tensor(file, "mm.0.bias", &[width * 4], 300, 0.0);
                tensor(file, "mm.2.weight", &[width * 4, self.reader], width * 4, 0.0);
                tensor(file, "mm.2.bias", &[self.reader], 300, 0.0);
            }
            Projection::Gemma3 => {
                tensor(file, "v.post_ln.weight", &[width], 300, 1.0);
                tensor(file, "v.post_ln.bias", &[width], 300, 0.0);
                // The other way than all others.
                tensor(file, "mm.input_projection.weight", &[self.reader, width], width, 0.0);
                tensor(file, "mm.soft_emb_norm.weight", &[width], 300, 1.0);
            }
        }
    }
}
