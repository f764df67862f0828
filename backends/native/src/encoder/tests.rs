//! The engine against the reference, on random encoders of every weight type; and what is refused.

use std::sync::Arc;

use engine::{
    CacheType, Purpose,
    gguf::{File, TensorType},
    testing::{Bert, Meta, Writer, quantise},
};
use kernels::Isa;

use super::{
    Encoder, Reader,
    reference::{self, Rounding},
};
use crate::model::ModelError;

const KINDS: [TensorType; 7] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_K,
    TensorType::Q6_K,
];

/// Sizes that suit `kind`, heads that are no whole panels, and a vocabulary that is no round number.
fn sized(kind: TensorType, bert: Bert) -> Bert {
    let (width, heads) = if kind.block_len() == 256 { (256, 32) } else { (64, 2) };
    Bert { kind, width, feed_forward: 2 * width, heads, seed: 7, ..bert }
}

fn both(kind: TensorType) -> [(&'static str, Bert); 2] {
    [("bert", sized(kind, Bert::default())), ("nomic-bert", sized(kind, Bert::nomic()))]
}

fn load(writer: &Writer, purpose: Purpose) -> Result<Arc<Encoder>, ModelError> {
    let file = File::read(writer.finish().into()).expect("a file in order");
    let checked = Encoder::check(&file, purpose).map_err(|error| error.to_string());
    let loaded = Encoder::load(&file, purpose, 2);
    assert_eq!(checked, loaded.as_ref().map(|_| ()).map_err(ToString::to_string));
    loaded.map(Arc::new)
}

fn vectors(bert: &Bert) -> Arc<Encoder> {
    load(&bert.writer(), Purpose::Vectors).unwrap()
}

fn reader(encoder: &Arc<Encoder>, threads: usize, isa: Isa) -> Reader {
    Reader::new(Arc::clone(encoder), threads, isa).unwrap()
}

fn text(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i * i * 31 + i * 17 + seed) % 78).collect()
}

/// Euclidean distance of two rows, relative to the size of the second.
fn distance(ours: &[f32], theirs: &[f64]) -> f64 {
    let off: f64 = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let size: f64 = theirs.iter().map(|b| b * b).sum();
    (off / size).sqrt()
}

/// The relative size of what rounding does to a row. A step of a 127th of the largest of a group moves a value by `step /
/// sqrt(12)` on average; the largest of 32 normal values is about 2.2 root mean squares, of 256 about 3. Four products of a
/// layer round what they read, each independently, and what reads the product of gate and up has the error of both: the root
/// of two. Each adds to a stream that is normed again, so that the ratio stays; three halves for the largest of some rows.
/// Keys and values as halves: two roundings of 2^-11 / sqrt(12) in each layer.
fn rounding_noise(kind: TensorType, layers: u32) -> f64 {
    let layers = f64::from(layers);
    let activations = match kind.block_len() {
        256 => 3.0 / 127.0 / 12f64.sqrt(),
        32 => 2.2 / 127.0 / 12f64.sqrt(),
        _ => 0.0,
    };
    let halves = (2.0 * layers).sqrt() / 2048.0 / 12f64.sqrt();
    1.5 * (activations * (2.0 * 4.0 * layers).sqrt()).max(halves)
}

/// As with decoders: a text of one token differs from the contract's by the noise of `f32` alone. In longer ones some value
/// lies so near the edge between two steps that the order of additions decides, and what follows are the roundings of
/// another, equally good computation: two independent ones are apart by the root of two of what one is off.
#[test]
fn rows_are_the_references_on_every_weight_type_and_tier_and_with_every_pooling() {
    for kind in KINDS {
        for (name, bert) in both(kind) {
            // How rows become one has nothing to do with how weights are stored.
            let poolings: &[u32] = if kind == TensorType::F32 { &[1, 2, 3] } else { &[1] };
            for &pooling in poolings {
                let encoder = vectors(&Bert { pooling: Some(pooling), ..bert.clone() });
                let texts = [text(1, 3), text(2, 4), text(40, 5), text(17, 6)];
                let expected =
                    texts.each_ref().map(|text| reference::read(&encoder, text, Rounding::Contract(CacheType::F16)));
                for isa in Isa::available() {
                    let rows = reader(&encoder, 2, isa).read(&texts);
                    let off: Vec<f64> = rows.iter().zip(&expected).map(|(row, exact)| distance(row, exact)).collect();
                    // Sums of up to 512 terms, some twenty in a row: 20 * sqrt(512) * 2^-24.
                    assert!(off[0] < 3e-5, "{name} {kind} {pooling} {}: {off:?}", isa.name());
                    let bound = std::f64::consts::SQRT_2 * rounding_noise(kind, bert.layers);
                    assert!(off.iter().all(|&off| off < bound), "{name} {kind} {}: {off:?} of {bound}", isa.name());
                }
            }
        }
    }
}

#[test]
fn rounding_moves_rows_no_further_than_its_steps_allow() {
    for kind in KINDS {
        for (name, bert) in both(kind) {
            let encoder = vectors(&Bert { pooling: Some(2), ..bert.clone() });
            let texts: Vec<Vec<u32>> = (0..8).map(|seed| text(8 + seed as usize, seed)).collect();
            let rows = reader(&encoder, 2, Isa::best()).read(&texts);
            let off = rows.iter().zip(&texts);
            let off = off.map(|(row, text)| distance(row, &reference::read(&encoder, text, Rounding::None)));
            let (largest, bound) = (off.fold(0.0, f64::max), rounding_noise(kind, bert.layers));
            assert!(largest < bound, "{name} {kind}: {largest} beyond {bound}");
            // Were it far below, the bound would hold nothing.
            assert!(largest > bound / 10.0, "{name} {kind}: {largest} far below {bound}");
        }
    }
}

#[test]
fn a_row_is_the_same_to_the_bit_whatever_is_in_the_batch_and_on_any_number_of_threads() {
    for kind in [TensorType::F32, TensorType::Q8_0, TensorType::Q4_K] {
        for (name, bert) in both(kind) {
            let encoder = vectors(&Bert { pooling: Some(1), ..bert });
            let lens = [1, 128, 2, 33, 64, 3, 17, 1, 90];
            let texts: Vec<Vec<u32>> = (0..).zip(lens).map(|(seed, len)| text(len, seed)).collect();
            let mut one = reader(&encoder, 1, Isa::best());
            let alone: Vec<Vec<f32>> =
                texts.iter().map(|text| one.read(std::slice::from_ref(text)).remove(0)).collect();
            for threads in [1, 2, 3, 7] {
                let mut reader = reader(&encoder, threads, Isa::best());
                assert_eq!(reader.read(&texts), alone, "{name} {kind} on {threads} threads");
                let backwards: Vec<Vec<u32>> = texts.iter().rev().cloned().collect();
                let mut rows = reader.read(&backwards);
                rows.reverse();
                assert_eq!(rows, alone, "{name} {kind} on {threads} threads, after another batch");
                assert_eq!(reader.read(&[]), Vec::<Vec<f32>>::new());
            }
        }
    }
}

#[test]
fn a_score_is_what_the_head_makes_of_the_first_token() {
    for kind in [TensorType::F32, TensorType::Q8_0] {
        let encoder =
            load(&sized(kind, Bert { pooling: Some(4), ..Bert::default() }).writer(), Purpose::Scores).unwrap();
        for seed in 0..5 {
            let text = text(9, seed);
            let [score] = reader(&encoder, 2, Isa::best()).read(std::slice::from_ref(&text)).remove(0)[..] else {
                panic!("one number")
            };
            let expected = reference::read(&encoder, &text, Rounding::None)[0];
            assert!((f64::from(score) - expected).abs() < 2.0 * rounding_noise(kind, 2), "{kind}: {score}, {expected}");
        }
    }
}

#[test]
fn a_file_that_is_no_encoder_of_ours_is_refused_with_what_was_expected() {
    let bert = Bert::default();
    let message = |bert: &Bert, change: &dyn Fn(&mut Writer)| {
        let mut writer = bert.writer();
        change(&mut writer);
        load(&writer, Purpose::Vectors).unwrap_err().to_string()
    };
    let set = |key: &'static str, value: Meta| {
        message(&bert, &move |file| {
            file.set(key, value.clone());
        })
    };
    let beside = |name: &'static str, dims: &'static [u64]| {
        let len = dims.iter().product::<u64>() as usize;
        let data = quantise(TensorType::F32, &vec![0.0; len]);
        message(&Bert::nomic(), &move |file| {
            file.tensor(name, TensorType::F32, dims, data.clone());
        })
    };
    for (found, expected) in [
        (set("general.architecture", Meta::Text("jina-bert-v2".into())), "the architecture `jina-bert-v2`"),
        (
            set("bert.attention.head_count_kv", Meta::U32(2)),
            "an encoder with another `bert.attention.head_count_kv` than 4",
        ),
        (set("bert.attention.max_alibi_bias", Meta::F32(8.0)), "an encoder with `bert.attention.max_alibi_bias`"),
        (
            set("bert.attention.causal", Meta::Bool(true)),
            "an encoder that looks back only (`bert.attention.causal` is not false)",
        ),
        // Other engines would leave it out, silently.
        (beside("blk.0.ffn_up.bias", &[128]), "with the tensor `blk.0.ffn_up.bias`"),
        (beside("cls.weight", &[64, 64]), "with the tensor `cls.weight`"),
    ] {
        assert_eq!(found, format!("the native engine does not compute {expected}; the llama-cpp engine may"));
    }
    let missing = |key: &'static str| {
        message(&bert, &move |file| {
            file.unset(key);
        })
    };
    for (found, expected) in [
        (set("bert.block_count", Meta::U32(3)), "the file has no tensor `blk.2.attn_q.weight`"),
        (set("bert.block_count", Meta::U32(u32::MAX)), "`bert.block_count`: expected a whole number from 1 to 1024"),
        (set("bert.embedding_length", Meta::U32(128)), "`token_embd.weight`: expected [128, 78], found [64, 78]"),
        (set("bert.context_length", Meta::U32(256)), "`position_embd.weight`: expected [64, 256], found [64, 128]"),
        (set("bert.feed_forward_length", Meta::U32(64)), "`blk.0.ffn_up.bias`: expected [64], found [128]"),
        (set("bert.attention.head_count", Meta::U32(5)), "expected a divisor of the width 64, found 5"),
        (set("bert.attention.layer_norm_epsilon", Meta::F32(f32::NAN)), "expected a number from 0 to 1, found NaN"),
        (missing("bert.attention.layer_norm_epsilon"), "`bert.attention.layer_norm_epsilon`"),
        (missing("bert.context_length"), "`bert.context_length`"),
    ] {
        assert!(found.contains(expected), "{found}, expected {expected}");
    }
    let headless = load(&bert.writer(), Purpose::Scores).unwrap_err().to_string();
    assert_eq!(headless, "the file has no tensor `cls.output.weight`");
}
