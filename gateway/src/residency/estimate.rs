//! What a model will take, and how long it will take to load, before it is loaded for the first time.
//!
//! Weights, and keys and values of every sequence that the engine works on at once, each as long as the context. Caches are
//! given pages as they are written, so a model that is asked little takes less; a budget that held only for little work
//! would be none. A model that reads texts and writes none has one text at a time, and for each of its tokens a number for
//! every token that might follow.

use std::time::Duration;

use engine::{
    CacheType, DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Facts, Purpose, encoder,
    gguf::{Array, File},
};

use crate::{config::Weights, dispatch::chain, engines::DEMO, models::described::Described};

/// Bytes of weights that are read in a second. An assumption, on the low side of the disks that machines with models have;
/// what was measured once counts instead.
const BYTES_A_SECOND: u64 = 512 << 20;
/// Bytes of how likely a token is to follow.
const BYTES_OF_A_LOGIT: u64 = 4;
/// The least that loading is taken to last.
const LEAST: Duration = Duration::from_millis(100);

/// What a model tells without its weights being read.
#[derive(Clone, Debug)]
pub struct Told {
    /// Bytes that it takes once it is loaded.
    pub bytes: u64,
    /// What it says of itself.
    pub facts: Facts,
    /// Whether it reads pictures with what is in these files alone.
    pub sees: bool,
}

/// What the GGUF file of a model tells, if it is run with this context, and keys and values are kept as this.
///
/// # Errors
/// The file cannot be read, or is no model.
pub fn told(weights: &Weights, context: Option<u64>, cache: CacheType) -> Result<Told, String> {
    let file = match weights {
        Weights::BuiltIn => File::from_static(DEMO),
        Weights::File(path) | Weights::Folder(path) => File::open(path),
    };
    let file = file.map_err(|error| format!("cannot read the model file: {}", chain(&error)))?;
    let facts = Facts::of(&file).map_err(|error| format!("cannot read the model file: {}", chain(&error)))?;
    let words = file.get::<&Array>("tokenizer.ggml.tokens").ok().flatten().map_or(0, |tokens| tokens.len() as u64);
    let behind = weights.path().map(|path| file.parts_behind(path)).unwrap_or_default();
    let described = Described::of(&std::iter::once(file).chain(behind).collect::<Vec<_>>());
    let usual = if facts.purpose == Purpose::Text { DEFAULT_CONTEXT } else { encoder::DEFAULT_CONTEXT } as u64;
    let context = context.or(described.context.map(|trained| trained.min(usual))).unwrap_or(usual);
    // A shape that does not say what it caches is a model that no engine of ours loads; its weights are what is known.
    let with_cache = |tokens| described.memory(tokens, cache).unwrap_or(described.weights);
    let bytes = match facts.purpose {
        Purpose::Text => with_cache(context.saturating_mul(DEFAULT_SEQUENCES as u64)),
        _ => with_cache(context).saturating_add(context.saturating_mul(words).saturating_mul(BYTES_OF_A_LOGIT)),
    };
    Ok(Told { bytes, facts, sees: false })
}

/// Bytes as people read them.
pub fn shown(bytes: u64) -> String {
    match bytes {
        ..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// How long a model of so many bytes takes to load.
pub fn loads_in(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / BYTES_A_SECOND as f64).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_takes_its_weights_and_a_full_cache_for_each_sequence() {
        let told = |context| told(&Weights::BuiltIn, context, CacheType::F16).unwrap();
        let (short, long) = (told(Some(256)).bytes, told(Some(512)).bytes);
        assert_eq!(told(None).bytes, long, "its own context, where nobody says one");
        let weights = short - (long - short);
        assert!(weights > 3_000_000 && weights < DEMO.len() as u64, "{weights}");
        assert_eq!((told(None).facts.license.as_deref(), told(None).facts.base_models.len()), (Some("apache-2.0"), 0));
    }

    #[test]
    fn a_model_that_only_reads_takes_its_weights_one_text_and_what_might_follow_each_of_its_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let bert = engine::testing::Bert::default();
        std::fs::write(&path, bert.build()).unwrap();
        let told = |context| told(&Weights::File(path.clone()), context, CacheType::F16).unwrap();
        assert_eq!(told(None).facts.purpose, Purpose::Vectors);
        let (short, long) = (told(Some(64)).bytes, told(Some(128)).bytes);
        assert_eq!(told(None).bytes, long, "its own context, where nobody says one");
        // Keys and values of two bytes, and 78 tokens that may follow.
        let token = u64::from(2 * 2 * bert.layers * bert.width) + 4 * 78;
        assert_eq!(long - short, 64 * token);
    }

    #[test]
    fn a_model_of_several_files_takes_what_all_of_them_take() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-00001-of-00002.gguf");
        let whole = engine::testing::Llama::default();
        std::fs::write(&path, whole.build()).unwrap();
        let weights = Weights::File(path.clone());
        let alone = told(&weights, Some(64), CacheType::F16).unwrap().bytes;
        let mut first = whole.writer();
        std::fs::write(&path, first.set("split.count", engine::testing::Meta::U32(2)).finish()).unwrap();
        assert_eq!(told(&weights, Some(64), CacheType::F16).unwrap().bytes, alone, "the second is not there");
        let mut second = engine::testing::Writer::default();
        second.tensor("blk.9.more", engine::gguf::TensorType::F32, &[250], vec![0; 1_000]);
        std::fs::write(folder.path().join("a-00002-of-00002.gguf"), second.finish()).unwrap();
        assert_eq!(told(&weights, Some(64), CacheType::F16).unwrap().bytes, alone + 1_000);
    }

    #[test]
    fn what_is_no_model_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "hello").unwrap();
        let error = told(&Weights::File(path), None, CacheType::F16).unwrap_err();
        assert!(error.starts_with("cannot read the model file"), "{error}");
    }

    #[test]
    fn loading_takes_longer_the_larger_a_model_is() {
        assert_eq!(loads_in(4 << 30), Duration::from_secs(8));
        assert_eq!(loads_in(0), Duration::from_millis(100));
    }
}
