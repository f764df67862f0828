//! What a model file says of itself, for people who choose: architecture, format, size, context, memory, and who can load it.
//!
//! Read by the engine's own reader and never trusted further than that has checked: sizes that would overflow are not known.

use std::path::PathBuf;

use engine::{
    CacheType,
    gguf::{Array, File, TensorType},
};

use crate::dispatch::chain;

/// The longest text that is kept of a file, in characters.
const MOST_TEXT: usize = 120;
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
    /// Numbers of keys and values for each token; none where the shape does not say.
    pub cached_per_token: Option<u64>,
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
            cached_per_token: first.and_then(cached_per_token),
            license: first.and_then(|first| text(first, "general.license")),
        }
    }

    /// Bytes of weights, and of keys and values for a sequence of so many tokens.
    pub fn memory(&self, context: u64, cache: CacheType) -> Option<u64> {
        cache.bytes(self.cached_per_token?.checked_mul(context)?)?.checked_add(self.weights)
    }
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

/// Numbers of keys and of values in all layers.
fn cached_per_token(file: &File) -> Option<u64> {
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
    kv_heads.checked_mul(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_model_tells_its_shape() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/models/pointsman-demo.gguf"));
        let described = described(std::slice::from_ref(&path)).unwrap();
        assert_eq!((described.architecture.as_str(), described.context), ("llama", Some(512)));
        let cached = described.cached_per_token.unwrap();
        let memory = |context, cache| described.memory(context, cache);
        assert_eq!(memory(512, CacheType::F16).unwrap(), described.weights + 512 * 2 * cached);
        assert_eq!(memory(512, CacheType::Q8_0).unwrap(), described.weights + 512 * 17 * cached / 16);
        assert!(described.weights < std::fs::metadata(&path).unwrap().len());
        for cache in CacheType::ALL {
            assert_eq!(memory(u64::MAX, cache), None, "larger than any machine");
        }
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
