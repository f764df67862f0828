//! A path and options to a running engine.

#[cfg(test)]
mod tests;

use std::{path::Path, thread};

use backends::BackendId;
use engine::{
    DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Engine, Facts, Info, Speech, gguf::File, template::Template,
    tokenizer::Tokenizer,
};
use mistralrs::core::{IsqType, parse_isq_value};

use crate::{
    error::{LoadError, refused, unfit},
    folder::{self, Folder},
    gguf,
    options::Options,
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
    pub(crate) trained_context: usize,
    pub(crate) quantization: String,
    pub(crate) cache_bytes_per_token: usize,
    pub(crate) file_bytes: u64,
    /// Tokens that there are weights for.
    pub(crate) rows: usize,
}

/// A model but for its weights.
pub(crate) type Known = (Described, Tokenizer, Option<Template>);

/// Loads a model and starts its engine: a GGUF or UQFF file, or a folder of safetensors. Takes as long as reading its weights.
///
/// # Errors
/// It cannot be served; where another engine can, the error says so.
pub fn load(id: BackendId, path: &Path, options: Options) -> Result<Engine, LoadError> {
    let (weights, (described, tokenizer, template)) = describe(path, &options)?;
    let trained = described.trained_context;
    let most = usable(trained);
    let context = within("context", options.context.unwrap_or(DEFAULT_CONTEXT.min(most)), 2, most)?;
    let slots = slots(&options)?;
    let isq = options.isq.as_deref().map(isq).transpose()?;
    let end = end(&tokenizer)?;
    let stand_in = StandIn::write(tokenizer.len(), end).map_err(LoadError::System)?;
    let device = options.device;
    let mistralrs = start(move || pipeline::load(&weights, &options, isq, &stand_in, slots))?;
    let info = Info {
        engine: "mistralrs",
        facts: described.facts,
        parameters: described.parameters,
        context_tokens: context,
        trained_context_tokens: trained,
        quantization: isq.map_or(described.quantization, |isq| format!("{isq:?}")),
        isa: device.name(),
        threads: thread::available_parallelism().map_or(1, Into::into),
        max_sequences: slots,
        file_bytes: described.file_bytes,
        cache_bytes: described.cache_bytes_per_token.saturating_mul(context).saturating_mul(slots),
    };
    let speech = Speech::new(tokenizer, template, context).without_prompt_logprobs(NO_PROMPT_LOGPROBS);
    let runner = Runner { mistralrs, end };
    Engine::start(id, info, speech, |worker| worker.hand_over(runner)).map_err(LoadError::System)
}

/// Whether mistralrs reads a model, as far as can be told without its weights.
///
/// # Errors
/// Why it does not.
pub fn reads(path: &Path) -> Result<(), LoadError> {
    let (_, (_, tokenizer, _)) = describe(path, &Options::default())?;
    end(&tokenizer).map(drop)
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

fn isq(name: &str) -> Result<IsqType, LoadError> {
    parse_isq_value(name, None).map_err(|reason| LoadError::Option { option: "isq", reason })
}

fn within(option: &'static str, found: usize, least: usize, most: usize) -> Result<usize, LoadError> {
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(LoadError::Option { option, reason: format!("{found}, expected {least} to {most}") })
}
