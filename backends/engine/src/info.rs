//! What an engine serves and with what, for the log, for people, and for the comparison of licences.

use std::fmt;

use crate::gguf::{self, File};

/// Context of a model that can take more, if nobody says otherwise: its cache must fit the machine.
pub const DEFAULT_CONTEXT: usize = 8_192;
/// Choices that an engine works on at once, if nobody says otherwise.
pub const DEFAULT_SEQUENCES: usize = 8;
/// More models than anybody makes one from.
const MAX_BASE_MODELS: u64 = 16;

/// What a model is for, by its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It writes text.
    #[default]
    Text,
    /// It makes a vector of a text.
    Vectors,
    /// It scores a document by a query.
    Scores,
}

impl Purpose {
    /// Reads it: what the file says of how the numbers of a text's tokens become those of the text, which files of models
    /// that write say nothing of; and the architectures that cannot write.
    fn of(file: &File, architecture: &str) -> Result<Self, gguf::Error> {
        let encodes = architecture.contains("bert") || ["t5encoder", "gemma-embedding"].contains(&architecture);
        Ok(match file.get::<u64>(&format!("{architecture}.pooling_type"))? {
            // The mean of all, the first's, the last's.
            Some(1..=3) => Self::Vectors,
            Some(4) => Self::Scores,
            _ if encodes => Self::Vectors,
            _ => Self::Text,
        })
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Vectors => "vectors of texts",
            Self::Scores => "the order of documents by a query",
        }
    }
}

/// What a model file says of itself, whoever runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name in the file, if any.
    pub name: Option<String>,
    /// Architecture, as the file names it.
    pub architecture: String,
    /// What it is for.
    pub purpose: Purpose,
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
        let architecture = text("general.architecture")?.unwrap_or_default();
        Ok(Self {
            name: text("general.name")?,
            purpose: Purpose::of(file, &architecture)?,
            architecture,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bert, Llama, Meta, Writer};

    #[test]
    fn a_file_says_what_it_is_for_by_how_texts_are_pooled_and_by_its_architecture() {
        let of = |writer: &Writer| Facts::of(&File::read(writer.finish().into()).unwrap()).unwrap().purpose;
        let bert = |pooling| of(&Bert { pooling, ..Bert::default() }.writer());
        assert_eq!([None, Some(0), Some(1), Some(2), Some(3)].map(bert), [Purpose::Vectors; 5]);
        assert_eq!(bert(Some(4)), Purpose::Scores);
        let llama = |pooling| of(Llama::default().writer().set("llama.pooling_type", Meta::U32(pooling)));
        assert_eq!([0, 3, 4].map(llama), [Purpose::Text, Purpose::Vectors, Purpose::Scores]);
        assert_eq!(of(&Llama::default().writer()), Purpose::Text);
    }
}
