//! Gemma 3, and how its pictures come to mistralrs.
//!
//! mistralrs takes pictures with a conversation and with nothing else, and makes the prompt of it by template and tokenizer. Both
//! are stand-ins: the one message is the prompt, each token spelled as its number, and a picture is the name of the token that
//! its reader replaces by those of a picture, with an empty line before and behind. White space is nothing to the stand-in, so
//! that what is computed is the tokens that were counted here, neither one more nor one less; the empty lines, which the model was
//! trained with, stand among them as tokens.
//!
//! A picture is decoded and brought to the size that the model reads on callers' threads. mistralrs knows pictures again by a hash of
//! their bytes alone, whatever their sides are, so all that it gets are of one size.
//!
//! Its attention on a CPU gets all but the last of several pictures wrong that are encoded together (see `load`), and those of a
//! prompt are: there a conversation may have one.

use std::sync::{Mutex, PoisonError};

use engine::{Seen, Vision, Writing, tokenizer::Tokenizer};
use image::{DynamicImage, imageops::FilterType};
use mistralrs::{MessageContent, RequestMessage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{LoadError, unfit},
    stand_in::spelled,
};

/// Its classes in `config.json`: without pictures, and with.
pub(crate) const CLASSES: [&str; 2] = ["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"];
/// What mistralrs takes for numbers that `config.json` lacks.
pub(crate) const DEFAULTS: [(&str, usize); 5] = [
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("vocab_size", 262_208),
    ("max_position_embeddings", 131_072),
];
/// Names by which mistralrs finds the tokens of pictures: what begins one, what it consists of, what ends it.
const NAMES: [&str; 3] = ["<start_of_image>", "<image_soft_token>", "<end_of_image>"];
/// Pixels of a side; Gemma 3 has 896.
const MOST_SIDE: u32 = 4_096;
/// Pictures that mistralrs keeps, encoded, whoever sent them.
const KEPT: u64 = 32;
/// Who reads several pictures on a CPU.
const SEVERAL: &str = "on a CPU mistralrs gets several wrong that it computes together; use `engine: llama-cpp` with a GGUF file of \
                       the model and its `mmproj`";
/// Who reads pictures in a way that this does not.
const ELSEWHERE: &str = "`engine: llama-cpp` with a GGUF file of it and its `mmproj`, or a server such as vLLM";

/// How the model's files say that it reads pictures.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    /// Pixels of each side.
    side: u32,
    /// Tokens of a picture, without those around it.
    tokens: usize,
    /// The ids of [`NAMES`].
    ids: [u32; 3],
    mean: [f64; 3],
    deviation: [f64; 3],
    scale: f64,
    /// How pixels are found between pixels, as the files number it.
    resample: u8,
}

impl Eyes {
    /// From `config.json` and `preprocessor_config.json`, for a vocabulary of so many rows.
    ///
    /// # Errors
    /// They say it in another way than this reads.
    pub(crate) fn of(config: &Value, preprocessor: &Value, rows: usize) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Config {
            boi_token_index: u32,
            image_token_index: u32,
            eoi_token_index: u32,
            mm_tokens_per_image: usize,
            vision_config: Sides,
        }
        #[derive(Deserialize)]
        struct Sides {
            image_size: u32,
            patch_size: u32,
        }
        #[derive(Deserialize)]
        struct Preprocessor {
            do_resize: Option<bool>,
            do_rescale: Option<bool>,
            do_normalize: Option<bool>,
            do_pan_and_scan: Option<bool>,
            size: Size,
            image_mean: [f64; 3],
            image_std: [f64; 3],
            rescale_factor: f64,
            resample: u8,
        }
        #[derive(Deserialize)]
        struct Size {
            height: u32,
            width: u32,
        }
        let wrong =
            |file: &str, reason: String| LoadError::Folder { reason: format!("`{file}`, for pictures: {reason}") };
        let config = Config::deserialize(config).map_err(|error| wrong("config.json", error.to_string()))?;
        let Config { boi_token_index, image_token_index, eoi_token_index, mm_tokens_per_image: tokens, vision_config } =
            config;
        let ids = [boi_token_index, image_token_index, eoi_token_index];
        if ids.iter().any(|id| *id as usize >= rows) || ids[0] == ids[1] || ids[1] == ids[2] || ids[0] == ids[2] {
            return Err(wrong("config.json", format!("the tokens {ids:?} are not three of the model's {rows}")));
        }
        let Sides { image_size: side, patch_size } = vision_config;
        if side > MOST_SIDE {
            return Err(wrong("config.json", format!("`image_size` is {side}, expected at most {MOST_SIDE}")));
        }
        // Patches are pooled in squares.
        let (patches, pooled) = (side.checked_div(patch_size).unwrap_or(0) as usize, tokens.isqrt());
        if tokens == 0 || pooled * pooled != tokens || patches == 0 || patches % pooled != 0 {
            let reason = format!("{patches} by {patches} patches do not become {tokens} tokens");
            return Err(wrong("config.json", reason));
        }
        let file = "preprocessor_config.json";
        let read = Preprocessor::deserialize(preprocessor).map_err(|error| wrong(file, error.to_string()))?;
        if read.do_pan_and_scan == Some(true) {
            return unfit("it cuts pictures into several (`do_pan_and_scan`), which is not built here", ELSEWHERE);
        }
        if [read.do_resize, read.do_rescale, read.do_normalize].contains(&Some(false)) {
            return unfit("it leaves out a step of reading a picture (`do_...`), which is not built here", ELSEWHERE);
        }
        if (read.size.height, read.size.width) != (side, side) {
            let reason = format!("its `size` is not {side} by {side}, as `config.json` says");
            return Err(wrong(file, reason));
        }
        filter(read.resample)
            .ok_or_else(|| wrong(file, format!("`resample` is {}, expected 0 to 3", read.resample)))?;
        Ok(Self {
            side,
            tokens,
            ids,
            mean: read.image_mean,
            deviation: read.image_std,
            scale: read.rescale_factor,
            resample: read.resample,
        })
    }

    /// Numbers that are kept of pictures, for a model of this width.
    pub(crate) fn kept(&self, width: usize) -> u64 {
        KEPT.saturating_mul(self.tokens as u64).saturating_mul(width as u64)
    }

    /// The tokens that mistralrs finds by their names.
    pub(crate) fn names(&self) -> [(u32, &'static str); 3] {
        [0, 1, 2].map(|nth| (self.ids[nth], NAMES[nth]))
    }

    /// What mistralrs reads in place of the folder's two files.
    pub(crate) fn files(&self) -> [(&'static str, Value); 2] {
        let side = self.side;
        let preprocessor = json!({
            "do_convert_rgb": true, "do_resize": true, "do_rescale": true, "do_normalize": true,
            "size": {"height": side, "width": side}, "resample": self.resample,
            "image_mean": self.mean, "image_std": self.deviation, "rescale_factor": self.scale,
        });
        [
            ("preprocessor_config.json", preprocessor),
            ("processor_config.json", json!({"image_seq_length": self.tokens})),
        ]
    }
}

/// By the numbers of Pillow, as mistralrs reads them.
fn filter(resample: u8) -> Option<FilterType> {
    [FilterType::Nearest, FilterType::Lanczos3, FilterType::Triangle, FilterType::CatmullRom]
        .get(usize::from(resample))
        .copied()
}

/// Reads pictures for one model.
#[derive(Debug)]
pub(crate) struct Reader {
    eyes: Eyes,
    /// The tokens of an empty line.
    blank: Vec<u32>,
    /// How many pictures a conversation may have.
    most: Option<(usize, &'static str)>,
    /// Held while a picture is decoded, so that there is one set of pixels at a time.
    decoding: Mutex<()>,
}

impl Reader {
    pub(crate) fn new(eyes: Eyes, tokenizer: &Tokenizer, on_cpu: bool) -> Self {
        let most = on_cpu.then_some((1, SEVERAL));
        Self { eyes, blank: tokenizer.encode("\n\n"), most, decoding: Mutex::default() }
    }

    /// A choice whose prompt has pictures, as mistralrs takes it.
    ///
    /// # Errors
    /// The prompt has a token of pictures beside them, which would be taken for one more.
    pub(crate) fn message(&self, writing: &Writing) -> Result<RequestMessage, &'static str> {
        let (prompt, mut text, mut from) = (writing.prompt(), String::new(), 0);
        let mut images = Vec::with_capacity(writing.pictures().len());
        let plain = |text: &mut String, tokens: &[u32]| {
            if tokens.iter().any(|id| self.eyes.ids.contains(id)) {
                return Err("a token of pictures stands in the prompt where there is no picture");
            }
            text.extend(tokens.iter().copied().map(spelled));
            Ok(())
        };
        for picture in writing.pictures() {
            let image = picture.seen.content.downcast_ref::<DynamicImage>().ok_or("a picture of another engine")?;
            plain(&mut text, &prompt[from..picture.at])?;
            plain(&mut text, &self.blank)?;
            text += NAMES[0];
            plain(&mut text, &self.blank)?;
            from = picture.at + picture.seen.tokens;
            images.push(image.clone());
        }
        plain(&mut text, &prompt[from..])?;
        let message = [("role", "user".to_owned()), ("content", text)];
        let message = message.map(|(key, text)| (key.to_owned(), MessageContent::Left(text)));
        Ok(RequestMessage::MultimodalChat {
            images,
            audios: Vec::new(),
            videos: Vec::new(),
            messages: vec![message.into_iter().collect()],
            enable_thinking: None,
            reasoning_effort: None,
        })
    }
}

impl Vision for Reader {
    fn see(&self, file: &[u8]) -> Result<Seen, String> {
        let filter = filter(self.eyes.resample).unwrap_or(FilterType::Triangle);
        let _one = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        let pixels = DynamicImage::ImageRgb8(engine::pixels(file)?);
        let picture = pixels.resize_exact(self.eyes.side, self.eyes.side, filter);
        Ok(Seen { tokens: self.eyes.tokens + 2 + 2 * self.blank.len(), content: std::sync::Arc::new(picture) })
    }

    fn most(&self) -> Option<(usize, &'static str)> {
        self.most
    }
}
