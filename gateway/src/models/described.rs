//! What a model file says of itself, for people who choose: architecture, format, size, context, memory, and who can load it.
//!
//! Read by the engine's own reader and never trusted further than that has checked: sizes that would overflow are not known.
//! Keys and values are counted at two bytes a number, as the engines keep them unless told otherwise.

use std::path::PathBuf;

use native::gguf::{Array, File, TensorType};

use crate::dispatch::chain;

/// Bytes of a number in the cache of keys and values.
const CACHED: u64 = 2;
/// The longest text that is kept of a file, in characters.
const MOST_TEXT: usize = 120;
/// More models than anybody makes one from.
const MOST_BASE_MODELS: u64 = 16;
/// More layers than any model has.
const MOST_LAYERS: u64 = 1_024;

/// What the files of a model say.
#[derive(Clone, Debug)]
pub struct Described {
    /// Architecture.
    pub architecture: String,
    /// Format of most of the weights.
    pub quantization: &'static str,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the weights.
    pub weights: u64,
    /// Tokens that it was made for.
    pub context: Option<u64>,
    /// Bytes of keys and values for each token; none where the shape does not say.
    pub cache_per_token: Option<u64>,
    /// The licence that the file names, which is nobody's conclusion.
    pub license: Option<String>,
}

/// What the files of a model say, parts in order: the first has what holds for all.
///
/// # Errors
/// A file cannot be read or is no valid GGUF, or there is none.
pub fn described(paths: &[PathBuf]) -> Result<Described, String> {
    let files =
        paths.iter().map(|path| File::open(path).map_err(|error| chain(&error))).collect::<Result<Vec<_>, _>>()?;
    match files.is_empty() {
        true => Err("there is no file".to_owned()),
        false => Ok(Described::of(&files)),
    }
}

impl Described {
    /// What files that were opened say, parts in order; of none of them nothing is known.
    pub fn of(files: &[File]) -> Self {
        let first = files.first();
        let tensors = || files.iter().flat_map(File::tensors);
        let bytes_of = |kind: TensorType| -> u64 {
            tensors().filter(|tensor| tensor.kind == kind).map(|tensor| tensor.data.len() as u64).sum()
        };
        let largest = TensorType::ALL.iter().copied().max_by_key(|kind| bytes_of(*kind));
        Self {
            architecture: first
                .and_then(|first| text(first, "general.architecture"))
                .unwrap_or_else(|| "not said".to_owned()),
            quantization: largest.map_or("none", TensorType::name),
            parameters: tensors().map(|tensor| tensor.len()).fold(0, u64::saturating_add),
            weights: tensors().map(|tensor| tensor.data.len() as u64).sum(),
            context: first.and_then(|first| of_shape(first, "context_length")),
            cache_per_token: first.and_then(cache_per_token),
            license: first.and_then(|first| text(first, "general.license")),
        }
    }

    /// Bytes of weights, and of keys and values for a sequence of so many tokens.
    pub fn memory(&self, context: u64) -> Option<u64> {
        self.cache_per_token?.checked_mul(context)?.checked_add(self.weights)
    }
}

/// Whether our own engine loads a model of these files, which binds its weights and builds its vocabulary.
///
/// # Errors
/// Why it does not.
pub fn native(paths: &[PathBuf]) -> Result<(), String> {
    let [path] = paths else {
        return Err(format!("it is split into {} files, and the engine reads one", paths.len()));
    };
    let file = File::open(path).map_err(|error| chain(&error))?;
    native::model::Model::load(&file).map_err(|error| chain(&error))?;
    native::tokenizer::Tokenizer::from_file(&file).map_err(|error| chain(&error))?;
    Ok(())
}

/// What a file says of its own licence, for the licence check: as it stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The licence.
    pub license: Option<String>,
    /// The models that it was made from: `owner/name` where they have an address, else their names.
    pub base_models: Vec<String>,
}

/// What a file says of its own licence. What is missing or of another type is passed over: it is only said.
pub fn declared(file: &File) -> Declared {
    let text = |key: &str| file.get::<&str>(key).ok().flatten();
    let count = file.get::<u64>("general.base_model.count").ok().flatten().unwrap_or(0).min(MOST_BASE_MODELS);
    let name = |n| {
        let path = text(&format!("general.base_model.{n}.repo_url"));
        let path = path.and_then(|url| url.strip_prefix("https://huggingface.co/"));
        let name = path.or_else(|| text(&format!("general.base_model.{n}.name")));
        name.map(|name| name.trim_end_matches('/').to_owned())
    };
    Declared { license: text("general.license").map(str::to_owned), base_models: (0..count).filter_map(name).collect() }
}

fn text(file: &File, key: &str) -> Option<String> {
    let text = file.get::<&str>(key).ok().flatten()?;
    Some(text.chars().take(MOST_TEXT).collect())
}

/// A number that stands under the name of the architecture.
fn of_shape(file: &File, key: &str) -> Option<u64> {
    let architecture = file.get::<&str>("general.architecture").ok().flatten()?;
    file.get(&format!("{architecture}.{key}")).ok().flatten()
}

/// Numbers of keys and of values in each layer, times their bytes.
fn cache_per_token(file: &File) -> Option<u64> {
    let layers = of_shape(file, "block_count").filter(|layers| *layers <= MOST_LAYERS)?;
    let heads = of_shape(file, "attention.head_count");
    let length = |key: &str| {
        let derived = || of_shape(file, "embedding_length")?.checked_div(heads?);
        of_shape(file, key).or_else(derived)
    };
    let head = length("attention.key_length")?.checked_add(length("attention.value_length")?)?;
    let architecture = file.get::<&str>("general.architecture").ok().flatten()?;
    // Some models have other numbers of heads from layer to layer.
    let kv_heads = match file.get::<&Array>(&format!("{architecture}.attention.head_count_kv")) {
        Ok(Some(each)) if each.len() as u64 == layers => {
            each.integers()?.into_iter().try_fold(0_u64, |sum, heads| sum.checked_add(u64::try_from(heads).ok()?))?
        }
        Ok(Some(_)) => return None,
        _ => of_shape(file, "attention.head_count_kv").or(heads)?.checked_mul(layers)?,
    };
    kv_heads.checked_mul(head)?.checked_mul(CACHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_model_tells_its_shape_and_our_engine_loads_it() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/models/pointsman-demo.gguf"));
        let described = described(std::slice::from_ref(&path)).unwrap();
        assert_eq!((described.architecture.as_str(), described.context), ("llama", Some(512)));
        assert_eq!(super::native(std::slice::from_ref(&path)), Ok(()));
        let cached = described.cache_per_token.unwrap();
        assert_eq!(described.memory(512).unwrap(), described.weights + 512 * cached);
        assert!(described.weights < std::fs::metadata(&path).unwrap().len());
        assert_eq!(described.memory(u64::MAX), None, "larger than any machine");
        assert!(super::native(&[path.clone(), path]).unwrap_err().contains("split into 2 files"));
    }

    #[test]
    fn what_is_no_model_is_told_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "hello").unwrap();
        assert!(described(&[path]).unwrap_err().contains("not a valid GGUF"));
        assert!(described(&[]).is_err());
    }
}
