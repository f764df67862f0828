use std::collections::HashSet;

use super::*;
use crate::{gguf::File, template::Template, tokenizer::Tokenizer};

fn written(shape: &Shape, mix: Mix, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Model { shape, mix, seed }.write(&mut bytes, |_, _| {}).expect("memory");
    bytes
}

fn kinds(shape: &Shape, mix: Mix) -> impl Fn(&str) -> TensorType {
    let kinds: Vec<_> = shape.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.kind(mix, shape))).collect();
    move |name| kinds.iter().find(|(other, _)| other == name).map(|(_, kind)| *kind).expect("a tensor")
}

#[test]
fn a_file_is_valid_has_the_tokens_of_its_shape_and_any_text_and_a_chat_go_through_them() {
    for shape in Shape::ALL.iter().filter(|shape| ["llama-1b", "qwen3-0.6b", "gemma3-1b"].contains(&shape.name)) {
        let narrow = Shape { vocabulary: shape.vocabulary, layers: 1, ..shape.small() };
        let file = File::read(written(&narrow, Mix::Q4_K_M, 1).into()).expect("a file in order");
        let tokenizer = Tokenizer::from_file(&file).expect("a tokenizer");
        assert_eq!(tokenizer.len(), shape.vocabulary as usize);
        let texts: HashSet<Vec<u8>> = (0..tokenizer.len() as u32).map(|id| tokenizer.text(id).to_vec()).collect();
        assert!(texts.len() + 300 > tokenizer.len(), "{}: tokens of the same text", shape.name);
        let text = "Which licence? 한국어, 12345!\n  deep   in the night";
        let ids = tokenizer.encode(text);
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.text(id).to_vec()).collect();
        assert_eq!(String::from_utf8(bytes).expect("text"), text, "{}", shape.name);
        assert!(ids.len() < text.len() * 3 / 4, "{}: nothing is joined", shape.name);
        Template::from_file(&file, &tokenizer).expect("a template");
    }
}

#[test]
fn the_same_seed_makes_the_same_file_and_another_one_another() {
    let shape = Shape::ALL[3].small();
    let one = written(&shape, Mix::Q8_0, 7);
    assert!(one == written(&shape, Mix::Q8_0, 7));
    let other = written(&shape, Mix::Q8_0, 8);
    assert!(one != other && one.len() == other.len());
}

#[test]
fn progress_goes_up_to_the_size_of_the_file() {
    let shape = Shape::ALL[5].small();
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    Model { shape: &shape, mix: Mix::Q6_K, seed: 1 }.write(&mut bytes, |done, all| told.push((done, all))).unwrap();
    assert!(told.is_sorted_by_key(|(done, _)| *done) && told.len() > 50);
    assert!(told.iter().all(|(_, all)| *all == bytes.len() as u64));
    assert_eq!(told.last(), Some(&(bytes.len() as u64, bytes.len() as u64)));
}

/// As `llama-quantize` has it.
#[test]
fn types_are_mixed_as_llama_cpp_mixes_them() {
    let llama = kinds(Shape::named("llama-1b").unwrap(), Mix::Q4_K_M);
    assert_eq!(llama("token_embd.weight"), TensorType::Q6_K);
    let finer: Vec<u32> = (0..16).filter(|i| llama(&format!("blk.{i}.attn_v.weight")) == TensorType::Q6_K).collect();
    assert_eq!(finer, [0, 1, 4, 7, 10, 13, 14, 15]);
    assert!((0..16).all(|i| llama(&format!("blk.{i}.ffn_up.weight")) == TensorType::Q4_K));
    let untied = kinds(Shape::named("llama-8b").unwrap(), Mix::Q4_K_M);
    assert_eq!([untied("token_embd.weight"), untied("output.weight")], [TensorType::Q4_K, TensorType::Q6_K]);
    let gemma = kinds(Shape::named("gemma3-1b").unwrap(), Mix::Q4_K_M);
    assert_eq!([gemma("token_embd.weight"), gemma("blk.0.attn_v.weight")], [TensorType::Q8_0; 2]);
    assert_eq!(gemma("blk.5.ffn_up.weight"), TensorType::Q5_0, "rows of 1,152 are no blocks of 256");
    assert_eq!(gemma("blk.5.attn_output.weight"), TensorType::Q4_K);
    let old = kinds(Shape::named("llama-1b").unwrap(), Mix::Q4_0);
    assert_eq!([old("token_embd.weight"), old("blk.0.attn_v.weight")], [TensorType::Q6_K, TensorType::Q4_0]);
    let eight = kinds(Shape::named("gemma3-1b").unwrap(), Mix::Q8_0);
    assert_eq!([eight("token_embd.weight"), eight("blk.0.ffn_down.weight")], [TensorType::Q8_0; 2]);
}

/// What their makers say of them, in billions: an embedding that is the output too counts once.
#[test]
fn shapes_have_as_many_weights_as_the_models_they_are_named_after() {
    let weights = |name| {
        let tensors = Shape::named(name).unwrap().tensors();
        tensors.iter().map(|tensor| tensor.dims.iter().product::<u64>()).sum::<u64>() as f64 / 1e9
    };
    for (name, said) in [
        ("llama-1b", 1.236),
        ("llama-3b", 3.213),
        ("llama-8b", 8.030),
        ("qwen3-0.6b", 0.596),
        ("qwen3-4b", 4.022),
        ("gemma3-1b", 1.000),
    ] {
        assert!((weights(name) - said).abs() < 0.001, "{name}: {}", weights(name));
    }
}
