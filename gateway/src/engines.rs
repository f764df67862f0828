//! The engines in this process: which of them this build has, which reads certain weights, and which one `auto` takes.
//!
//! An engine reads weights or says why not; of those that read them, `auto` takes the one that was measured fastest on this
//! machine (`pointsman bench engines`), else the first of [`Kind::ALL`]. It never takes another one later: what was chosen is
//! part of the configuration as it was read, and so of each decision's record.

pub mod measured;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use backends::{Backend, BackendId};
use engine::{CacheType, Facts, Info, Purpose, gguf};
use native::PackedFiles;

use crate::{
    config::Weights,
    dispatch::chain,
    residency::{
        Progress,
        estimate::{self, Told},
    },
};
use measured::Measured;

/// The weights of the demo model.
pub(crate) const DEMO: &[u8] = include_bytes!("../../config/models/pointsman-demo.gguf");

/// What is said of an engine that this build is without.
#[cfg(not(all(feature = "llama-cpp", feature = "mistralrs")))]
const LACKING: &str = "this build does not have it; one with `--features full` does";

/// What engines but ours say of the demo model in the binary.
#[cfg(any(feature = "llama-cpp", feature = "mistralrs"))]
const NOT_BUILT_IN: &str = "it reads files, and these weights are built in";
/// What an engine that reads GGUF files says of a folder.
const FILES_ONLY: &str = "it reads GGUF files, and these are safetensors or UQFF; `engine: mistralrs` reads those";

/// An engine, whether this build has it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ours.
    Native,
    /// llama.cpp.
    LlamaCpp,
    /// The `mistralrs` crate.
    MistralRs,
}

/// An engine for a file, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The engine.
    pub engine: Kind,
    /// In words, for people: `native does not read it: ...`.
    pub why: String,
}

/// What is to be loaded beside weights, which not every engine can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside<'a> {
    /// An adapter (LoRA).
    pub adapter: Option<&'a Weights>,
    /// A projector, for pictures.
    pub projector: bool,
    /// A draft, which guesses what the model will say.
    pub draft: Option<&'a Path>,
    /// What keys and values are to be kept as.
    pub cache: CacheType,
}

/// What a deployment asks of its engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<u64>,
    /// Choices that are worked on at once; so many as the engine has by itself if not given.
    pub sequences: Option<usize>,
    /// Layers for a graphics card.
    pub gpu_layers: Option<u32>,
    /// An adapter (LoRA) over the weights: a GGUF file, or a folder of safetensors.
    pub adapter: Option<Weights>,
    /// The file of the model's projector, with which it reads pictures.
    pub mmproj: Option<PathBuf>,
    /// The file of a draft, which guesses what the model will say.
    pub draft: Option<PathBuf>,
    /// To quantise weights while they are loaded: a type of mistralrs, such as `Q4K`.
    pub isq: Option<String>,
    /// What keys and values are kept as.
    pub cache: CacheType,
}

impl Kind {
    /// All, the one first that is taken where nothing was measured.
    pub const ALL: [Self; 3] = [Self::Native, Self::LlamaCpp, Self::MistralRs];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::LlamaCpp => "llama-cpp",
            Self::MistralRs => "mistralrs",
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
            Self::MistralRs => cfg!(feature = "mistralrs"),
        }
    }

    /// Those of this build.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_built())
    }

    /// Whether it reads weights, of several parts the first, found out without loading them.
    ///
    /// # Errors
    /// Why it does not.
    pub fn reads(self, weights: &Weights) -> Result<(), String> {
        match (self, weights) {
            (Self::Native | Self::LlamaCpp, Weights::Folder(_)) => Err(FILES_ONLY.to_owned()),
            (Self::Native, Weights::BuiltIn) => Ok(()),
            (Self::Native, Weights::File(path)) => native_reads(path),
            #[cfg(feature = "llama-cpp")]
            (Self::LlamaCpp, Weights::File(path)) => llama_cpp_engine::reads(path).map_err(|error| chain(&error)),
            #[cfg(not(feature = "llama-cpp"))]
            (Self::LlamaCpp, _) => Err(LACKING.to_owned()),
            #[cfg(feature = "llama-cpp")]
            (Self::LlamaCpp, Weights::BuiltIn) => Err(NOT_BUILT_IN.to_owned()),
            (Self::MistralRs, _) => self.told(weights, &Asked::default()).map(drop),
        }
    }

    /// Whether it loads this adapter over these weights.
    ///
    /// # Errors
    /// Why it does not.
    pub fn puts(self, adapter: &Weights, weights: &Weights) -> Result<(), String> {
        match (self, adapter) {
            (Self::Native, Weights::File(path)) => native_puts(path, weights),
            (Self::LlamaCpp, Weights::File(_)) => Ok(()),
            (Self::Native | Self::LlamaCpp, _) => Err(format!("an adapter of `{self}` is a GGUF file")),
            (Self::MistralRs, Weights::Folder(path)) if path.is_dir() => {
                self.told(weights, &Asked { adapter: Some(adapter.clone()), ..Asked::default() }).map(drop)
            }
            (Self::MistralRs, _) => Err("an adapter of `mistralrs` is a folder with `adapter_config.json` and \
                                         `adapter_model.safetensors`"
                .to_owned()),
        }
    }

    /// Whether it has this draft guess what the model of these weights will say.
    ///
    /// # Errors
    /// Why it does not.
    pub fn drafts(self, draft: &Path, weights: &Weights) -> Result<(), String> {
        match self {
            Self::Native => native_drafts(draft, weights),
            Self::LlamaCpp | Self::MistralRs => Err(format!("`{self}` has no model guess for another; `native` does")),
        }
    }

    /// Whether it loads projectors, with which a model reads pictures.
    pub fn projects(self) -> bool {
        match self {
            Self::Native => false,
            Self::LlamaCpp => true,
            Self::MistralRs => false,
        }
    }

    /// Whether it keeps keys and values as this.
    pub fn keeps(self, cache: CacheType) -> bool {
        match self {
            Self::Native => true,
            // As they do if not told otherwise.
            Self::LlamaCpp | Self::MistralRs => cache == CacheType::F16,
        }
    }

    /// Whether a model reads pictures, with what is asked. Of a file that cannot be read nothing is known; loading it tells why.
    pub fn sees(self, weights: &Weights, asked: &Asked) -> bool {
        match self {
            Self::Native => false,
            Self::LlamaCpp => asked.mmproj.is_some(),
            // It knows one by its own files.
            Self::MistralRs => self.told(weights, asked).is_ok_and(|told| told.sees),
        }
    }

    /// Whether it loads all this.
    fn takes(self, weights: &Weights, beside: Beside<'_>) -> Result<(), String> {
        self.reads(weights).map_err(|why| format!("{self} does not read it: {why}"))?;
        if beside.projector && !self.projects() {
            return Err(format!("{self} loads no projectors"));
        }
        if !self.keeps(beside.cache) {
            return Err(format!("{self} does not keep keys and values as {}", beside.cache));
        }
        let put = beside.adapter.map_or(Ok(()), |adapter| self.puts(adapter, weights));
        put.map_err(|why| format!("{self} does not put the adapter over it: {why}"))?;
        let drafts = beside.draft.map_or(Ok(()), |draft| self.drafts(draft, weights));
        drafts.map_err(|why| format!("{self} does not have the draft guess for it: {why}"))
    }

    /// What it makes of texts with these weights. Of a file that cannot be read nothing is known; loading it tells why.
    pub fn purpose(self, weights: &Weights) -> Purpose {
        match (self, weights) {
            (Self::Native | Self::LlamaCpp, Weights::File(path)) => purpose_of(path).unwrap_or_default(),
            _ => Purpose::Text,
        }
    }

    /// What weights would take in memory, with what is loaded beside them, and what they say of themselves, found out without
    /// loading them.
    ///
    /// # Errors
    /// They cannot be read, or be loaded as is asked.
    pub fn told(self, weights: &Weights, asked: &Asked) -> Result<Told, String> {
        match self {
            Self::Native | Self::LlamaCpp => {
                let told = estimate::told(weights, asked.context_tokens, asked.cache)?;
                // A draft is a model with a cache of its own, of halves.
                let draft = match &asked.draft {
                    Some(path) => {
                        estimate::told(&Weights::File(path.clone()), asked.context_tokens, CacheType::F16)?.bytes
                    }
                    None => 0,
                };
                let beside = asked.files_beside().saturating_add(draft);
                Ok(Told { bytes: told.bytes.saturating_add(beside), ..told })
            }
            #[cfg(feature = "mistralrs")]
            Self::MistralRs => {
                let path = weights.path().ok_or(NOT_BUILT_IN)?;
                let mistralrs_engine::Told { bytes, facts, sees } =
                    mistralrs_engine::told(path, &mistralrs_options(asked)).map_err(|error| chain(&error))?;
                Ok(Told { bytes, facts, sees })
            }
            #[cfg(not(feature = "mistralrs"))]
            Self::MistralRs => Err(LACKING.to_owned()),
        }
    }

    /// Whether it quantises weights to a type while it loads them.
    ///
    /// # Errors
    /// Why it does not.
    pub fn quantises(self, weights: &Weights, isq: &str) -> Result<(), String> {
        if self != Self::MistralRs {
            return Err(format!(
                "`{self}` takes weights as they are; `engine: mistralrs` with a folder of safetensors does not"
            ));
        }
        if !weights.path().is_some_and(Path::is_dir) {
            return Err("a file is quantised as it is; write the folder of the safetensors as `path`".to_owned());
        }
        #[cfg(feature = "mistralrs")]
        {
            mistralrs_engine::check_isq(isq).map_err(|error| chain(&error))
        }
        #[cfg(not(feature = "mistralrs"))]
        {
            Err(format!("`{isq}` is not known: {LACKING}"))
        }
    }

    /// Loads weights, and says how far it is. Takes as long as that takes; what is wanted no more, it may give up. Where weights
    /// are packed, they are kept for the next time in the files that are given.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn load(
        self,
        id: BackendId,
        weights: &Weights,
        asked: &Asked,
        packed: Option<&PackedFiles>,
        progress: &Arc<Progress>,
    ) -> Result<(Arc<dyn Backend>, Info), String> {
        let engine = match self {
            Self::Native => {
                let source = match weights {
                    Weights::BuiltIn => native::Source::Builtin(DEMO),
                    Weights::File(path) => native::Source::File(path.clone()),
                    Weights::Folder(_) => return Err(FILES_ONLY.to_owned()),
                };
                let adapter = asked.adapter.as_ref().and_then(Weights::path).map(Path::to_owned);
                let options = native::Options {
                    context: asked.context(),
                    max_sequences: asked.sequences,
                    adapter,
                    draft: asked.draft.clone(),
                    packed: packed.cloned(),
                    cache: asked.cache,
                    ..Default::default()
                };
                native::load(id, source, options).map_err(|error| chain(&error))?
            }
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCpp => {
                let path = match weights {
                    Weights::BuiltIn => return Err(NOT_BUILT_IN.to_owned()),
                    Weights::File(path) => path,
                    Weights::Folder(_) => return Err(FILES_ONLY.to_owned()),
                };
                let progress = Arc::clone(progress);
                let watch = llama_cpp_engine::Watch::new(move |share| {
                    progress.set((share * 1e3) as u32);
                    progress.is_wanted()
                });
                let options = llama_cpp_engine::Options {
                    context: asked.context(),
                    max_sequences: asked.sequences,
                    gpu_layers: asked.gpu_layers,
                    adapter: asked.adapter.as_ref().and_then(Weights::path).map(Path::to_owned),
                    mmproj: asked.mmproj.clone(),
                    watch: Some(watch),
                    ..Default::default()
                };
                llama_cpp_engine::load(id, path, &options).map_err(|error| chain(&error))?
            }
            #[cfg(not(feature = "llama-cpp"))]
            Self::LlamaCpp => return Err(LACKING.to_owned()),
            #[cfg(feature = "mistralrs")]
            Self::MistralRs => {
                let path = weights.path().ok_or(NOT_BUILT_IN)?;
                mistralrs_engine::load(id, path, mistralrs_options(asked)).map_err(|error| chain(&error))?
            }
            #[cfg(not(feature = "mistralrs"))]
            Self::MistralRs => return Err(LACKING.to_owned()),
        };
        progress.set(1_000);
        let info = engine.info().clone();
        Ok((Arc::new(engine), info))
    }
}

impl Asked {
    fn context(&self) -> Option<usize> {
        self.context_tokens.and_then(|tokens| usize::try_from(tokens).ok())
    }

    /// Bytes of the files that are loaded beside weights. Of one that is gone loading tells.
    fn files_beside(&self) -> u64 {
        let adapter = self.adapter.as_ref().and_then(Weights::path);
        let files = adapter.into_iter().chain(self.mmproj.as_deref());
        files.filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).fold(0, u64::saturating_add)
    }
}

/// It places layers itself; all that can be said is that a graphics card gets none.
#[cfg(feature = "mistralrs")]
fn mistralrs_options(asked: &Asked) -> mistralrs_engine::Options {
    use mistralrs_engine::Device;
    let device = match asked.gpu_layers {
        Some(0) => Device::Cpu,
        _ if cfg!(feature = "mistralrs-cuda") => Device::Cuda(0),
        _ if cfg!(feature = "mistralrs-metal") => Device::Metal,
        _ => Device::Cpu,
    };
    let adapters = asked.adapter.iter().filter_map(Weights::path).map(Path::to_owned).collect();
    mistralrs_engine::Options {
        context: asked.context(),
        max_sequences: asked.sequences,
        isq: asked.isq.clone(),
        device,
        adapters,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The engine that `auto` means for these weights, with what is to be loaded beside them.
///
/// # Errors
/// Each engine with why it does not read them.
pub fn choose(weights: &Weights, beside: Beside<'_>, measured: &Measured) -> Result<Chosen, String> {
    let Some(path) = weights.path() else {
        return Ok(Chosen { engine: Kind::Native, why: "its weights are built in".to_owned() });
    };
    let mut readers = Vec::new();
    let mut others = Vec::new();
    for kind in Kind::built() {
        match kind.takes(weights, beside) {
            Ok(()) => readers.push(kind),
            Err(why) => others.push(why),
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
    native::reads(&file).map_err(|error| chain(&error))
}

/// Whether our own engine puts an adapter over the weights of a file.
fn native_puts(adapter: &Path, weights: &Weights) -> Result<(), String> {
    let path = weights.path().ok_or("no adapter goes over weights that are built in")?;
    let open = |path: &Path| gguf::File::open(path).map_err(|error| format!("`{}`: {}", path.display(), chain(&error)));
    native::model::Model::check_adapter(&open(adapter)?, &open(path)?).map_err(|error| chain(&error))
}

/// Whether our own engine has a draft guess for the model of some weights.
fn native_drafts(draft: &Path, weights: &Weights) -> Result<(), String> {
    let open = |path: &Path| gguf::File::open(path).map_err(|error| format!("`{}`: {}", path.display(), chain(&error)));
    let model = match weights.path() {
        Some(path) => open(path)?,
        None => gguf::File::from_static(DEMO).map_err(|error| chain(&error))?,
    };
    native::draft::check(&open(draft)?, &model).map_err(|error| chain(&error))
}

/// What a file says that its model is for.
fn purpose_of(path: &Path) -> Result<Purpose, gguf::Error> {
    Ok(Facts::of(&gguf::File::open(path)?)?.purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/models/pointsman-demo.gguf"))
    }

    #[test]
    fn every_engine_is_known_by_its_name_and_says_whether_this_build_has_it() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert!(
                kind.is_built() || kind.reads(&Weights::File(demo())).unwrap_err().contains("--features"),
                "{kind}"
            );
        }
        assert_eq!(Kind::named("auto"), None);
        assert!(Kind::built().any(|kind| kind == Kind::Native));
    }

    #[test]
    fn auto_leaves_out_engines_that_cannot_keep_keys_and_values_as_is_asked() {
        let beside = Beside { cache: CacheType::Q8_0, ..Beside::default() };
        let chosen = choose(&Weights::File(demo()), beside, &Measured::default()).unwrap();
        assert_eq!(chosen.engine, Kind::Native);
        for kind in Kind::built().filter(|kind| !kind.keeps(CacheType::Q8_0)) {
            assert!(chosen.why.contains(&format!("{kind} does not keep keys and values as q8_0")), "{}", chosen.why);
        }
    }

    #[test]
    fn auto_takes_what_was_measured_fastest_here_and_says_why() {
        let weights = Weights::File(demo());
        let chosen = choose(&weights, Beside::default(), &Measured::default()).unwrap();
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
        let chosen = choose(&weights, Beside::default(), &measured).unwrap();
        assert_eq!(chosen.engine, last);
        assert!(chosen.why.ends_with("it is the fastest, 20.0 tokens a second"), "{}", chosen.why);
    }

    #[test]
    fn what_no_engine_reads_is_refused_with_what_each_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "hello").unwrap();
        let why = choose(&Weights::File(path), Beside::default(), &Measured::default()).unwrap_err();
        assert!(why.starts_with("native does not read it: cannot read") || why.contains("not a valid GGUF"), "{why}");
        assert_eq!(why.matches("does not read it").count(), Kind::built().count(), "{why}");
    }
}
