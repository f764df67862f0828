//! A small random model in the layout of Hugging Face, for tests: the weights and the vocabulary of a GGUF file of ours,
//! written otherwise.

use std::path::Path;

use bytes::Bytes;
use engine::{
    gguf::{Array, File, TensorView},
    testing::{Clip, Llama, Meta, Writer},
};
use safetensors::{Dtype, tensor::TensorView as Tensor};
use serde_json::{Value, json};

/// Writes a folder of F32; with a byte-level vocabulary both files say the same. Of `llama`, and of `gemma3` without pictures.
pub fn write(model: &Llama, folder: &Path) {
    let file = File::read(Bytes::from(model.build())).unwrap();
    let mut config = text_config(model, &file);
    let gemma3 = model.architecture == "gemma3";
    config["architectures"] = json!([if gemma3 { "Gemma3ForCausalLM" } else { "LlamaForCausalLM" }]);
    put(folder, "config.json", &config);
    vocabulary(&file, folder, 2);
    save(folder, file.tensors().map(|tensor| written(&tensor, model)).collect());
}

/// A GGUF file of `gemma3` with tokens of pictures, in place of bytes that no text has.
pub fn gemma3(model: &Llama) -> Writer {
    let mut writer = model.writer();
    let file = File::read(Bytes::from(model.build())).unwrap();
    let mut tokens = file.require::<&Array>("tokenizer.ggml.tokens").unwrap().texts().unwrap().to_vec();
    let special = |id: usize| usize::from(id < 2 || PICTURES.iter().any(|(of, _)| *of == id));
    for (id, name) in PICTURES {
        tokens[id] = name.to_owned();
    }
    let types = (0..tokens.len()).map(|id| [1, 3][special(id)]).collect();
    writer.set("tokenizer.ggml.tokens", Meta::Texts(tokens)).set("tokenizer.ggml.token_type", Meta::I32s(types));
    writer
}

/// Writes a folder of F32 of such a model and its projector.
pub fn seeing(model: &Llama, projector: &Clip, folder: &Path) {
    let file = File::read(Bytes::from(gemma3(model).finish())).unwrap();
    let [begins, of, ends] = PICTURES.map(|(id, _)| id);
    put(
        folder,
        "config.json",
        &json!({
            "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "torch_dtype": "float32",
            "boi_token_index": begins, "image_token_index": of, "eoi_token_index": ends,
            "mm_tokens_per_image": projector.tokens(), "text_config": text_config(model, &file),
            "vision_config": {
                "hidden_size": projector.width, "intermediate_size": projector.width * 2,
                "num_hidden_layers": projector.layers, "num_attention_heads": projector.heads,
                "image_size": projector.image, "patch_size": projector.patch, "layer_norm_eps": 1e-6,
                "hidden_act": "gelu_pytorch_tanh",
            },
        }),
    );
    put(
        folder,
        "preprocessor_config.json",
        &json!({
            "do_resize": true, "do_rescale": true, "do_normalize": true, "do_pan_and_scan": null, "resample": 2,
            "size": {"height": projector.image, "width": projector.image}, "rescale_factor": 1.0 / 255.0,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        }),
    );
    vocabulary(&file, folder, 5);
    let mut weights: Vec<_> = file.tensors().map(|tensor| written(&tensor, model)).collect();
    for (name, ..) in &mut weights {
        *name = format!("language_model.{name}");
    }
    let file = File::read(Bytes::from(projector.build())).unwrap();
    weights.extend(file.tensors().map(|tensor| projected(&tensor)));
    save(folder, weights);
}

/// Tokens of pictures by their ids, of bytes that are in no text.
const PICTURES: [(usize, &str); 3] =
    [(2 + 0xFD, "<start_of_image>"), (2 + 0xFE, "<image_soft_token>"), (2 + 0xFF, "<end_of_image>")];

/// A tensor by its name, with its shape and its bytes.
type Weight = (String, Vec<usize>, Vec<u8>);

/// What `config.json` says of a model that writes.
fn text_config(model: &Llama, file: &File) -> Value {
    let mut config = json!({
        "model_type": "llama", "hidden_act": "silu",
        "hidden_size": model.width, "intermediate_size": model.feed_forward,
        "vocab_size": file.require::<&Array>("tokenizer.ggml.tokens").unwrap().len(),
        "num_hidden_layers": model.layers, "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "max_position_embeddings": model.context, "tie_word_embeddings": model.tied, "torch_dtype": "float32",
    });
    if model.architecture == "gemma3" {
        let head = model.width / model.heads;
        for (key, value) in [
            ("model_type", json!("gemma3_text")),
            ("rope_theta", json!(1e6)),
            ("rope_scaling", json!({"rope_type": "linear", "factor": 8.0})),
            ("head_dim", json!(head)),
            ("query_pre_attn_scalar", json!(head)),
            ("sliding_window", json!(24)),
        ] {
            config[key] = value;
        }
        config.as_object_mut().unwrap().remove("hidden_act");
    }
    config
}

/// The files of the vocabulary, whose special tokens are the first two and the last of bytes.
fn vocabulary(file: &File, folder: &Path, special: usize) {
    let texts = |key: &str| file.require::<&Array>(key).unwrap().texts().unwrap();
    let (tokens, merges) = (texts("tokenizer.ggml.tokens"), texts("tokenizer.ggml.merges"));
    let special: Vec<usize> = [0, 1].into_iter().chain(PICTURES.map(|(id, _)| id)).take(special).collect();
    put(folder, "tokenizer.json", &tokenizer(&tokens, &merges, &special));
    let template: &str = file.require("tokenizer.chat_template").unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": template});
    put(folder, "tokenizer_config.json", &config);
}

fn put(folder: &Path, name: &str, value: &Value) {
    std::fs::write(folder.join(name), value.to_string()).unwrap();
}

fn save(folder: &Path, weights: Vec<Weight>) {
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

fn tokenizer(tokens: &[String], merges: &[String], specials: &[usize]) -> Value {
    let vocabulary: serde_json::Map<String, Value> =
        (0..).zip(tokens).map(|(id, text)| (text.clone(), Value::from(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": tokens[id], "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false})
    };
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": specials.iter().copied().map(special).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges},
    })
}

/// A tensor by its other name, as rows of bytes.
fn written(tensor: &TensorView<'_>, model: &Llama) -> Weight {
    let shape: Vec<usize> = tensor.dims.iter().rev().map(|&dim| dim as usize).collect();
    let gemma3 = model.architecture == "gemma3";
    let bytes = || if gemma3 && shape.len() == 1 { less_one(&tensor.data) } else { tensor.data.to_vec() };
    let name = tensor.name;
    let Some((layer, part)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        let name = match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            _ => "lm_head.weight",
        };
        return (name.to_owned(), shape.clone(), bytes());
    };
    // Of llama the numbers of a head stand in another order.
    let (part, heads) = match part {
        "attn_q.weight" => ("self_attn.q_proj.weight", Some(model.heads)),
        "attn_k.weight" => ("self_attn.k_proj.weight", Some(model.kv_heads)),
        "attn_v.weight" => ("self_attn.v_proj.weight", None),
        "attn_output.weight" => ("self_attn.o_proj.weight", None),
        "attn_q_norm.weight" => ("self_attn.q_norm.weight", None),
        "attn_k_norm.weight" => ("self_attn.k_norm.weight", None),
        "ffn_gate.weight" => ("mlp.gate_proj.weight", None),
        "ffn_up.weight" => ("mlp.up_proj.weight", None),
        "ffn_down.weight" => ("mlp.down_proj.weight", None),
        "attn_norm.weight" => ("input_layernorm.weight", None),
        "post_attention_norm.weight" => ("post_attention_layernorm.weight", None),
        "post_ffw_norm.weight" => ("post_feedforward_layernorm.weight", None),
        _ if gemma3 => ("pre_feedforward_layernorm.weight", None),
        _ => ("post_attention_layernorm.weight", None),
    };
    let heads = heads.filter(|_| !gemma3);
    let bytes = heads.map_or_else(bytes, |heads| halved(&tensor.data, shape[0], heads as usize));
    (format!("model.layers.{layer}.{part}"), shape, bytes)
}

/// A tensor of a projector by its other name.
fn projected(tensor: &TensorView<'_>) -> Weight {
    let shape = tensor.dims.iter().rev().map(|&dim| dim as usize).collect();
    let tower = |name: &str| format!("vision_tower.vision_model.{name}");
    let (stem, kind) = tensor.name.rsplit_once('.').unwrap();
    let (name, bytes) = match stem {
        "mm.input_projection" => {
            return ("multi_modal_projector.mm_input_projection_weight".to_owned(), shape, tensor.data.to_vec());
        }
        "mm.soft_emb_norm" => ("multi_modal_projector.mm_soft_emb_norm".to_owned(), less_one(&tensor.data)),
        "v.patch_embd" => (tower("embeddings.patch_embedding"), tensor.data.to_vec()),
        "v.position_embd" => (tower("embeddings.position_embedding"), tensor.data.to_vec()),
        "v.post_ln" => (tower("post_layernorm"), tensor.data.to_vec()),
        layer => {
            let (layer, part) = layer.strip_prefix("v.blk.").unwrap().split_once('.').unwrap();
            let part = match part {
                "attn_q" => "self_attn.q_proj",
                "attn_k" => "self_attn.k_proj",
                "attn_v" => "self_attn.v_proj",
                "attn_out" => "self_attn.out_proj",
                "ffn_up" => "mlp.fc1",
                "ffn_down" => "mlp.fc2",
                "ln1" => "layer_norm1",
                _ => "layer_norm2",
            };
            (tower(&format!("encoder.layers.{layer}.{part}")), tensor.data.to_vec())
        }
    };
    (format!("{name}.{kind}"), shape, bytes)
}

/// GGUF has the one in the norms of Gemma that is added to them.
fn less_one(data: &[u8]) -> Vec<u8> {
    let numbers = data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes) - 1.0);
    numbers.flat_map(f32::to_le_bytes).collect()
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
