//! Every family that the native engine computes, in every type that weights may have, beside llama.cpp: does it load, and do the
//! logits agree? The bound is that of `logits`.
//!
//! The table stands in `backends/native/FAMILIES.md`; `UPDATE_TABLE=1` writes it anew. Speed is not in it: on models as small as
//! these it says nothing, and what is measured on one machine holds on no other (`pointsman bench engines`).

use std::{path::Path, sync::Arc};

use engine::{
    generate::{Mix, Model as Written, Shape},
    gguf::{File, TensorType},
    testing::Llama,
};
use native::model::Model;

use crate::{
    logits::{Apart, check, noise},
    oracle::Oracle,
};

/// The types that the native engine computes with.
const KINDS: [TensorType; 15] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q6_K,
    TensorType::Q5_K,
    TensorType::Q5_1,
    TensorType::Q5_0,
    TensorType::Q4_K,
    TensorType::Q4_1,
    TensorType::Q4_0,
    TensorType::IQ4_XS,
    TensorType::IQ4_NL,
    TensorType::Q3_K,
    TensorType::Q2_K,
];

/// Where the table stands.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../backends/native/FAMILIES.md");

const HEAD: &str = "\
# Families and types of weights

Made of a test that loads a small model of random weights of each family, in each type, into the native engine and into
llama.cpp, and compares both with an exact computation: `UPDATE_TABLE=1 cargo test -p tests --features llama-cpp --test engine
families` writes this file anew. *agree*: both load it, and the logits of each token of a prompt are as near to the exact ones,
and to each other's, as the rounding of activations to eight bits allows ([`logits.rs`](../../tests/engine/logits.rs) derives the
bound). How fast each is depends on the machine: `pointsman bench engines` measures it, on `pointsman bench model`'s files if
need be.

";

fn ids() -> Vec<u32> {
    (0..32).map(|i: u32| (i * i * 31 + i * 17 + 5) % 300).collect()
}

/// What is in a cell.
fn compared(name: &str, path: &Path, noise: f64) -> &'static str {
    let file = File::open(path).expect("a file in order");
    let model = match Model::load(&file, 2) {
        Ok(model) => Arc::new(model),
        Err(why) => {
            println!("{name}: native does not load it: {why}");
            return "not native";
        }
    };
    let Some(oracle) = Oracle::if_read(path) else { return "not llama.cpp" };
    let apart = Apart::of(&model, &oracle, &ids());
    println!("{name}: {apart}; bound {noise:.2e}");
    if apart.agree(noise) { "agree" } else { "apart" }
}

#[test]
fn families_load_and_agree_in_each_type_as_the_table_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table =
        format!("{HEAD}| | {} |\n|---|{}\n", KINDS.map(|kind| kind.name()).join(" | "), "---|".repeat(KINDS.len()));
    for family in native::model::architectures() {
        let cell = |kind| {
            let llama = Llama { seed: 21, ..Llama::of(family, kind) };
            let path = folder.path().join(format!("{family}-{kind}.gguf"));
            std::fs::write(&path, llama.build()).expect("a file");
            compared(&format!("{family} {kind}"), &path, noise(kind, llama.layers as usize))
        };
        table += &format!("| `{family}` | {} |\n", KINDS.map(cell).join(" | "));
    }
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(TABLE, table).expect("to write the table");
    } else {
        let found = std::fs::read_to_string(TABLE).unwrap_or_default();
        assert_eq!(found, table, "{TABLE} tells another table; UPDATE_TABLE=1 writes it anew");
    }
}

/// Files as they are made for measurements: real families, mixes, tokenizers. Not every shape in every mix.
#[test]
fn generated_models_of_each_shape_and_each_mix_agree() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (shape, mix) in Shape::ALL.iter().map(Shape::small).zip(Mix::ALL.into_iter().cycle()) {
        let name = format!("{}-{mix}", shape.name);
        let path = folder.path().join(format!("{name}.gguf"));
        let file = std::fs::File::create(&path).expect("a file");
        Written { shape: &shape, mix, seed: 5 }.write(std::io::BufWriter::new(file), |_, _| {}).expect("room");
        check(&name, &path, &ids(), None);
    }
}
