//! What a file says of a model, and what is refused.

use bytes::Bytes;
use engine::{
    gguf::{File, TensorType},
    testing::{Llama, Meta, Scaling, Writer, quantise},
};

use super::{load, random};
use crate::model::{Model, rope::Rope};

/// The message for a file that `change` made out of one that is in order.
fn message(change: impl FnOnce(&mut Writer) -> &mut Writer) -> String {
    let mut file = random(TensorType::F32).writer();
    change(&mut file);
    load(file.finish()).unwrap_err().to_string()
}

/// The same of another architecture.
fn of(architecture: &'static str, change: impl FnOnce(&mut Writer) -> &mut Writer) -> String {
    let mut file = Llama::of(architecture, TensorType::F32).writer();
    change(&mut file);
    load(file.finish()).unwrap_err().to_string()
}

#[test]
fn what_the_graph_does_not_compute_is_refused_by_name() {
    let set = |key: &str, value: Meta| message(|file| file.set(key, value));
    let text = |text: &str| Meta::Text(text.into());
    for (found, expected) in [
        (set("general.architecture", text("rwkv6")), "the architecture `rwkv6`"),
        (
            of("mamba", |file| file.set("mamba.ssm.inner_size", Meta::U32(120))),
            "120 channels, which are no multiple of 16 (`mamba.ssm.inner_size`)",
        ),
        (
            of("mamba", |file| file.tensor("blk.0.ssm_dt_norm.weight", TensorType::F32, &[32], vec![0; 128])),
            "with the tensor `blk.0.ssm_dt_norm.weight`",
        ),
        (
            of("qwen2", |file| file.set("qwen2.expert_count", Meta::U32(8))),
            "mixtures of experts (`qwen2.expert_count`)",
        ),
        (
            of("qwen3moe", |file| file.set("qwen3moe.expert_group_count", Meta::U32(2))),
            "groups of experts (`qwen3moe.expert_group_count`)",
        ),
        (
            of("qwen3moe", |file| file.set("qwen3moe.expert_feed_forward_length", Meta::U32(90))),
            "experts of 90 rows and 64, which are no multiples of 16 (`qwen3moe.expert_count`)",
        ),
        (set("llama.rope.scaling.type", text("dynamic")), "rope scaling `dynamic` (`llama.rope.scaling.type`)"),
        (
            set("llama.attention.value_length", Meta::U32(8)),
            "values of 8 beside keys of 16 (`llama.attention.value_length`)",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.attention.kv_lora_rank", Meta::U32(40))),
            "heads of 40, which is no multiple of 16 (`minicpm3.attention.kv_lora_rank`)",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.attention.value_length", Meta::U32(8))),
            "heads of 8, which is no multiple of 16 (`minicpm3.attention.value_length`)",
        ),
        (
            set("llama.attention.head_count_kv", Meta::I32s(vec![2, 2])),
            "a `llama.attention.head_count_kv` that differs from layer to layer",
        ),
        (
            message(|file| file.tensor("blk.0.attn_q.bias", TensorType::F32, &[64], vec![0; 256])),
            "with the tensor `blk.0.attn_q.bias`",
        ),
    ] {
        assert_eq!(found, format!("the native engine does not compute {expected}; the llama-cpp engine may"));
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused_with_what_was_expected() {
    let set = |key: &str, value: u32| message(|file| file.set(key, Meta::U32(value)));
    let float = |key: &str, value: f32| message(|file| file.set(key, Meta::F32(value)));
    for (found, expected) in [
        (set("llama.block_count", 3), "the file has no tensor `blk.2.attn_norm.weight`"),
        (
            set("llama.block_count", u32::MAX),
            "metadata key `llama.block_count`: expected a whole number from 1 to 1024, found 4294967295",
        ),
        (
            set("llama.embedding_length", 0),
            "metadata key `llama.embedding_length`: expected a whole number from 1 to 131072, found 0",
        ),
        (set("llama.embedding_length", 128), "tensor `token_embd.weight`: expected [128, 372], found [64, 372]"),
        (set("llama.feed_forward_length", 32), "tensor `blk.0.ffn_gate.weight`: expected [64, 32], found [64, 96]"),
        (
            set("llama.attention.head_count", 5),
            "metadata key `llama.attention.head_count_kv`: expected a divisor of the 5 query heads, found 2",
        ),
        (
            set("llama.rope.dimension_count", 7),
            "metadata key `llama.rope.dimension_count`: expected an even number, found 7",
        ),
        (
            float("llama.rope.freq_base", f32::NAN),
            "metadata key `llama.rope.freq_base`: expected a number of at least 1, found NaN",
        ),
        (
            float("llama.attention.layer_norm_rms_epsilon", -1.0),
            "metadata key `llama.attention.layer_norm_rms_epsilon`: expected a number from 0 to 1, found -1",
        ),
        (
            message(|file| file.tensor("rope_freqs.weight", TensorType::F32, &[4], vec![0; 16])),
            "tensor `rope_freqs.weight`: expected F32 [8], each a positive number, found F32 [4]",
        ),
        (
            message(|file| file.tensor("rope_freqs.weight", TensorType::F32, &[8], vec![0; 32])),
            "tensor `rope_freqs.weight`: expected F32 [8], each a positive number, found 0",
        ),
        (
            of("qwen3moe", |file| file.set("qwen3moe.expert_used_count", Meta::U32(9))),
            "metadata key `qwen3moe.expert_used_count`: expected a whole number from 1 to 8, found 9",
        ),
        (
            of("qwen3moe", |file| file.set("qwen3moe.expert_count", Meta::U32(4))),
            "tensor `blk.0.ffn_gate_exps.weight`: expected [64, 96, 4], found [64, 96, 8]",
        ),
        (
            message(|file| file.set("llama.rope.scaling.type", Meta::Text("longrope".into()))),
            "the file has no tensor `rope_factors_short.weight`",
        ),
        (
            set("llama.rope.scaling.original_context_length", 0),
            "metadata key `llama.rope.scaling.original_context_length`: expected a whole number from 1 to 16777216, found 0",
        ),
        (
            float("llama.rope.scaling.attn_factor", f32::INFINITY),
            "metadata key `llama.rope.scaling.attn_factor`: expected a number from 0.000001 to 100, found inf",
        ),
        (
            of("minicpm3", |file| file.unset("minicpm3.attention.q_lora_rank")),
            "the file has no metadata key `minicpm3.attention.q_lora_rank`",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.attention.kv_lora_rank", Meta::U32(0))),
            "metadata key `minicpm3.attention.kv_lora_rank`: expected a whole number from 1 to 131072, found 0",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.attention.kv_lora_rank", Meta::U32(48))),
            "tensor `blk.0.attn_kv_b.weight`: expected [48, 128], found [32, 128]",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.attention.head_count_kv", Meta::U32(2))),
            "metadata key `minicpm3.attention.head_count_kv`: expected 4, as many as there are query heads, found 2",
        ),
        (
            of("minicpm3", |file| file.set("minicpm3.rope.dimension_count", Meta::U32(24))),
            "metadata key `minicpm3.rope.dimension_count`: expected fewer than the 24 numbers of a head, found 24",
        ),
        (of("mamba", |file| file.unset("mamba.ssm.state_size")), "the file has no metadata key `mamba.ssm.state_size`"),
        (
            of("mamba", |file| file.set("mamba.ssm.conv_kernel", Meta::U32(0))),
            "metadata key `mamba.ssm.conv_kernel`: expected a whole number from 1 to 1024, found 0",
        ),
        (
            of("mamba", |file| file.set("mamba.ssm.conv_kernel", Meta::U32(3))),
            "tensor `blk.0.ssm_conv1d.weight`: expected [3, 128], found [4, 128]",
        ),
        (
            of("mamba", |file| file.set("mamba.ssm.inner_size", Meta::U32(64))),
            "tensor `blk.0.ssm_in.weight`: expected [64, 128], found [64, 256]",
        ),
        (
            of("mamba", |file| file.set("mamba.ssm.time_step_rank", Meta::U32(64))),
            "tensor `blk.0.ssm_x.weight`: expected [128, 96], found [128, 64]",
        ),
        (
            of("mamba", |file| file.set("mamba.ssm.state_size", Meta::U32(8))),
            "tensor `blk.0.ssm_a`: expected [8, 128], found [16, 128]",
        ),
        (message(|file| file.unset("llama.context_length")), "the file has no metadata key `llama.context_length`"),
    ] {
        assert_eq!(found, expected);
    }
}

/// How heads turn in layers that look back to the first position.
fn rope(model: &Model, context: usize) -> &Rope {
    model.shape().ropes(context)[0].unwrap()
}

/// Of eight pairs and an original context of 64, the first turns 64 / 2 pi times and pair 2.02 once: from there on up pairs
/// are squeezed wholly, and before in parts, as none turns 32 times.
#[test]
fn yarn_squeezes_pairs_that_turn_slowly() {
    let model = load(Llama { scaling: Scaling::Yarn, ..random(TensorType::F32) }.build()).unwrap();
    let rope = rope(&model, 256);
    assert!((rope.magnitude - 0.9 * (1.0 + 0.1 * 4f64.ln())).abs() < 1e-6);
    for (pair, frequency) in rope.frequencies.iter().enumerate() {
        let kept = [1.0, 2.0 / 3.0, 1.0 / 3.0].get(pair).unwrap_or(&0.0);
        let expected = 10_000f64.powf(-(pair as f64) / 8.0) * (kept + (1.0 - kept) / 4.0);
        assert!((frequency - expected).abs() <= 1e-12 * expected, "pair {pair}: {frequency}, expected {expected}");
    }
}

#[test]
fn a_context_beyond_the_original_one_has_divisors_of_its_own() {
    let model = load(Llama { scaling: Scaling::Long { original: 128 }, ..random(TensorType::F32) }.build()).unwrap();
    let [short, long] = [128, 129].map(|context| rope(&model, context));
    assert!((1.0..=2.0).contains(&(1.0 / short.frequencies[0])), "{short:?}");
    assert!((4.0..=8.0).contains(&(1.0 / long.frequencies[0])), "{long:?}");
}

#[test]
fn windows_are_of_the_layers_that_a_list_says() {
    let olmo = Llama { layers: 3, scaling: Scaling::Yarn, ..Llama::of("olmo2", TensorType::F32) };
    let shape = |said: Vec<bool>| {
        let mut file = olmo.writer();
        file.set("olmo2.attention.sliding_window_pattern", Meta::Bools(said));
        load(file.finish()).map(|model| model.shape().clone())
    };
    let listed = shape(vec![false, true, false]).unwrap();
    assert_eq!([0, 1, 2].map(|layer| listed.window(layer).is_some()), [false, true, false]);
    let [others, windowed] = listed.ropes(256).map(|rope| rope.unwrap());
    assert!(others.magnitude > 1.0 && windowed.magnitude == 1.0);
    assert_eq!(
        shape(vec![false, true]).unwrap_err().to_string(),
        "metadata key `olmo2.attention.sliding_window_pattern`: expected a boolean for each of 3 layers, found 2 values"
    );
}

#[test]
fn fused_matrices_have_the_rows_of_their_parts() {
    let mut file = Llama::of("phi3", TensorType::F32).writer();
    file.set("phi3.feed_forward_length", Meta::U32(97));
    let message = load(file.finish()).unwrap_err().to_string();
    assert_eq!(message, "tensor `blk.0.ffn_up.weight`: expected [64, 194], found [64, 192]");
}

#[test]
fn positions_are_squeezed_by_a_linear_factor_and_by_the_files_own() {
    let plain = load(random(TensorType::F32).build()).unwrap();
    assert_eq!(rope(&plain, 256).frequencies[..2], [1.0, 10_000f64.powf(-0.125)]);
    let mut file = random(TensorType::F32).writer();
    let factors: Vec<f32> = (1..=8).map(|factor| factor as f32).collect();
    file.set("llama.rope.scaling.type", Meta::Text("linear".into()))
        .set("llama.rope.scaling.factor", Meta::F32(4.0))
        .set("llama.rope.freq_base", Meta::F32(500_000.0))
        .tensor("rope_freqs.weight", TensorType::F32, &[8], quantise(TensorType::F32, &factors));
    let scaled = load(file.finish()).unwrap();
    for (pair, frequency) in rope(&scaled, 256).frequencies.iter().enumerate() {
        let expected = 500_000f64.powf(-(pair as f64) / 8.0) / 4.0 / (pair + 1) as f64;
        assert!((frequency - expected).abs() <= 1e-12 * expected, "pair {pair}: {frequency}, expected {expected}");
    }
}

#[test]
fn an_adapter_of_what_heads_share_or_of_states_is_refused_by_name() {
    for (architecture, matrix) in [("minicpm3", "attn_q_a"), ("mamba", "ssm_in")] {
        let llama = Llama::of(architecture, TensorType::F32);
        let base = File::read(Bytes::from(llama.build())).unwrap();
        let mut adapter = llama.adapter(4, 3);
        adapter.set("general.architecture", Meta::Text(architecture.into()));
        assert_eq!(
            Model::check_adapter(&File::read(Bytes::from(adapter.finish())).unwrap(), &base).unwrap_err().to_string(),
            format!(
                "the native engine does not compute an adapter of `blk.0.{matrix}.weight`; the llama-cpp engine may"
            )
        );
    }
}

#[test]
fn adapters_that_do_not_fit_or_change_something_else_are_refused_by_name() {
    let llama = random(TensorType::F32);
    let base = File::read(Bytes::from(llama.build())).unwrap();
    let message = |change: &dyn Fn(&mut Writer)| {
        // Of the first layer alone.
        let mut file = Llama { layers: 1, ..llama.clone() }.adapter(4, 3);
        change(&mut file);
        Model::check_adapter(&File::read(Bytes::from(file.finish())).unwrap(), &base).unwrap_err().to_string()
    };
    let zeros = |file: &mut Writer, name: &str, dims: [u64; 2], kind: TensorType, bytes: usize| {
        file.tensor(name, kind, &dims, vec![0; bytes]);
    };
    assert_eq!(
        message(&|file| {
            file.set("adapter.lora.alpha", Meta::F32(f32::NAN));
        }),
        "the adapter does not fit the model: its `adapter.lora.alpha` is NaN, expected a number"
    );
    assert_eq!(
        message(&|file| {
            file.set("general.architecture", Meta::Text("qwen2".into()));
        }),
        "the adapter does not fit the model: it was made for architecture `qwen2`, and the model's is `llama`"
    );
    assert_eq!(
        message(&|file| {
            zeros(file, "output.weight.lora_a", [64, 4], TensorType::F32, 64 * 4 * 4);
            zeros(file, "output.weight.lora_b", [4, 372], TensorType::F32, 4 * 372 * 4);
        }),
        "the native engine does not compute an adapter of `output.weight`; the llama-cpp engine may"
    );
    assert_eq!(
        message(&|file| {
            file.set("adapter.alora.invocation_tokens", Meta::I32s(vec![1]));
        }),
        "the native engine does not compute an adapter that begins at certain tokens \
         (`adapter.alora.invocation_tokens`); the llama-cpp engine may"
    );
    assert_eq!(
        message(&|file| {
            zeros(file, "blk.1.attn_q.weight.lora_a", [64, 4], TensorType::Q8_0, 2 * 34 * 4);
            zeros(file, "blk.1.attn_q.weight.lora_b", [4, 64], TensorType::F32, 4 * 64 * 4);
        }),
        "the native engine does not compute with an adapter of type Q8_0 (`blk.1.attn_q.weight.lora_a`); the llama-cpp \
         engine may"
    );
}
