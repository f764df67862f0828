//! A small random model in the layout of Hugging Face, for tests: the weights and the vocabulary of a GGUF file of ours,
//! written otherwise.

use std::path::Path;

use bytes::Bytes;
use engine::{
    gguf::{Array, File, TensorView},
    testing::Llama,
};
use safetensors::{Dtype, tensor::TensorView as Tensor};
use serde_json::{Value, json};

/// Writes a folder of F32; with a byte-level vocabulary both files say the same.
pub fn write(model: &Llama, folder: &Path) {
    let file = File::read(Bytes::from(model.build())).unwrap();
    let texts = |key: &str| file.require::<&Array>(key).unwrap().texts().unwrap();
    let (tokens, merges) = (texts("tokenizer.ggml.tokens"), texts("tokenizer.ggml.merges"));
    let template: &str = file.require("tokenizer.chat_template").unwrap();
    let write = |name: &str, value: Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    write(
        "config.json",
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": model.width, "intermediate_size": model.feed_forward, "vocab_size": tokens.len(),
            "num_hidden_layers": model.layers, "num_attention_heads": model.heads,
            "num_key_value_heads": model.kv_heads, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
            "max_position_embeddings": model.context, "tie_word_embeddings": model.tied, "torch_dtype": "float32",
        }),
    );
    write("tokenizer.json", tokenizer(&tokens, &merges));
    write(
        "tokenizer_config.json",
        json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": template}),
    );
    let weights: Vec<(String, Vec<usize>, Vec<u8>)> = file.tensors().map(|tensor| written(&tensor, model)).collect();
    let views = weights
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), Tensor::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

/// Writes an adapter (LoRA) of rank 2 for it, whose numbers are small multiples of a scale.
pub fn adapter(model: &Llama, folder: &Path, scale: f32) {
    let config = json!({"r": 2, "lora_alpha": 4.0, "target_modules": ["q_proj", "v_proj"]});
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let (width, values) = (model.width as usize, (model.kv_heads * model.width / model.heads) as usize);
    let filled = |len: usize| (0..len).flat_map(|n| (scale * (n % 3) as f32).to_le_bytes()).collect::<Vec<u8>>();
    let mut weights = Vec::new();
    for layer in 0..model.layers {
        for (part, rows) in [("q_proj", width), ("v_proj", values)] {
            let name = |which| format!("base_model.model.model.layers.{layer}.self_attn.{part}.lora_{which}.weight");
            weights.push((name("A"), vec![2, width], filled(2 * width)));
            weights.push((name("B"), vec![rows, 2], filled(2 * rows)));
        }
    }
    let views = weights
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), Tensor::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("adapter_model.safetensors")).unwrap();
}

fn tokenizer(tokens: &[String], merges: &[String]) -> Value {
    let vocabulary: serde_json::Map<String, Value> =
        (0..).zip(tokens).map(|(id, text)| (text.clone(), Value::from(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": tokens[id], "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false})
    };
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0), special(1)],
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges},
    })
}

/// A tensor by its other name, as rows of bytes.
fn written(tensor: &TensorView<'_>, model: &Llama) -> (String, Vec<usize>, Vec<u8>) {
    let shape: Vec<usize> = tensor.dims.iter().rev().map(|&dim| dim as usize).collect();
    let name = tensor.name;
    let Some((layer, part)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        let name = match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            _ => "lm_head.weight",
        };
        return (name.to_owned(), shape, tensor.data.to_vec());
    };
    let (part, heads) = match part {
        "attn_q.weight" => ("self_attn.q_proj.weight", Some(model.heads)),
        "attn_k.weight" => ("self_attn.k_proj.weight", Some(model.kv_heads)),
        "attn_v.weight" => ("self_attn.v_proj.weight", None),
        "attn_output.weight" => ("self_attn.o_proj.weight", None),
        "ffn_gate.weight" => ("mlp.gate_proj.weight", None),
        "ffn_up.weight" => ("mlp.up_proj.weight", None),
        "ffn_down.weight" => ("mlp.down_proj.weight", None),
        "attn_norm.weight" => ("input_layernorm.weight", None),
        _ => ("post_attention_layernorm.weight", None),
    };
    let bytes = heads.map_or_else(|| tensor.data.to_vec(), |heads| halved(&tensor.data, shape[0], heads as usize));
    (format!("model.layers.{layer}.{part}"), shape, bytes)
}

/// GGUF has the two numbers of a head that turn together side by side, Hugging Face half a head apart.
fn halved(data: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let (row, head) = (data.len() / rows, rows / heads);
    let place = |index: usize| {
        let (of, within) = (index / head * head, index % head);
        of + 2 * (within % (head / 2)) + within / (head / 2)
    };
    (0..rows).flat_map(|index| &data[place(index) * row..][..row]).copied().collect()
}
