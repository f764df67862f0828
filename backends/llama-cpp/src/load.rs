//! Loads a model file with llama.cpp and starts the engine that serves it.

use std::{
    collections::HashSet,
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use backends::BackendId;
use engine::{
    DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Engine, Facts, Info, Interest, Purpose, Speech, Windows, encoder,
    gguf::{self, Array, File},
    template::{self, Template},
    tokenizer,
};
use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_backend::LlamaBackend,
    model::{LlamaLoraAdapter, LlamaModel, params::LlamaModelParams},
    send_logs_to_tracing,
};

use crate::{
    abort,
    compiled::{self, Mismatch},
    devices::{Cards, Needs, Placed, TooMany},
    pool::{Pool, Reading},
    prefix::Prefixes,
    steps::{Cache, Context, MOST_TOKENS},
    vision::Projector,
    words,
};

/// The engine's name in the configuration.
const NAME: &str = "llama-cpp";

/// Ids that llama.cpp gives to sequences.
const MOST_SEQUENCES: usize = 256;
/// Of those, what is kept for prefixes: each costs a row of logits.
const KEPT_PREFIXES: usize = 56;
/// What llama.cpp gives a window is a multiple of this.
const WINDOW: usize = 256;
/// Bytes of keys and values that are taken if nobody says otherwise, but for a single window that is larger.
const DEFAULT_CACHE: usize = 2 << 30;

/// What an engine may use; `None` chooses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads that compute: all cores if not given.
    pub threads: Option<usize>,
    /// Tokens of prompt and answer: at most what the model was made for; 8,192 if not given. Of a model that only reads, the
    /// tokens of a text; 2,048 if not given.
    pub context: Option<usize>,
    /// Choices that are worked on at once: 8 if not given.
    pub max_sequences: Option<usize>,
    /// Bytes of keys and values, those of kept prefixes included: as much as all choices can need if not given, but at most
    /// 2 GiB or one window. Choices wait where there is no room for one more.
    pub cache_bytes: Option<usize>,
    /// Layers that graphics cards compute: as many as they have room for if not given. Nothing without such a build.
    pub gpu_layers: Option<u32>,
    /// An adapter (LoRA) for all that it serves.
    pub adapter: Option<PathBuf>,
    /// The model's projector, with which it reads pictures. A part of the model's weights, in a file of its own.
    pub mmproj: Option<PathBuf>,
    /// Who is told how far the loading is, and may end it.
    pub watch: Option<Watch>,
}

/// Is told the share of the weights that is loaded, 0 to 1, and answers whether to go on.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(f32) -> bool + Send + Sync>);

impl Watch {
    /// One that asks this, often and on the loading thread.
    pub fn new(asks: impl Fn(f32) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asks))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// llama.cpp was built for another machine.
    #[error(transparent)]
    Build(#[from] Mismatch),
    /// The file cannot be read, or is damaged.
    #[error("cannot read the model file")]
    File(#[from] gguf::Error),
    /// llama.cpp does not take it. It says why in the log only.
    #[error("llama.cpp cannot {what}; the log has its own words")]
    Refused {
        /// What it cannot do.
        what: String,
    },
    /// Whoever watches it being loaded has ended that.
    #[error("the model is not wanted any more, and its loading was given up")]
    GivenUp,
    /// The file of the adapter cannot be read, or is damaged.
    #[error("cannot read the adapter `{}`", path.display())]
    AdapterFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: gguf::Error,
    },
    /// The adapter was made for another model, or is none.
    #[error("the adapter `{}` does not fit the model: {reason}", path.display())]
    Adapter {
        /// Which.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The file of the projector cannot be read, or is damaged.
    #[error("cannot read the projector `{}`", path.display())]
    ProjectorFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: gguf::Error,
    },
    /// The projector was made for another model, or is none.
    #[error("the projector `{}` does not fit the model: {reason}", path.display())]
    Projector {
        /// Which.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Graphics cards have no room for the layers that they should compute.
    #[error("option `gpu_layers`: {0}")]
    Cards(#[from] TooMany),
    /// Its tokenizer cannot be used.
    #[error("cannot use the model's tokenizer")]
    Tokenizer(#[from] tokenizer::Error),
    /// Its chat template cannot be used.
    #[error("cannot use the model's chat template")]
    Template(#[from] template::Error),
    /// It orders documents in a way that is not built.
    #[error("the model orders documents in a way that is not built: {reason}")]
    Reranker {
        /// Which.
        reason: String,
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

/// Once a process, with its words in our log.
static BACKEND: LazyLock<Option<LlamaBackend>> = LazyLock::new(|| {
    send_logs_to_tracing(llama_cpp_2::LogOptions::default());
    LlamaBackend::init().ok()
});

/// The library, started; `None` where something else in this process has started it.
pub fn backend() -> Option<&'static LlamaBackend> {
    BACKEND.as_ref()
}

/// Reads a model and starts its engine. Reads files, so not for an async task.
///
/// # Errors
/// When llama.cpp was built for another machine, or the file, the model or an option is not in order.
pub fn load(id: BackendId, path: &Path, options: &Options) -> Result<Engine, LoadError> {
    let Head { isa, file, facts, library } = Head::of(path)?;
    // Until the context is made, the last that takes memory of them.
    let cards = Cards::now();
    let placed = cards.place(options.gpu_layers, || needs(path, &file, &facts, options))?;
    let mut params = to_cards(placed.as_ref()).map_err(|_| refused("leave graphics cards alone"))?;
    match &placed {
        Some(Placed { layers, of, bytes, free, cards }) => {
            let (bytes, free, cards) = (bytes >> 20, free >> 20, cards.join(", "));
            tracing::info!(backend = %id, layers, of, mib = bytes, free_mib = free, cards, "layers for graphics cards");
        }
        None if options.gpu_layers.is_some_and(|layers| layers > 0) => tracing::warn!(
            backend = %id,
            "`gpu_layers` asks for graphics cards, and llama.cpp sees none: it has them with `--features llama-cpp-cuda`, \
            `-vulkan` or `-metal`, and a driver that works"
        ),
        None => {}
    }
    let given_up = Arc::new(AtomicBool::new(false));
    if let Some(Watch(goes_on)) = options.watch.clone() {
        let given_up = Arc::clone(&given_up);
        params = params.with_progress_callback(move |share| {
            let goes_on = goes_on(share);
            given_up.store(!goes_on, SeqCst);
            goes_on
        });
    }
    let mut model = LlamaModel::load_from_file(library, path, &params).map_err(|_| match given_up.load(SeqCst) {
        true => LoadError::GivenUp,
        false => refused("load the model"),
    })?;
    let adapter = options.adapter.as_ref().map(|path| adapter(&mut model, &file, path)).transpose()?;
    let model = Arc::new(model);

    let tokenizer = words::tokenizer(&file, &model)?;
    let template = Template::from_file(&file, &tokenizer)?;
    let threads = match options.threads {
        Some(threads) => within("threads", threads, 1, 1_024)?,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let gpu = placed.as_ref().is_some_and(|placed| placed.layers > 0);
    let vision = options.mmproj.as_deref().map(|path| projector(path, &model, facts.purpose, threads, gpu));
    let vision = vision.transpose()?;
    let way = match facts.purpose {
        Purpose::Text => {
            let mut shape = Shape::of(&file, &model, options)?;
            if vision.as_ref().is_some_and(|vision| vision.is_in_two_directions()) {
                shape = shape.with_windows();
            }
            shape.batch = shape.batch.max(vision.as_ref().and_then(|vision| vision.whole()).unwrap_or(0));
            Way::Writes(shape)
        }
        purpose => Way::Reads(Reading::of(&file, &model, purpose, options.context)?),
    };
    let (context, max_sequences, cache_bytes) = match &way {
        Way::Writes(shape) => (shape.context, shape.slots, shape.cache_bytes()),
        Way::Reads(reading) => (reading.context, reading.texts(), 0),
    };
    let info = Info {
        engine: NAME,
        facts,
        parameters: model.n_params(),
        context_tokens: context,
        trained_context_tokens: model.n_ctx_train() as usize,
        quantization: quantization(&file),
        isa: match placed.filter(|placed| placed.layers > 0) {
            Some(placed) => format!("{isa}, {placed}"),
            None => isa,
        },
        threads,
        max_sequences,
        file_bytes: model.size(),
        cache_bytes,
    };
    let mut speech = Speech::new(tokenizer, template, context);
    if let Some(vision) = &vision {
        speech = speech.with_pictures(Arc::<Projector>::clone(vision));
    }
    let (tell, told) = mpsc::channel();
    // Model and context stay in the frame of the thread: the one borrows the other.
    let engine = match way {
        Way::Writes(shape) => Engine::start(id, info, speech, move |worker| {
            if let Some(context) =
                said(&tell, make(library, &model, &shape, threads, adapter, worker.interest(), vision))
            {
                worker.work(context);
            }
        }),
        Way::Reads(reading) => Engine::start_encoder(id, info, speech, reading.makes.clone(), move |worker| {
            let context = context_of(library, &model, reading.params(), threads, adapter);
            if let Some(context) = said(&tell, context) {
                worker.work(Pool::new(context, reading));
            }
        }),
    }
    .map_err(LoadError::Thread)?;
    told.recv().unwrap_or_else(|_| Err(refused("start")))?;
    drop(cards);
    Ok(engine)
}

/// What graphics cards would compute of a model if it were loaded now, found out without loading it. `None` where there are
/// no cards.
///
/// # Errors
/// As for [`load`], as far as the head of the file tells.
pub fn placed(path: &Path, options: &Options) -> Result<Option<Placed>, LoadError> {
    let Head { file, facts, .. } = Head::of(path)?;
    Ok(Cards::now().place(options.gpu_layers, || needs(path, &file, &facts, options))?)
}

/// The parameters that give cards what was placed on them.
fn to_cards(placed: Option<&Placed>) -> Result<LlamaModelParams, llama_cpp_2::LlamaCppError> {
    let params = LlamaModelParams::default();
    match placed {
        None => Ok(params),
        // Cards that are named take part, if only in prompts: they would get the weights of each pass, and memory for them.
        Some(Placed { layers: 0, .. }) => params.with_n_gpu_layers(0).with_devices(&[]),
        Some(Placed { layers, .. }) => Ok(params.with_n_gpu_layers(u32::try_from(*layers).unwrap_or(u32::MAX))),
    }
}

/// What a model asks of the memory of graphics cards.
fn needs(path: &Path, file: &File, facts: &Facts, options: &Options) -> Needs {
    let shape = (facts.purpose == Purpose::Text).then(|| Shape::told(file, options)).flatten();
    let cache = match (&shape, facts.purpose) {
        (Some(shape), _) => shape.cache_bytes(),
        (None, Purpose::Text) => DEFAULT_CACHE,
        (None, _) => 0,
    };
    let pass = match &shape {
        Some(shape) => pass_bytes(file, shape.batch, shape.seen_cells()),
        None => pass_bytes(file, options.context.unwrap_or(encoder::DEFAULT_CONTEXT), 0),
    };
    let beside = options.adapter.iter().chain(&options.mmproj);
    let beside = beside.filter_map(|path| path.metadata().ok()).map(|file| file.len());
    let beside = beside.fold(pass as u64, u64::saturating_add);
    let more = file.parts_behind(path);
    Needs::of(&std::iter::once(file).chain(&more).collect::<Vec<_>>(), cache as u64, beside)
}

/// Bytes that a pass of so many tokens works in, as counted for its widest moment: the rows of the feed-forward block or those
/// of the logits beside a few as wide as the model, and for each token which of the cells it looks at.
fn pass_bytes(file: &File, tokens: usize, cells: usize) -> usize {
    let width = of_shape(file, "embedding_length").unwrap_or(0);
    let forward = of_shape(file, "feed_forward_length").unwrap_or(width.saturating_mul(4));
    let words = file.get::<&Array>("tokenizer.ggml.tokens").ok().flatten().map_or(0, Array::len);
    let row = forward.saturating_mul(3).max(words).saturating_add(width.saturating_mul(6));
    tokens.saturating_mul(row.saturating_mul(4).saturating_add(cells.saturating_mul(4)))
}

/// A number that stands under the name of the architecture.
fn of_shape(file: &File, key: &str) -> Option<usize> {
    let architecture = file.get::<&str>("general.architecture").ok()??;
    let number = file.get::<u64>(&format!("{architecture}.{key}")).ok()??;
    usize::try_from(number).ok().filter(|number| *number < 1 << 31)
}

/// What the thread of an engine computes.
enum Way {
    Writes(Shape),
    Reads(Reading),
}

/// A context, if there is one and somebody waits for it; whoever does is told either way.
fn said<C>(tell: &mpsc::Sender<Result<(), LoadError>>, made: Result<C, LoadError>) -> Option<C> {
    let (context, told) = match made {
        Ok(context) => (Some(context), Ok(())),
        Err(error) => (None, Err(error)),
    };
    tell.send(told).ok().and(context)
}

/// Whether llama.cpp reads a file, as far as its head says: its weights are not loaded.
///
/// # Errors
/// Why it does not.
pub fn reads(path: &Path) -> Result<(), LoadError> {
    let Head { facts, library, .. } = Head::of(path)?;
    let params = LlamaModelParams::default().with_vocab_only(true);
    let what = format!("read a model of architecture `{}` from it", facts.architecture);
    LlamaModel::load_from_file(library, path, &params).map(drop).map_err(|_| refused(what))
}

/// What is known before llama.cpp reads a file.
struct Head {
    isa: String,
    file: File,
    facts: Facts,
    library: &'static LlamaBackend,
}

impl Head {
    fn of(path: &Path) -> Result<Self, LoadError> {
        let isa = compiled::used()?;
        // llama.cpp trusts a file where it should not; what our reader takes is whole, at least.
        let file = File::open(path)?;
        let library = backend().ok_or_else(|| refused("start"))?;
        let facts = Facts::of(&file)?;
        each_once(&file)?;
        Ok(Self { isa, file, facts, library })
    }
}

/// Whether each token of the vocabulary is another one: llama.cpp ends the process where two are the same.
fn each_once(file: &File) -> Result<(), LoadError> {
    let tokens = file.get::<&Array>("tokenizer.ggml.tokens")?.and_then(Array::texts).unwrap_or_default();
    let mut seen = HashSet::with_capacity(tokens.len());
    // It gives a name to those that have none.
    match tokens.iter().find(|token| !token.is_empty() && !seen.insert(token.as_str())) {
        Some(twice) => {
            let reason = format!("token `{}` stands there twice", twice.escape_debug());
            Err(LoadError::Tokenizer(tokenizer::Error::Damaged { reason }))
        }
        None => Ok(()),
    }
}

/// What computes the steps of a model that writes, on the thread that will own it.
pub(crate) fn make<'m>(
    backend: &LlamaBackend,
    model: &'m LlamaModel,
    shape: &Shape,
    threads: usize,
    adapter: Option<LlamaLoraAdapter>,
    interest: Arc<Interest>,
    vision: Option<Arc<Projector>>,
) -> Result<Context<'m>, LoadError> {
    // A state that is half computed cannot be taken back.
    let params = if shape.states { shape.params() } else { abort::when_lost(shape.params(), &interest) };
    let context = context_of(backend, model, params, threads, adapter)?;
    let cache = if shape.own_windows {
        Cache::Own(Windows::new(shape.slots, shape.slots + shape.kept))
    } else {
        Cache::Shared(Prefixes::new(shape.slots, shape.kept, shape.cells))
    };
    Ok(Context::new(context, interest, cache, shape.slots, vision))
}

fn context_of<'m>(
    backend: &LlamaBackend,
    model: &'m LlamaModel,
    params: LlamaContextParams,
    threads: usize,
    adapter: Option<LlamaLoraAdapter>,
) -> Result<LlamaContext<'m>, LoadError> {
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    let params = params.with_n_threads(threads).with_n_threads_batch(threads);
    let what = format!("give a context of {} tokens in all", params.n_ctx().map_or(0, NonZeroU32::get));
    let mut context = model.new_context(backend, params).map_err(|_| refused(what))?;
    if let Some(mut adapter) = adapter {
        context.lora_adapter_set(&mut adapter, 1.0).map_err(|_| refused("use the adapter"))?;
    }
    Ok(context)
}

/// How much is worked on at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Sequences.
    slots: usize,
    /// Tokens of one.
    context: usize,
    /// Tokens of all, those of kept prefixes included.
    cells: usize,
    /// Bytes of one of these.
    cell_bytes: usize,
    /// Sequence ids for prefixes that are kept beside what is under way.
    kept: usize,
    /// Whether each id has cells of its own, a window of them, and not all one stream of cells. In that one a sequence takes
    /// over another's beginning without a copy and has no more cells than it needs, but each token is compared with the cells
    /// of all: 16 answers at once were 8 % slower for it, and more with prefixes kept.
    own_windows: bool,
    /// Whether the model keeps a state in place of keys.
    states: bool,
    /// Tokens of a pass.
    pub(crate) batch: usize,
}

impl Shape {
    pub(crate) fn of(file: &File, model: &LlamaModel, options: &Options) -> Result<Self, LoadError> {
        // Such models keep a state and no keys: it cannot be cut, and each sequence has one of its own.
        let states = model.is_recurrent() || model.is_hybrid();
        let even = (model.n_embd().max(0) as usize) / (model.n_head() as usize).max(1);
        let cell_bytes = cell_bytes(model.n_layer() as usize, model.n_head_kv() as usize, head_lengths(file, even));
        Self::made(model.n_ctx_train() as usize, cell_bytes, states, options)
    }

    /// What is known of it before llama.cpp has read the file; nothing, of a shape that the file does not say plainly.
    pub(crate) fn told(file: &File, options: &Options) -> Option<Self> {
        let (heads, layers) = (of_shape(file, "attention.head_count")?, of_shape(file, "block_count")?);
        let of_keys = of_shape(file, "attention.head_count_kv").unwrap_or(heads);
        let even = of_shape(file, "embedding_length")?.checked_div(heads)?;
        let cell_bytes = cell_bytes(layers, of_keys, head_lengths(file, even));
        Self::made(of_shape(file, "context_length")?, cell_bytes, false, options).ok()
    }

    fn made(trained: usize, cell_bytes: usize, states: bool, options: &Options) -> Result<Self, LoadError> {
        let slots = within("max_sequences", options.max_sequences.unwrap_or(DEFAULT_SEQUENCES), 1, MOST_SEQUENCES)?;
        // Room for one token of prompt and one of answer.
        let context = within("context", options.context.unwrap_or(trained.min(DEFAULT_CONTEXT)), 2, trained.max(2))?;
        let kept = if states { 0 } else { KEPT_PREFIXES.min(MOST_SEQUENCES - slots) };
        let cell_bytes = cell_bytes.max(1);
        let window = context.next_multiple_of(WINDOW);
        let most = slots.saturating_mul(window);
        let cells = match options.cache_bytes {
            Some(bytes) => {
                within("cache_bytes", bytes / cell_bytes, context, usize::MAX).map_err(|_| LoadError::Option {
                    option: "cache_bytes",
                    found: bytes,
                    expected: format!("at least {}, for one window", context.saturating_mul(cell_bytes)),
                })?
            }
            None => most.min((DEFAULT_CACHE / cell_bytes).max(context)),
        };
        let cells = cells.min(i32::MAX as usize);
        let own_windows = !states && slots > 1 && cells >= most;
        let (cells, kept) = if own_windows {
            let kept = kept.min(cells / window - slots);
            ((slots + kept) * window, kept)
        } else {
            (cells, kept)
        };
        Ok(Self { slots, context, cells, cell_bytes, kept, own_windows, states, batch: MOST_TOKENS + slots })
    }

    /// Bytes of its keys and values.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cells.saturating_mul(self.cell_bytes)
    }

    /// Cells that a token may look at.
    fn seen_cells(&self) -> usize {
        if self.own_windows { self.cells / (self.slots + self.kept) } else { self.cells }
    }

    /// The same with a window for each sequence, and fewer sequences where there is no room for so many windows.
    pub(crate) fn with_windows(self) -> Self {
        let window = self.context.next_multiple_of(WINDOW);
        let windows = (self.cells / window).max(1);
        let slots = self.slots.min(windows);
        let kept = self.kept.min(windows - slots);
        Self { slots, kept, cells: (slots + kept) * window, own_windows: true, ..self }
    }

    pub(crate) fn params(&self) -> LlamaContextParams {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(number(self.cells)))
            .with_n_seq_max(number(self.slots + self.kept))
            .with_kv_unified(!self.own_windows)
            // All of a window's keys, so that a prefix can be taken up again at any place.
            .with_swa_full(true)
            .with_n_batch(number(self.batch))
            .with_n_ubatch(number(self.batch))
    }
}

/// Bytes of the keys and values of a token, at two bytes a number.
fn cell_bytes(layers: usize, heads: usize, (key, value): (usize, usize)) -> usize {
    [2, layers, heads, key.saturating_add(value)].into_iter().fold(1, usize::saturating_mul)
}

/// How long the key and the value of a head are: as the file says, or an even part of the width.
fn head_lengths(file: &File, even: usize) -> (usize, usize) {
    let length = |key| of_shape(file, key).unwrap_or(even);
    (length("attention.key_length"), length("attention.value_length"))
}

fn adapter(model: &mut LlamaModel, base: &File, path: &Path) -> Result<LlamaLoraAdapter, LoadError> {
    let file = File::open(path).map_err(|source| LoadError::AdapterFile { path: path.to_owned(), source })?;
    engine::adapter::fits(&file, base).map_err(|reason| LoadError::Adapter { path: path.to_owned(), reason })?;
    model.lora_adapter_init(path).map_err(|_| refused(format!("load the adapter `{}`", path.display())))
}

/// The projector of a model that writes.
fn projector(
    path: &Path,
    model: &Arc<LlamaModel>,
    purpose: Purpose,
    threads: usize,
    gpu: bool,
) -> Result<Arc<Projector>, LoadError> {
    if purpose != Purpose::Text {
        let reason = format!("the model is for {}, and pictures are read by one that writes text", purpose.name());
        return Err(LoadError::Projector { path: path.to_owned(), reason });
    }
    Projector::load(path, model, threads, gpu).map(Arc::new)
}

/// The format that most bytes of the weights have.
fn quantization(file: &File) -> String {
    let bytes_of =
        |kind| file.tensors().filter(|tensor| tensor.kind == kind).map(|tensor| tensor.data.len()).sum::<usize>();
    let largest = gguf::TensorType::ALL.iter().copied().max_by_key(|kind| bytes_of(*kind));
    largest.map_or("none", gguf::TensorType::name).to_owned()
}

fn refused(what: impl Into<String>) -> LoadError {
    LoadError::Refused { what: what.into() }
}

pub(crate) fn within(option: &'static str, found: usize, least: usize, most: usize) -> Result<usize, LoadError> {
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(LoadError::Option { option, found, expected: format!("{least} to {most}") })
}
