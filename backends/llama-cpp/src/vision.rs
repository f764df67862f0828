//! Pictures: mtmd, llama.cpp's library for what is not text, between the file of a picture and the model's cells.
//!
//! A picture's file is decoded in Rust ([`engine::pixels`]); mtmd gets pixels. Cutting them
//! up as the model wants them gives chunks, some of text (the marks around a picture), and how many tokens they are: that is
//! on callers' threads. Computing them - the encoder, then the model over what that makes - is on the thread that owns the
//! context, of a whole picture at once. Both take the one lock: mtmd may cut while it encodes, but its bindings do not say so.
//! So a caller may wait for an encoder, and an encoder for some ten milliseconds of cutting.
//!
//! Knows nothing of prompts and where they come from.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use engine::{Halt, Seen, Vision, gguf::File, pixels};
use image::RgbImage;
use llama_cpp_2::{
    context::LlamaContext,
    model::LlamaModel,
    mtmd::{
        MtmdBitmap, MtmdContext, MtmdContextParams, MtmdEvalError, MtmdInputChunkType, MtmdInputChunks, MtmdInputText,
        mtmd_default_marker,
    },
};

use crate::LoadError;

/// The side of a picture that takes as many tokens as any, for what cuts large ones down.
const LARGE: u32 = 2_048;
/// Kinds of projectors that read a picture otherwise behind others, or at another place: here each is cut by itself.
const RELATIVE: [&str; 2] = ["deepseek4v", "hunyuanvl"];
/// The key of a projector's kind.
const PROJECTION: &str = "clip.projector_type";
/// What llama.cpp returns where it was asked to stop.
const ABORTED: i32 = 2;

/// A model's projector: the part that makes pictures into what the model reads.
pub(crate) struct Projector {
    // It points into the model, and is let go of first.
    mtmd: Mutex<MtmdContext>,
    _model: Arc<LlamaModel>,
    /// Held while a picture is decoded, so that there is one set of pixels at a time.
    decoding: Mutex<()>,
    /// Tokens of the largest picture, where each of its tokens attends to all of them: so many must fit in a pass.
    whole: Option<usize>,
    /// Whether a picture takes fewer positions than tokens (M-RoPE).
    in_two_directions: bool,
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Projector")
    }
}

impl Projector {
    /// Loads a projector for a model.
    ///
    /// # Errors
    /// When it is none, or not this model's.
    pub(crate) fn load(path: &Path, model: &Arc<LlamaModel>, threads: usize, gpu: bool) -> Result<Self, LoadError> {
        let refused = |reason: &str| LoadError::Projector { path: PathBuf::from(path), reason: reason.to_owned() };
        // llama.cpp trusts a file where it should not.
        let file = File::open(path).map_err(|source| LoadError::ProjectorFile { path: path.to_owned(), source })?;
        if file.get::<&str>("general.architecture").ok().flatten() != Some("clip") {
            return Err(refused("it is no projector: its `general.architecture` is not `clip`"));
        }
        let name = path.to_str().ok_or_else(|| refused("its path is not in UTF-8"))?;
        let params = MtmdContextParams {
            use_gpu: gpu,
            print_timings: false,
            n_threads: i32::try_from(threads).unwrap_or(i32::MAX),
            ..MtmdContextParams::default()
        };
        let mtmd = MtmdContext::init_from_file(name, model, &params)
            .map_err(|_| refused("llama.cpp cannot load it for this model; the log has its own words"))?;
        if !mtmd.support_vision() {
            return Err(refused("it reads no pictures"));
        }
        if let Some(kind) = RELATIVE.iter().find(|kind| file.get::<&str>(PROJECTION).ok().flatten() == Some(kind)) {
            return Err(refused(&format!("`{kind}` reads a picture otherwise behind others, which is not built here")));
        }
        let in_two_directions = mtmd.decode_use_mrope();
        if in_two_directions && (model.is_recurrent() || model.is_hybrid()) {
            return Err(refused(
                "the model keeps a state, and counts places in pictures in two directions: not built here",
            ));
        }
        let whole = mtmd.decode_use_non_causal();
        let mut projector = Self {
            mtmd: Mutex::new(mtmd),
            _model: Arc::clone(model),
            decoding: Mutex::default(),
            whole: None,
            in_two_directions,
        };
        if whole {
            let cut = projector.cut(RgbImage::new(LARGE, LARGE)).map_err(|reason| refused(&reason))?;
            projector.whole = Some(largest(&cut));
        }
        Ok(projector)
    }

    /// Tokens that must fit in one pass of the model, where pictures ask for that.
    pub(crate) fn whole(&self) -> Option<usize> {
        self.whole
    }

    /// Whether a picture may take fewer positions than tokens.
    pub(crate) fn is_in_two_directions(&self) -> bool {
        self.in_two_directions
    }

    /// The positions that a picture takes; `None` of another engine's.
    pub(crate) fn positions(seen: &Seen) -> Option<usize> {
        usize::try_from(seen.content.downcast_ref::<MtmdInputChunks>()?.total_positions()).ok()
    }

    /// Computes a picture for a sequence, from a position on; a pass takes `batch` tokens.
    ///
    /// # Errors
    /// Why it is not computed; of its cells some may be.
    pub(crate) fn compute(
        &self,
        seen: &Seen,
        context: &mut LlamaContext<'_>,
        sequence: i32,
        position: i32,
        batch: i32,
    ) -> Result<(), Halt> {
        let chunks = seen.content.downcast_ref::<MtmdInputChunks>();
        let chunks = chunks.ok_or_else(|| Halt::Failed("a picture of another engine".to_owned()))?;
        match chunks.eval_chunks(&mut self.mtmd(), context, position, sequence, batch, false) {
            Ok(_) => Ok(()),
            Err(MtmdEvalError::EvalFailure(ABORTED)) => Err(Halt::Unwanted),
            Err(error) => Err(Halt::Failed(format!("a picture cannot be computed: {error}"))),
        }
    }

    /// A picture cut up as the model wants it.
    fn cut(&self, pixels: RgbImage) -> Result<MtmdInputChunks, String> {
        let (width, height) = pixels.dimensions();
        let failed = || "cannot be cut into what the model reads".to_owned();
        let bitmap = MtmdBitmap::from_image_data(width, height, pixels.as_raw()).map_err(|_| failed())?;
        drop(pixels);
        let text = MtmdInputText { text: mtmd_default_marker().to_owned(), add_special: false, parse_special: true };
        self.mtmd().tokenize(text, &[&bitmap]).map_err(|_| failed())
    }

    fn mtmd(&self) -> MutexGuard<'_, MtmdContext> {
        self.mtmd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vision for Projector {
    fn see(&self, file: &[u8]) -> Result<Seen, String> {
        let chunks = {
            let _one = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
            self.cut(pixels(file)?)?
        };
        if let Some(most) = self.whole.filter(|most| largest(&chunks) > *most) {
            return Err(format!("takes {} tokens at once, and the model reads at most {most}", largest(&chunks)));
        }
        let tokens = chunks.total_tokens();
        let positions = usize::try_from(chunks.total_positions()).unwrap_or(0);
        let counted = if self.in_two_directions { (1..=tokens).contains(&positions) } else { positions == tokens };
        if tokens == 0 || !counted {
            return Err("is counted by the model in a way that is not built here".to_owned());
        }
        Ok(Seen { tokens, content: Arc::new(chunks) })
    }
}

/// Tokens of the largest chunk that is a picture.
fn largest(chunks: &MtmdInputChunks) -> usize {
    let chunks = (0..chunks.len()).filter_map(|at| chunks.get(at));
    chunks
        .filter(|chunk| chunk.chunk_type() == MtmdInputChunkType::Image)
        .map(|chunk| chunk.n_tokens())
        .max()
        .unwrap_or(0)
}
