//! What a GGUF file says of itself, and what mistralrs cannot do with it.
//!
//! The file's own tokenizer is read by us, and mistralrs gets the tokens: its conversion of such tokenizers splits every text
//! as one family of models does, so that the tokens of others come out wrong. That is why it needs no `tokenizer.json` here.

use engine::{
    Facts,
    gguf::{File, TensorType},
    template::Template,
    tokenizer::Tokenizer,
};

use crate::{
    error::{LoadError, unfit},
    load::{Described, Known, Room},
    options::Options,
};

/// The architectures that mistralrs reads from GGUF.
const ARCHITECTURES: [&str; 8] = ["llama", "mistral3", "phi2", "phi3", "starcoder2", "qwen2", "qwen3", "qwen3moe"];
/// Who serves the others.
const LLAMA_CPP: &str = "`engine: llama-cpp`";
/// The types of weights that it computes with.
const TYPES: [TensorType; 15] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q8_1,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::Q8_K,
];

/// Reads a file.
///
/// # Errors
/// It is damaged, or nothing for mistralrs; then it says which engine is.
pub(crate) fn describe(file: &File, options: &Options) -> Result<Known, LoadError> {
    let facts = Facts::of(file)?;
    refuse(file, &facts.architecture, options)?;
    let tokenizer = Tokenizer::from_file(file)?;
    let template = Template::from_file(file, &tokenizer)?;
    let key = |name: &str| format!("{}.{name}", facts.architecture);
    let number = |name: &str| file.require::<u64>(&key(name)).map(|value| value as usize);
    let (layers, heads, width) = (number("block_count")?, number("attention.head_count")?, number("embedding_length")?);
    let kv_heads =
        file.get::<u64>(&key("attention.head_count_kv")).ok().flatten().map_or(heads, |heads| heads as usize);
    let head = file.get::<u64>(&key("attention.key_length"))?.map_or(width / heads.max(1), |length| length as usize);
    let weights = file.tensor("token_embd.weight").and_then(|tensor| tensor.dims.get(1).copied()).unwrap_or_default();
    let described = Described {
        room: Room { packed: file.size(), floats: weights.saturating_mul(width as u64), weights: 0 },
        parameters: file.tensors().map(|tensor| tensor.len()).sum(),
        trained_context: number("context_length")?,
        quantization: quantization(file),
        cache_bytes_per_token: 2 * layers * kv_heads * head * size_of::<f32>(),
        file_bytes: file.size(),
        rows: weights as usize,
        eyes: None,
        facts,
    };
    Ok((described, tokenizer, template))
}

fn refuse(file: &File, architecture: &str, options: &Options) -> Result<(), LoadError> {
    if !ARCHITECTURES.contains(&architecture) {
        let known = ARCHITECTURES.join(", ");
        let reason = format!("it reads GGUF of {known}, and this is of `{}`", architecture.escape_debug());
        return unfit(reason, LLAMA_CPP);
    }
    if let Some(tensor) = file.tensors().find(|tensor| !TYPES.contains(&tensor.kind)) {
        let reason = format!("it has no weights of the type {}, as `{}` is", tensor.kind, tensor.name.escape_debug());
        return unfit(reason, LLAMA_CPP);
    }
    let experts = file.get::<u64>(&format!("{architecture}.expert_count"))?.unwrap_or(0);
    if experts > 0 && !options.device.is_accelerator() {
        let reason = format!("the file has {experts} experts, which it computes too slowly to be of use on a CPU");
        return unfit(reason, LLAMA_CPP);
    }
    if file.get::<u64>("split.count")?.is_some_and(|count| count > 1) {
        return unfit("the file is one part of several", LLAMA_CPP);
    }
    if let Some(isq) = &options.isq {
        return Err(LoadError::Option {
            option: "isq",
            reason: format!(
                "`{isq}` would quantise a GGUF file, which is quantised as it is; load the safetensors folder"
            ),
        });
    }
    if !options.adapters.is_empty() {
        return Err(LoadError::Option {
            option: "adapters",
            reason: "mistralrs puts an adapter on a safetensors folder, not on a GGUF file".to_owned(),
        });
    }
    Ok(())
}

/// The type of most of the weights.
fn quantization(file: &File) -> String {
    let mut counts: Vec<(TensorType, u64)> = Vec::new();
    for tensor in file.tensors() {
        match counts.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
            Some((_, count)) => *count += tensor.len(),
            None => counts.push((tensor.kind, tensor.len())),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(kind, _)| kind.to_string()).unwrap_or_default()
}
