//! The engines in this process: which of them this build has, which reads a file of weights, and which one `auto` takes.
//!
//! An engine reads a file or says why not; of those that read it, `auto` takes the one that was measured fastest on this
//! machine (`pointsman bench engines`), else the first of [`Kind::ALL`]. It never takes another one later: what was chosen is
//! part of the configuration as it was read, and so of each decision's record.

pub mod measured;

use std::{fmt, path::Path, sync::Arc};

use backends::{Backend, BackendId};
use engine::{Info, gguf};

use crate::{config::Weights, dispatch::chain};
use measured::Measured;

/// The weights of the demo model.
pub(crate) const DEMO: &[u8] = include_bytes!("../../config/models/pointsman-demo.gguf");

/// What is said of an engine that this build is without.
#[cfg(not(feature = "llama-cpp"))]
const LACKING: &str = "this build does not have it; one with `--features full` does";

/// An engine, whether this build has it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ours.
    Native,
    /// llama.cpp.
    LlamaCpp,
}

/// An engine for a file, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The engine.
    pub engine: Kind,
    /// In words, for people: `native does not read it: ...`.
    pub why: String,
}

/// What a deployment asks of its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<u64>,
    /// Layers for a graphics card.
    pub gpu_layers: Option<u32>,
}

impl Kind {
    /// All, the one first that is taken where nothing was measured.
    pub const ALL: [Self; 2] = [Self::Native, Self::LlamaCpp];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::LlamaCpp => "llama-cpp",
        }
    }

    /// The engine of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether this build has it. One that it lacks is a feature of the same name.
    pub fn is_built(self) -> bool {
        match self {
            Self::Native => true,
            Self::LlamaCpp => cfg!(feature = "llama-cpp"),
        }
    }

    /// Those of this build.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_built())
    }

    /// Whether it reads a file, of several parts the first, found out without loading its weights.
    ///
    /// # Errors
    /// Why it does not.
    pub fn reads(self, path: &Path) -> Result<(), String> {
        match self {
            Self::Native => native_reads(path),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCpp => llama_cpp_engine::reads(path).map_err(|error| chain(&error)),
            #[cfg(not(feature = "llama-cpp"))]
            Self::LlamaCpp => Err(LACKING.to_owned()),
        }
    }

    /// Loads weights. Takes as long as that takes.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn load(self, id: BackendId, weights: &Weights, asked: Asked) -> Result<(Arc<dyn Backend>, Info), String> {
        let context = asked.context_tokens.and_then(|tokens| usize::try_from(tokens).ok());
        let engine = match self {
            Self::Native => {
                let source = match weights {
                    Weights::BuiltIn => native::Source::Builtin(DEMO),
                    Weights::File(path) => native::Source::File(path.clone()),
                };
                native::load(id, source, native::Options { context, ..Default::default() })
                    .map_err(|error| chain(&error))?
            }
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCpp => {
                let Weights::File(path) = weights else { return Err("it reads files only".to_owned()) };
                let options = llama_cpp_engine::Options { context, gpu_layers: asked.gpu_layers, ..Default::default() };
                llama_cpp_engine::load(id, path, &options).map_err(|error| chain(&error))?
            }
            #[cfg(not(feature = "llama-cpp"))]
            Self::LlamaCpp => return Err(LACKING.to_owned()),
        };
        let info = engine.info().clone();
        Ok((Arc::new(engine), info))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The engine that `auto` means for these weights.
///
/// # Errors
/// Each engine with why it does not read them.
pub fn choose(weights: &Weights, measured: &Measured) -> Result<Chosen, String> {
    let Weights::File(path) = weights else {
        return Ok(Chosen { engine: Kind::Native, why: "its weights are built in".to_owned() });
    };
    let mut readers = Vec::new();
    let mut others = Vec::new();
    for kind in Kind::built() {
        match kind.reads(path) {
            Ok(()) => readers.push(kind),
            Err(why) => others.push(format!("{kind} does not read it: {why}")),
        }
    }
    let rates = measured.of(path);
    let rate =
        |kind: Kind| rates.iter().find(|rate| rate.engine == kind.name()).map(|rate| rate.answer_tokens_per_second);
    let fastest =
        readers.iter().copied().filter_map(|kind| Some((kind, rate(kind)?))).max_by(|a, b| a.1.total_cmp(&b.1));
    match (fastest, readers.first()) {
        (Some((engine, rate)), _) if readers.len() > 1 => {
            let why =
                format!("of the engines that were measured with it here it is the fastest, {rate:.1} tokens a second");
            Ok(Chosen { engine, why: with(others, why) })
        }
        (_, Some(&engine)) => {
            let why = match readers.len() {
                1 => "it is the one that reads it".to_owned(),
                _ => "it comes first where nothing was measured; `pointsman bench engines` measures".to_owned(),
            };
            Ok(Chosen { engine, why: with(others, why) })
        }
        (_, None) => Err(others.join("; ")),
    }
}

fn with(others: Vec<String>, why: String) -> String {
    others.into_iter().chain([why]).collect::<Vec<_>>().join("; ")
}

/// Whether our own engine loads a model of this file, which binds its weights and builds its vocabulary.
fn native_reads(path: &Path) -> Result<(), String> {
    let file = gguf::File::open(path).map_err(|error| chain(&error))?;
    native::model::Model::check(&file).map_err(|error| chain(&error))?;
    engine::tokenizer::Tokenizer::from_file(&file).map_err(|error| chain(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn demo() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/models/pointsman-demo.gguf"))
    }

    #[test]
    fn every_engine_is_known_by_its_name_and_says_whether_this_build_has_it() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert!(kind.is_built() || kind.reads(&demo()).unwrap_err().contains("--features"), "{kind}");
        }
        assert_eq!(Kind::named("auto"), None);
        assert!(Kind::built().any(|kind| kind == Kind::Native));
    }

    #[test]
    fn auto_takes_what_was_measured_fastest_here_and_says_why() {
        let weights = Weights::File(demo());
        let chosen = choose(&weights, &Measured::default()).unwrap();
        assert_eq!(chosen.engine, Kind::Native);
        let readers: Vec<Kind> = Kind::built().collect();
        let Some(&last) = readers.last().filter(|_| readers.len() > 1) else {
            assert_eq!(chosen.why, "it is the one that reads it");
            return;
        };
        assert!(chosen.why.contains("`pointsman bench engines` measures"), "{}", chosen.why);
        let mut measured = Measured::default();
        measured.add("native", &demo(), 100.0, 10.0).unwrap();
        measured.add(last.name(), &demo(), 100.0, 20.0).unwrap();
        let chosen = choose(&weights, &measured).unwrap();
        assert_eq!(chosen.engine, last);
        assert!(chosen.why.ends_with("it is the fastest, 20.0 tokens a second"), "{}", chosen.why);
    }

    #[test]
    fn what_no_engine_reads_is_refused_with_what_each_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "hello").unwrap();
        let why = choose(&Weights::File(path), &Measured::default()).unwrap_err();
        assert!(why.starts_with("native does not read it: cannot read") || why.contains("not a valid GGUF"), "{why}");
        assert_eq!(why.matches("does not read it").count(), Kind::built().count(), "{why}");
    }
}
