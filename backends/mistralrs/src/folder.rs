//! What a folder in the layout of Hugging Face says of its model, and what mistralrs cannot do with it.
//!
//! `config.json`, weights in `*.safetensors`, `tokenizer.json`, and beside it what says which of its tokens begin and end a
//! text and how a conversation is written. A UQFF file stands in such a folder in place of most of the weights.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use engine::{Facts, template::Template};
use mistralrs::core::{LoraAdapterPaths, MultimodalLoaderType, NormalLoaderType};
use serde_json::Value;

use crate::{
    error::{LoadError, unfit},
    gemma3::{self, Eyes},
    load::{Described, Known, Room},
    options::Options,
    words::{self, Roles},
};

/// Bytes of a file that is no weights.
const MAX_TEXT: u64 = 256 << 20;

/// Who serves what mistralrs does not: no other engine reads safetensors.
const ELSEWHERE: &str = "`engine: llama-cpp` with a GGUF file of it, or a server such as vLLM";
/// The same of what reads pictures.
const SEES_ELSEWHERE: &str = "`engine: llama-cpp` with a GGUF file of it and its `mmproj`, or a server such as vLLM";

/// A folder that has all that a model needs.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// Files of weights, in order.
    pub(crate) weights: Vec<PathBuf>,
    /// The name of a UQFF file.
    pub(crate) uqff: Option<PathBuf>,
    config: Value,
}

impl Folder {
    /// Looks into a folder, or into that of a UQFF file.
    ///
    /// # Errors
    /// Something is missing, or the model is of a kind that mistralrs does not serve here.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let uqff = if path.is_file() { path.file_name().map(PathBuf::from) } else { None };
        let path = if uqff.is_some() { path.parent().unwrap_or(path) } else { path };
        let config = path.join("config.json");
        if !config.is_file() {
            return wrong("it has no `config.json`");
        }
        let config = json(&config)?;
        if !path.join("tokenizer.json").is_file() {
            return wrong("it has no `tokenizer.json`, which mistralrs needs to serve it");
        }
        let weights = shards(path)?;
        if weights.is_empty() {
            return wrong("it has no weights in `*.safetensors`; those in other files are programs, which are not run");
        }
        let folder = Self { path: path.to_owned(), weights, uqff, config };
        folder.refuse()?;
        Ok(folder)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The class of the model, as `config.json` names it.
    fn class(&self) -> &str {
        self.config["architectures"][0].as_str().unwrap_or_default()
    }

    fn refuse(&self) -> Result<(), LoadError> {
        let class = self.class();
        if self.is_gemma3() {
            return match &self.uqff {
                Some(_) => unfit("Gemma 3 is read from safetensors here, and this is a UQFF file", ELSEWHERE),
                None => Ok(()),
            };
        }
        if NormalLoaderType::from_causal_lm_name(class).is_ok() {
            return Ok(());
        }
        if MultimodalLoaderType::from_causal_lm_name(class).is_ok() {
            let reason = format!("`{class}` reads pictures or sound, and of those that do only Gemma 3 is built here");
            return unfit(reason, SEES_ELSEWHERE);
        }
        unfit(format!("it does not know the class `{}` of `config.json`", class.escape_debug()), ELSEWHERE)
    }

    /// Whether it is Gemma 3, which mistralrs counts among those that read pictures even where it does not.
    pub(crate) fn is_gemma3(&self) -> bool {
        gemma3::CLASSES.contains(&self.class())
    }

    /// What `config.json` says of the model that writes.
    fn writer(&self) -> &Value {
        if self.class() == gemma3::CLASSES[1] { &self.config["text_config"] } else { &self.config }
    }

    /// How it reads pictures, if it does.
    fn eyes(&self, rows: usize) -> Result<Option<Eyes>, LoadError> {
        if self.class() != gemma3::CLASSES[1] {
            return Ok(None);
        }
        Eyes::of(&self.config, &self.optional("preprocessor_config.json")?, rows).map(Some)
    }

    /// A number of `config.json`.
    fn number(&self, name: &str) -> Option<usize> {
        let written = self.writer()[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let default = gemma3::DEFAULTS.iter().find(|(key, _)| self.is_gemma3() && *key == name);
        written.or(default.map(|(_, number)| *number))
    }

    fn required(&self, name: &str) -> Result<usize, LoadError> {
        self.number(name)
            .filter(|&number| number > 0)
            .ok_or_else(|| LoadError::Folder { reason: format!("`config.json` has no number `{name}` above zero") })
    }

    /// A file of the folder that may be missing.
    fn optional(&self, name: &str) -> Result<Value, LoadError> {
        let path = self.path.join(name);
        if path.is_file() { json(&path) } else { Ok(Value::Null) }
    }
}

/// Reads all but the weights.
///
/// # Errors
/// A file cannot be read, or does not say what it must.
pub(crate) fn describe(folder: &Folder, options: &Options) -> Result<Known, LoadError> {
    if let (Some(isq), true) = (&options.isq, folder.uqff.is_some()) {
        let reason = format!("`{isq}` would quantise a UQFF file, which is quantised as it is");
        return Err(LoadError::Option { option: "isq", reason });
    }
    if folder.uqff.is_some() && !options.adapters.is_empty() {
        let reason = "mistralrs puts an adapter on safetensors, not on a UQFF file".to_owned();
        return Err(LoadError::Option { option: "adapters", reason });
    }
    let mut adapted = 0u64;
    if folder.is_gemma3() && !options.adapters.is_empty() {
        let reason = "mistralrs puts no adapter on Gemma 3; use `engine: llama-cpp` with GGUF files of both".to_owned();
        return Err(LoadError::Option { option: "adapters", reason });
    }
    for path in &options.adapters {
        adapted = adapted.saturating_add(weights(&adapter(path)?.adapter_path, |_| true)?);
    }
    let told = folder.optional("tokenizer_config.json")?;
    let template = template(folder, &told)?;
    let roles = roles(folder, &told)?;
    let text = read(&folder.path.join("tokenizer.json"))?;
    let tokenizer = words::read(&text, &roles, template.as_deref().unwrap_or_default())?;
    let template = template.map(|text| Template::new(&text, &tokenizer)).transpose()?;

    let (heads, width) = (folder.required("num_attention_heads")?, folder.required("hidden_size")?);
    let kv_heads = folder.number("num_key_value_heads").unwrap_or(heads);
    let head = folder.number("head_dim").unwrap_or(width / heads);
    let rows = folder.required("vocab_size")?;
    let eyes = folder.eyes(rows)?;
    let (mut parameters, mut of_eyes) = (0, 0);
    for path in &folder.weights {
        parameters += weights(path, |_| true)?;
        of_eyes += weights(path, |name| !name.starts_with("language_model."))?;
    }
    let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    let packed = folder.uqff.as_ref().map_or(0, |name| size(&folder.path.join(name)));
    let file_bytes = folder.weights.iter().map(|path| size(path)).fold(packed, u64::saturating_add);
    // A UQFF file has what can be quantised; what is beside it cannot.
    let table = (rows as u64).saturating_mul(width as u64);
    let of_eyes = if eyes.is_some() { of_eyes } else { 0 };
    let kept = eyes.as_ref().map_or(0, |eyes| eyes.kept(width));
    let floats = if folder.uqff.is_some() { parameters } else { parameters.min(table.saturating_add(of_eyes)) };
    let quantization = match &folder.uqff {
        Some(file) => file.with_extension("").to_string_lossy().into_owned(),
        None => ["torch_dtype", "dtype"]
            .iter()
            .find_map(|key| folder.config[*key].as_str().or(folder.writer()[*key].as_str()))
            .unwrap_or("safetensors")
            .to_owned(),
    };
    let described = Described {
        facts: Facts {
            architecture: folder.config["model_type"].as_str().unwrap_or_default().to_owned(),
            ..Facts::default()
        },
        parameters,
        // An adapter is never quantised, and neither is what is kept of pictures.
        room: Room {
            packed,
            floats: [adapted, kept].into_iter().fold(floats, u64::saturating_add),
            weights: parameters - floats,
        },
        trained_context: folder.required("max_position_embeddings")?,
        quantization,
        cache_bytes_per_token: 2 * folder.required("num_hidden_layers")? * kv_heads * head * size_of::<f32>(),
        file_bytes,
        rows,
        eyes,
    };
    Ok((described, tokenizer, template))
}

/// An adapter's files.
///
/// # Errors
/// One is missing or damaged.
pub(crate) fn adapter(path: &Path) -> Result<LoraAdapterPaths, LoadError> {
    let (config, weights) = (path.join("adapter_config.json"), path.join("adapter_model.safetensors"));
    let wrong = |reason: String| LoadError::Option { option: "adapters", reason };
    for file in [&config, &weights] {
        if !file.is_file() {
            return Err(wrong(format!("there is no `{}`", file.display())));
        }
    }
    let lora_config = serde_json::from_str(&read(&config)?)
        .map_err(|error| wrong(format!("`{}` cannot be used: {error}", config.display())))?;
    Ok(LoraAdapterPaths { lora_config, adapter_path: weights })
}

/// The template, from the first of the three places that has one.
fn template(folder: &Folder, told: &Value) -> Result<Option<String>, LoadError> {
    let own = folder.path.join("chat_template.jinja");
    if own.is_file() {
        return read(&own).map(Some);
    }
    let other = folder.optional("chat_template.json")?;
    for place in [&told["chat_template"], &other["chat_template"]] {
        if let Some(text) = place.as_str() {
            return Ok(Some(text.to_owned()));
        }
        // Several templates, of which one is for all that is not said otherwise.
        let default = place.as_array().into_iter().flatten().find(|one| one["name"] == "default");
        if let Some(text) = default.and_then(|one| one["template"].as_str()) {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

/// What the files say of tokens that begin and end a text.
fn roles(folder: &Folder, told: &Value) -> Result<Roles, LoadError> {
    let generation = folder.optional("generation_config.json")?;
    let text = |token: &Value| token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned);
    let ends = [&generation["eos_token_id"], &folder.config["eos_token_id"]].into_iter().flat_map(|ids| match ids {
        Value::Array(ids) => ids.iter().filter_map(Value::as_u64).collect(),
        id => id.as_u64().into_iter().collect::<Vec<_>>(),
    });
    let ends = ends.filter_map(|id| u32::try_from(id).ok()).collect();
    Ok(Roles { bos: text(&told["bos_token"]), eos: text(&told["eos_token"]), ends })
}

/// Weights that count, by their names, of a file in the format of `safetensors`: a length, and that many bytes of JSON that tell of each tensor.
fn weights(path: &Path, counts: fn(&str) -> bool) -> Result<u64, LoadError> {
    let failed = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut len = [0; 8];
    file.read_exact(&mut len).map_err(failed)?;
    let len = u64::from_le_bytes(len);
    if len > MAX_TEXT {
        return Err(failed(std::io::Error::other("it is no safetensors file")));
    }
    let mut head = Vec::new();
    file.take(len).read_to_end(&mut head).map_err(failed)?;
    let head: Value = serde_json::from_slice(&head).map_err(|error| failed(error.into()))?;
    let shapes = head.as_object().into_iter().flatten().filter(|(name, _)| *name != "__metadata__" && counts(name));
    let count = |shape: &Value| {
        let dims = shape.as_array().into_iter().flatten().map(|dim| dim.as_u64().unwrap_or(0));
        dims.fold(1u64, u64::saturating_mul)
    };
    Ok(shapes.map(|(_, tensor)| count(&tensor["shape"])).fold(0, u64::saturating_add))
}

/// The files of weights, in order. Where there are some named `model` they are all of it: what stands beside them is the same
/// in another layout, or an adapter.
fn shards(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|ending| ending == "safetensors") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    let named = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("model"));
    if files.iter().any(named) {
        files.retain(named);
    }
    Ok(files)
}

fn json(path: &Path) -> Result<Value, LoadError> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| LoadError::Unreadable { path: path.to_owned(), source: error.into() })
}

fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_TEXT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, LoadError> {
    Err(LoadError::Folder { reason: reason.into() })
}
