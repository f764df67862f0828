//! Loads a model file and starts the engine that serves it.

mod reading;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, thread};

use backends::BackendId;
use engine::{
    CacheType, DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Engine, Facts, Info, Purpose, Speech,
    encoder::{self, Makes, Pooling},
    gguf::{self, File},
    template::{self, Template},
    tokenizer::{self, Tokenizer},
};
use kernels::Isa;

use crate::{
    draft::{DRAFTED, Draft, DraftError},
    model::{Limits, Model, ModelError, Runner, goes_back},
    packed::{PackedFiles, Place},
    sequences::Sequences,
    texts::Decodes,
};

pub use reading::reads;

/// Where a model comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file. See [`File::open`] on changing it.
    File(PathBuf),
    /// Bytes that are built into the program.
    Builtin(&'static [u8]),
}

/// What an engine may use; `None` chooses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads that compute: all cores if not given.
    pub threads: Option<usize>,
    /// Tokens of prompt and answer: at most what the model was made for; 8,192 if not given. Of a model that only reads, the
    /// tokens of a text; 2,048 if not given.
    pub context: Option<usize>,
    /// Choices that are worked on at once: 8 if not given. Each takes cache for a whole context when it is used.
    pub max_sequences: Option<usize>,
    /// Instruction set: the best of this machine if not given.
    pub isa: Option<Isa>,
    /// The file of an adapter (LoRA) for all that it serves, over a decoder. See [`File::open`] on changing it.
    pub adapter: Option<PathBuf>,
    /// Where packed weights are kept, so that the next start maps them; nowhere if not given. Those of small models and of what is
    /// built into the program are packed at each start, which is as soon done.
    pub packed: Option<PackedFiles>,
    /// What keys and values are kept as: halves if not given.
    pub cache: CacheType,
    /// The file of a draft: a smaller model of the same vocabulary that guesses what it will say, where that pays. It changes no
    /// answer. See [`File::open`] on changing it.
    pub draft: Option<PathBuf>,
}

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read, or is damaged.
    #[error("cannot read the model file")]
    File(#[from] gguf::Error),
    /// Its weights or shape cannot be used.
    #[error("cannot use the model")]
    Model(#[from] ModelError),
    /// The file of the adapter cannot be read, or is damaged.
    #[error("cannot read the adapter `{}`", path.display())]
    AdapterFile {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: gguf::Error,
    },
    /// The draft cannot be read, or cannot guess for the model.
    #[error("cannot use the draft `{}`", path.display())]
    Draft {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: DraftError,
    },
    /// Its tokenizer cannot be used.
    #[error("cannot use the model's tokenizer")]
    Tokenizer(#[from] tokenizer::Error),
    /// Its chat template cannot be used.
    #[error("cannot use the model's chat template")]
    Template(#[from] template::Error),
    /// Weights and tokenizer do not fit each other.
    #[error("the model has weights for {weights} tokens and its vocabulary has {vocabulary}")]
    Vocabulary {
        /// Rows of the embedding.
        weights: usize,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
    /// An option is out of range.
    #[error("option `{option}` is {found}, expected {expected}")]
    Option {
        /// Which.
        option: &'static str,
        /// Its value.
        found: usize,
        /// What it may be.
        expected: String,
    },
    /// The system gave no thread.
    #[error("cannot start the engine's thread")]
    Thread(#[source] std::io::Error),
}

/// Bytes of the smallest model whose packed weights are kept: packing this much takes some hundredths of a second.
const LEAST_KEPT: u64 = 32 << 20;
/// The engine's name in the configuration.
const NAME: &str = "native";

/// Reads a model and starts its engine. Reads files, so not for an async task.
///
/// # Errors
/// When the file, the model or an option is not in order.
pub fn load(id: BackendId, source: Source, options: Options) -> Result<Engine, LoadError> {
    let (file, place) = match &source {
        Source::File(path) => {
            // Before it is opened, so that what is kept is never taken for something newer.
            let place = options.packed.as_ref().and_then(|files| Place::of(files, path));
            (File::open(path)?, place)
        }
        Source::Builtin(bytes) => (File::from_static(bytes)?, None),
    };
    let facts = Facts::of(&file)?;
    if options.draft.is_some() && facts.purpose != Purpose::Text {
        return Err(ModelError::unsupported("a draft for a model that writes no text").into());
    }
    if options.draft.is_some() && !goes_back(&file)? {
        return Err(ModelError::unsupported(DRAFTED).into());
    }
    if reading::is_encoder(&facts) {
        return reading::load(id, &file, facts, &options);
    }
    reading::check_decoder(&file, &facts)?;
    let place = place.filter(|_| file.size() >= LEAST_KEPT);
    let tokenizer = Tokenizer::from_file(&file)?;
    let template = Template::from_file(&file, &tokenizer)?;
    let threads = threads(&options)?;
    let (mut model, unkept) = match place {
        Some(place) => Model::load_kept(&file, threads, place)?,
        None => (Model::load(&file, threads)?, None),
    };
    if let Some(path) = options.adapter {
        let adapter = File::open(&path).map_err(|source| LoadError::AdapterFile { path, source })?;
        model.adapt(&adapter, &file)?;
    }
    let model = Arc::new(model);
    let shape = model.shape();
    if shape.vocabulary != tokenizer.len() {
        return Err(LoadError::Vocabulary { weights: shape.vocabulary, vocabulary: tokenizer.len() });
    }
    let (trained, width) = (shape.context, shape.width);
    let usual = if facts.purpose == Purpose::Text { DEFAULT_CONTEXT } else { encoder::DEFAULT_CONTEXT };
    let limits = Limits {
        slots: within("max_sequences", options.max_sequences.unwrap_or(DEFAULT_SEQUENCES), 1, 1_024)?,
        // Room for one token of prompt and one of answer.
        context: within("context", options.context.unwrap_or(trained.min(usual)), 2, trained)?,
        threads,
        isa: options.isa.unwrap_or_else(Isa::best),
        cache: options.cache,
    };
    let runner = Runner::new(Arc::clone(&model), limits)?;
    let draft = match options.draft {
        Some(path) => {
            let draft = Draft::load(&path, &tokenizer, limits);
            Some(draft.map_err(|source| LoadError::Draft { path, source })?)
        }
        None => None,
    };
    let info = Info {
        engine: NAME,
        facts,
        parameters: model.parameters(),
        context_tokens: limits.context,
        trained_context_tokens: trained,
        quantization: model.quantization().to_owned(),
        isa: limits.isa.name().to_owned(),
        threads: limits.threads,
        max_sequences: limits.slots,
        file_bytes: file.size(),
        cache_bytes: runner.cache_bytes() + draft.as_ref().map_or(0, Draft::cache_bytes),
    };
    if let Some(unkept) = unkept {
        // Of a model that is unloaded meanwhile nothing is held for that.
        let model = Arc::downgrade(&model);
        unkept.keep_aside(move |matrix, bytes, to| model.upgrade()?.copy_packed(matrix, bytes, to));
    }
    let speech = Speech::new(tokenizer, template, limits.context);
    let started = match info.facts.purpose {
        Purpose::Text => {
            let held = runner.held();
            let engine = Engine::start(id, info, speech, |worker| {
                let interest = worker.interest();
                worker.work(Sequences::new(runner, draft, interest));
            });
            engine.map(|engine| engine.which_holds(held))
        }
        _ => {
            let pooling = Pooling::of(&file, &info.facts.architecture)?;
            Engine::start_encoder(id, info, speech, Makes::Vectors { width }, move |worker| {
                worker.work(Decodes::new(runner, pooling));
            })
        }
    };
    started.map_err(LoadError::Thread)
}

fn threads(options: &Options) -> Result<usize, LoadError> {
    match options.threads {
        Some(threads) => within("threads", threads, 1, 1_024),
        None => Ok(thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn within(option: &'static str, found: usize, least: usize, most: usize) -> Result<usize, LoadError> {
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(LoadError::Option { option, found, expected: format!("{least} to {most}") })
}
