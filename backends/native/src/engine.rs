//! The engine as the gateway sees it: loads a model file and serves it as a [`Backend`].
//!
//! Requests are turned into tokens on the caller's side (long ones on a blocking thread), then handed to the one
//! thread that computes (`crate::scheduler`).

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
};

use backends::{
    Backend, BackendError, BackendId, BoxFuture, EventStream, Input, Load, Probe, Prompt, Request, Tally, ToolChoice,
};
use futures_util::stream;
use kernels::Isa;

use crate::{
    gguf::{self, File},
    model::{Limits, Model, ModelError, Runner},
    prepare::Speech,
    scheduler::Scheduler,
    template::{self, Template},
    tokenizer::{self, Tokenizer},
};

/// Context of a model that can take more, if nobody says otherwise: its cache must fit the machine.
const DEFAULT_CONTEXT: usize = 8_192;
const DEFAULT_SEQUENCES: usize = 8;
/// Choices that wait for each slot before the engine says that it is at capacity.
const QUEUED_PER_SLOT: usize = 16;
/// Prompts beyond this many bytes are tokenized on a blocking thread.
const INLINE_BYTES: usize = 16 << 10;

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
    /// Tokens of prompt and answer: at most what the model was made for; 8,192 if not given.
    pub context: Option<usize>,
    /// Choices that are worked on at once: 8 if not given. Each takes cache for a whole context when it is used.
    pub max_sequences: Option<usize>,
    /// Instruction set: the best of this machine if not given.
    pub isa: Option<Isa>,
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

/// What an engine serves and with what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The name in the file, if any.
    pub name: Option<String>,
    /// Architecture, as the file names it.
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
    /// Tokens that the model was made for.
    pub trained_context_tokens: usize,
    /// Format of most of the weights.
    pub quantization: &'static str,
    /// Licence as the file names it, if it does.
    pub license: Option<String>,
    /// The models that it was made from, as the file names them: `owner/name` where it has an address, else the name.
    pub base_models: Vec<String>,
    /// Instruction set in use.
    pub isa: &'static str,
    /// Threads that compute.
    pub threads: usize,
    /// Choices that are worked on at once.
    pub max_sequences: usize,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of keys and values when every slot is full.
    pub cache_bytes: usize,
}

/// More models than anybody makes one from.
const MAX_BASE_MODELS: u64 = 16;

/// The models that a file says it was made from. What is missing or of another type is passed over: it is only said.
fn base_models(file: &File) -> Vec<String> {
    let count = file.get::<u64>("general.base_model.count").ok().flatten().unwrap_or(0).min(MAX_BASE_MODELS);
    let text = |n: u64, key: &str| file.get::<&str>(&format!("general.base_model.{n}.{key}")).ok().flatten();
    let name = |n| {
        let path = text(n, "repo_url").and_then(|url| url.strip_prefix("https://huggingface.co/"));
        path.or_else(|| text(n, "name")).map(|name| name.trim_end_matches('/').to_owned())
    };
    (0..count).filter_map(name).collect()
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {:.1} M parameters, {}, context {}, {} at once, {} threads, {}",
            self.architecture,
            self.parameters as f64 / 1e6,
            self.quantization,
            self.context_tokens,
            self.max_sequences,
            self.threads,
            self.isa
        )
    }
}

/// A model that runs in this process.
pub struct Engine {
    id: BackendId,
    info: Info,
    speech: Arc<Speech>,
    scheduler: Scheduler,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?}, {})", self.id, self.info)
    }
}

impl Engine {
    /// Reads a model and starts its thread. Reads files, so not for an async task.
    ///
    /// # Errors
    /// When the file, the model or an option is not in order.
    pub fn load(id: BackendId, source: Source, options: Options) -> Result<Self, LoadError> {
        let file = match &source {
            Source::File(path) => File::open(path)?,
            Source::Builtin(bytes) => File::from_static(bytes)?,
        };
        let tokenizer = Tokenizer::from_file(&file)?;
        let template = Template::from_file(&file, &tokenizer)?;
        let model = Arc::new(Model::load(&file)?);
        let shape = model.shape();
        if shape.vocabulary != tokenizer.len() {
            return Err(LoadError::Vocabulary { weights: shape.vocabulary, vocabulary: tokenizer.len() });
        }
        let trained = shape.context;
        let limits = Limits {
            slots: within("max_sequences", options.max_sequences.unwrap_or(DEFAULT_SEQUENCES), 1, 1_024)?,
            // Room for one token of prompt and one of answer.
            context: within("context", options.context.unwrap_or(trained.min(DEFAULT_CONTEXT)), 2, trained)?,
            threads: match options.threads {
                Some(threads) => within("threads", threads, 1, 1_024)?,
                None => thread::available_parallelism().map_or(1, usize::from),
            },
            isa: options.isa.unwrap_or_else(Isa::best),
        };
        let runner = Runner::new(Arc::clone(&model), limits)?;
        let text = |key| file.get::<&str>(key).map(|text| text.map(str::to_owned));
        let info = Info {
            name: text("general.name")?,
            architecture: text("general.architecture")?.unwrap_or_default(),
            parameters: model.parameters(),
            context_tokens: limits.context,
            trained_context_tokens: trained,
            quantization: model.quantization(),
            license: text("general.license")?,
            base_models: base_models(&file),
            isa: limits.isa.name(),
            threads: limits.threads,
            max_sequences: limits.slots,
            file_bytes: file.size(),
            cache_bytes: runner.cache_bytes(),
        };
        let speech = Arc::new(Speech { tokenizer, template, context: limits.context, grammars: OnceLock::new() });
        let queued = (limits.slots * QUEUED_PER_SLOT) as u32;
        let scheduler =
            Scheduler::start(id.as_str(), runner, Arc::clone(&speech), queued).map_err(LoadError::Thread)?;
        tracing::info!(backend = %id, model = %info, "native engine ready");
        Ok(Self { id, info, speech, scheduler })
    }

    /// What it serves and with what.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.speech.tokenizer
    }
}

impl Backend for Engine {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _probe: &Probe<'_>) -> Load {
        self.scheduler.load()
    }

    /// Requests that ended well; one whose caller left before counts nowhere.
    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        let source = format!("engine:{}", self.id.as_str());
        Box::pin(std::future::ready(vec![self.scheduler.tally(source)]))
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(async move {
            if !request.api.generates() {
                let speech = Arc::clone(&self.speech);
                let told = tokio::task::spawn_blocking(move || speech.tell(&request)).await;
                let told =
                    told.map_err(|_| BackendError::Internal { reason: "the text could not be read".into() })??;
                let events: EventStream = Box::pin(stream::once(async move { Ok(told) }));
                return Ok(events);
            }
            let choices = if text_bytes(&request.input) > INLINE_BYTES || compiles(&request) {
                let speech = Arc::clone(&self.speech);
                let prepared = tokio::task::spawn_blocking(move || speech.prepare(&request)).await;
                prepared
                    .map_err(|_| BackendError::Internal { reason: "the prompt could not be tokenized".into() })??
            } else {
                self.speech.prepare(&request)?
            };
            self.scheduler.submit(choices)
        })
    }
}

impl AsRef<Tokenizer> for Speech {
    fn as_ref(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// Whether a grammar has to be compiled, which may take some tens of milliseconds.
fn compiles(request: &Request) -> bool {
    request.shape.is_some() || !matches!(request.tools.choice, ToolChoice::Auto | ToolChoice::None)
}

/// About how much there is to tokenize.
fn text_bytes(input: &Input) -> usize {
    match input {
        Input::Chat { messages, tools, .. } => {
            let texts = messages.iter().flat_map(|message| &message.content);
            let len = |part: &backends::Part| if let backends::Part::Text(text) = part { text.len() } else { 0 };
            texts.map(len).sum::<usize>() + tools.as_ref().map_or(0, String::len)
        }
        Input::Prompts(prompts) => {
            prompts.iter().map(|prompt| if let Prompt::Text(text) = prompt { text.len() } else { 0 }).sum()
        }
        _ => 0,
    }
}

fn within(option: &'static str, found: usize, least: usize, most: usize) -> Result<usize, LoadError> {
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(LoadError::Option { option, found, expected: format!("{least} to {most}") })
}
