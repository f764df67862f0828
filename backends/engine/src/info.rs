//! What an engine serves and with what, for the log, for people, and for the comparison of licences.

use std::fmt;

use crate::gguf::{self, File};

/// Context of a model that can take more, if nobody says otherwise: its cache must fit the machine.
pub const DEFAULT_CONTEXT: usize = 8_192;
/// Choices that an engine works on at once, if nobody says otherwise.
pub const DEFAULT_SEQUENCES: usize = 8;
/// More models than anybody makes one from.
const MAX_BASE_MODELS: u64 = 16;

/// What a model file says of itself, whoever runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name in the file, if any.
    pub name: Option<String>,
    /// Architecture, as the file names it.
    pub architecture: String,
    /// Licence as the file names it, if it does.
    pub license: Option<String>,
    /// The models that it was made from, as the file names them: `owner/name` where it has an address, else the name.
    pub base_models: Vec<String>,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// A key is of the wrong type.
    pub fn of(file: &File) -> Result<Self, gguf::Error> {
        let text = |key| file.get::<&str>(key).map(|text| text.map(str::to_owned));
        Ok(Self {
            name: text("general.name")?,
            architecture: text("general.architecture")?.unwrap_or_default(),
            license: text("general.license")?,
            base_models: base_models(file),
        })
    }
}

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

/// What an engine serves and with what.
#[derive(Clone, Debug)]
pub struct Info {
    /// The engine, as the configuration names it.
    pub engine: &'static str,
    /// What the file says.
    pub facts: Facts,
    /// Number of weights.
    pub parameters: u64,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
    /// Tokens that the model was made for.
    pub trained_context_tokens: usize,
    /// Format of most of the weights.
    pub quantization: String,
    /// Instruction set or device in use.
    pub isa: String,
    /// Threads that compute.
    pub threads: usize,
    /// Choices that are worked on at once.
    pub max_sequences: usize,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of keys and values when every slot is full.
    pub cache_bytes: usize,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {:.1} M parameters, {}, context {}, {} at once, {} threads, {}",
            self.facts.architecture,
            self.parameters as f64 / 1e6,
            self.quantization,
            self.context_tokens,
            self.max_sequences,
            self.threads,
            self.isa
        )
    }
}
