//! A path and options to a running engine.

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, thread};

use backends::BackendId;
use engine::{
    DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Engine, Facts, Info, Speech, gguf::File, template::Template,
    tokenizer::Tokenizer,
};
use mistralrs::core::{IsqType, parse_isq_value};

use crate::{
    error::{LoadError, refused, unfit},
    folder::{self, Folder},
    gemma3::{Eyes, Reader},
    gguf,
    options::{Device, Options},
    pipeline::{self, Weights},
    runner::Runner,
    stand_in::StandIn,
};

const MAX_SEQUENCES: usize = 1_024;
/// What the log-probabilities of a prompt are refused with.
const NO_PROMPT_LOGPROBS: &str = "with `logprobs` it asks for the prompt's, which mistralrs does not tell; `engine: native` and `engine: llama-cpp` do";

/// What is known of a model before it is loaded.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) facts: Facts,
    pub(crate) parameters: u64,
    pub(crate) room: Room,
    pub(crate) trained_context: usize,
    pub(crate) quantization: String,
    pub(crate) cache_bytes_per_token: usize,
    pub(crate) file_bytes: u64,
    /// Tokens that there are weights for.
    pub(crate) rows: usize,
    /// How it reads pictures, if it does.
    pub(crate) eyes: Option<Eyes>,
}

/// What the weights become in memory.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes that stay as they are in their file.
    pub(crate) packed: u64,
    /// Numbers that become floats, quantised or not: the table of embeddings is looked into.
    pub(crate) floats: u64,
    /// Numbers that become floats, or are quantised while they are loaded.
    pub(crate) weights: u64,
}

/// What a model takes and says, found out without loading its weights.
#[derive(Clone, Debug)]
pub struct Told {
    /// Bytes of memory, with a full context for each choice.
    pub bytes: u64,
    /// What it says of itself.
    pub facts: Facts,
    /// Whether it reads pictures.
    pub sees: bool,
}

/// A model but for its weights.
pub(crate) type Known = (Described, Tokenizer, Option<Template>);

/// Everything that is settled before the weights are read.
struct Plan {
    weights: Weights,
    described: Described,
    tokenizer: Tokenizer,
    template: Option<Template>,
    context: usize,
    slots: usize,
    isq: Option<IsqType>,
    /// The token that tells mistralrs to end a sequence.
    end: u32,
}

impl Plan {
    fn of(path: &Path, options: &Options) -> Result<Self, LoadError> {
        let (weights, (described, tokenizer, template)) = describe(path, options)?;
        let most = usable(described.trained_context);
        let context = within("context", options.context.unwrap_or(DEFAULT_CONTEXT.min(most)), 2, most)?;
        let slots = slots(options)?;
        let isq = options.isq.as_deref().map(isq).transpose()?;
        let end = end(&tokenizer)?;
        Ok(Self { weights, described, tokenizer, template, context, slots, isq, end })
    }

    fn cache_bytes(&self) -> usize {
        self.described.cache_bytes_per_token.saturating_mul(self.context).saturating_mul(self.slots)
    }

    fn bytes(&self, device: Device) -> u64 {
        let Room { packed, floats, weights } = self.described.room;
        let float = if device.is_accelerator() { 2u64 } else { 4 };
        let bits = self.isq.map_or(8 * float, most_bits);
        let of_weights = weights.saturating_mul(bits) / 8;
        [floats.saturating_mul(float), of_weights, self.cache_bytes() as u64]
            .into_iter()
            .fold(packed, u64::saturating_add)
    }
}

/// Loads a model and starts its engine: a GGUF or UQFF file, or a folder of safetensors. Takes as long as reading its weights.
///
/// # Errors
/// It cannot be served; where another engine can, the error says so.
pub fn load(id: BackendId, path: &Path, options: Options) -> Result<Engine, LoadError> {
    let plan = Plan::of(path, &options)?;
    let cache_bytes = plan.cache_bytes();
    let Plan { weights, described, tokenizer, template, context, slots, isq, end } = plan;
    let stand_in = StandIn::write(tokenizer.len(), end, described.eyes.as_ref()).map_err(LoadError::System)?;
    let device = options.device;
    let mistralrs = start(move || pipeline::load(&weights, &options, isq, &stand_in, slots))?;
    let info = Info {
        engine: "mistralrs",
        facts: described.facts,
        parameters: described.parameters,
        context_tokens: context,
        trained_context_tokens: described.trained_context,
        quantization: isq.map_or(described.quantization, |isq| format!("{isq:?}")),
        isa: device.name(),
        threads: thread::available_parallelism().map_or(1, Into::into),
        max_sequences: slots,
        file_bytes: described.file_bytes,
        cache_bytes,
    };
    let reader = described.eyes.map(|eyes| Arc::new(Reader::new(eyes, &tokenizer, !device.is_accelerator())));
    let mut speech = Speech::new(tokenizer, template, context).without_prompt_logprobs(NO_PROMPT_LOGPROBS);
    if let Some(reader) = &reader {
        speech = speech.with_pictures(Arc::<Reader>::clone(reader));
    }
    let runner = Runner { mistralrs, end, reader };
    Engine::start(id, info, speech, |worker| worker.hand_over(runner)).map_err(LoadError::System)
}

/// What a model takes and says; as far as can be told without its weights, it can be loaded so.
///
/// # Errors
/// Why it cannot.
pub fn told(path: &Path, options: &Options) -> Result<Told, LoadError> {
    let plan = Plan::of(path, options)?;
    Ok(Told { bytes: plan.bytes(options.device), sees: plan.described.eyes.is_some(), facts: plan.described.facts })
}

/// Whether weights can be quantised to a type of this name while they are loaded.
///
/// # Errors
/// It is no such type.
pub fn check_isq(name: &str) -> Result<(), LoadError> {
    isq(name).map(drop)
}

/// All that is known of a model without its weights.
fn describe(path: &Path, options: &Options) -> Result<(Weights, Known), LoadError> {
    if !path.exists() {
        return Err(LoadError::Missing { path: path.to_owned() });
    }
    let is_gguf = path.is_file() && path.extension().is_none_or(|extension| extension != "uqff");
    let (weights, known) = if is_gguf {
        (Weights::Gguf(path.to_owned()), gguf::describe(&File::open(path)?, options)?)
    } else {
        let folder = Folder::open(path)?;
        let known = folder::describe(&folder, options)?;
        (Weights::Folder(folder), known)
    };
    let (weights_for, vocabulary) = (known.0.rows, known.1.len());
    if weights_for < vocabulary {
        return Err(LoadError::Vocabulary { weights: weights_for, vocabulary });
    }
    Ok((weights, known))
}

/// How much of a context can be filled: its cache grows by so many tokens at a time, and fails where that is beyond its end.
fn usable(trained: usize) -> usize {
    const GROWS_BY: usize = 512;
    if trained < GROWS_BY { trained } else { trained - trained % GROWS_BY }
}

/// Choices at once. Its attention on a CPU keeps what it adds up for a batch in one place, so that of sequences that are computed
/// together all but the last come out wrong, and which those are its scheduler decides.
fn slots(options: &Options) -> Result<usize, LoadError> {
    let default = if options.device.is_accelerator() { DEFAULT_SEQUENCES } else { 1 };
    let slots = within("max_sequences", options.max_sequences.unwrap_or(default), 1, MAX_SEQUENCES)?;
    if slots > 1 && !options.device.is_accelerator() {
        let reason = format!(
            "{slots}, expected 1: on a CPU mistralrs gets sequences wrong that it computes together; for several at once use \
             `engine: llama-cpp`, or `engine: native`"
        );
        return Err(LoadError::Option { option: "max_sequences", reason });
    }
    Ok(slots)
}

/// The token that tells mistralrs to end a sequence. It must be one of the model's: mistralrs computes one token more of a
/// sequence that ends right behind a prompt, and all others of that step would fail with it.
fn end(tokenizer: &Tokenizer) -> Result<u32, LoadError> {
    let named = (0..tokenizer.len() as u32).find(|&id| tokenizer.is_end(id));
    match tokenizer.eos().or(named) {
        Some(end) => Ok(end),
        None => unfit("none of its tokens ends an answer", "`engine: llama-cpp`"),
    }
}

/// Loads on a thread of its own: mistralrs needs a runtime, which must not stand within another one, and panics where a
/// file is not as it expects.
fn start<T: Send + 'static>(load: impl FnOnce() -> Result<T, LoadError> + Send + 'static) -> Result<T, LoadError> {
    let thread = thread::Builder::new().name("mistralrs load".to_owned()).spawn(load).map_err(LoadError::System)?;
    thread.join().unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(refused(told.unwrap_or("it broke down")))
    })
}

/// Bits that a quantised weight takes at most: those that its type is named for, and its part of the scales.
fn most_bits(isq: IsqType) -> u64 {
    let name = format!("{isq:?}");
    name.chars().find_map(|letter| letter.to_digit(10)).map_or(32, |bits| u64::from(bits) + 1)
}

fn isq(name: &str) -> Result<IsqType, LoadError> {
    parse_isq_value(name, None).map_err(|reason| LoadError::Option { option: "isq", reason })
}

fn within(option: &'static str, found: usize, least: usize, most: usize) -> Result<usize, LoadError> {
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(LoadError::Option { option, reason: format!("{found}, expected {least} to {most}") })
}
