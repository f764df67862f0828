//! Vectors and scores of both engines, and of an exact computation with the same weights.
//!
//! What a rounding of activations does to a row is derived in `logits`: an encoder has four in a layer as well, and none
//! behind the last; each of its blocks gives to a stream that is normed anew, so that what is off keeps its share.

use std::{path::Path, sync::Arc};

use backends::{Api, Backend, BackendId, Event, Input, Payload, Prompt, Request};
use engine::{
    Engine, Purpose, Token,
    gguf::{File, TensorType},
    testing::{Bert, Llama, Meta, Vocabulary, Writer},
};
use futures_util::StreamExt;
use native::{
    Isa,
    encoder::{self, Encoder, Reader},
    model::reference::{self, Rounding},
};
use serde_json::Value;

use crate::{
    logits::{farthest, model, noise, runner},
    oracle::Oracle,
};

const KINDS: [TensorType; 5] = [TensorType::F32, TensorType::F16, TensorType::Q8_0, TensorType::Q4_K, TensorType::Q6_K];

/// Texts of one token, of a few and of some more: an exact computation takes its time.
fn texts() -> Vec<Vec<u32>> {
    let text = |(seed, len): (u32, u32)| (0..len).map(|i| (i * i * 31 + i * 17 + seed) % 78).collect();
    (0..).zip([1, 2, 7, 33]).map(text).collect()
}

fn encoders(kind: TensorType) -> [(&'static str, Bert); 2] {
    let sized = |bert| Bert { kind, width: 256, feed_forward: 512, heads: 8, seed: 11, ..bert };
    [("bert", sized(Bert::default())), ("nomic-bert", sized(Bert::nomic()))]
}

/// Checks rows as `logits` checks logits.
fn check(name: &str, kind: TensorType, layers: u32, ours: &[Vec<f32>], theirs: &[Vec<f32>], exact: &[Vec<f64>]) {
    let noise = noise(kind, layers as usize);
    let (we, they, between) = (farthest(ours, exact), farthest(theirs, exact), farthest(ours, theirs));
    println!("{name}: native {we:.2e} and llama.cpp {they:.2e} from exact, {between:.2e} apart; bound {noise:.2e}");
    assert!(we < noise, "{name}: native is {we:e} from the exact rows, beyond {noise:e}");
    assert!(between < noise + they, "{name}: the engines are {between:e} apart");
}

#[test]
fn an_encoder_of_every_weight_type_is_as_near_to_exact_as_its_rounding_allows_with_every_pooling() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("encoder.gguf");
    for kind in KINDS {
        for (name, bert) in encoders(kind) {
            // How rows become one has nothing to do with how weights are stored.
            let poolings: &[u32] = if kind == TensorType::F32 { &[1, 2, 3] } else { &[2] };
            for &pooling in poolings {
                std::fs::write(&path, Bert { pooling: Some(pooling), ..bert.clone() }.build()).expect("a file");
                let file = File::open(&path).expect("a file in order");
                let encoder =
                    Arc::new(Encoder::load(&file, Purpose::Vectors, 2).expect("an encoder that native reads"));
                let ours = Reader::new(Arc::clone(&encoder), 2, Isa::best()).expect("threads").read(&texts());
                let oracle = Oracle::load(&path);
                let theirs: Vec<_> = texts().iter().map(|text| oracle.row(text, pooling)).collect();
                let exact = |text: &Vec<u32>| encoder::reference::read(&encoder, text, Rounding::None);
                let exact: Vec<_> = texts().iter().map(exact).collect();
                check(&format!("{name} {kind} {pooling}"), kind, bert.layers, &ours, &theirs, &exact);
            }
        }
    }
}

#[test]
fn a_head_that_scores_gives_the_number_of_llama_cpp() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("order.gguf");
    for kind in [TensorType::F32, TensorType::Q8_0] {
        let [(_, bert), _] = encoders(kind);
        std::fs::write(&path, Bert { pooling: Some(4), ..bert }.build()).expect("a file");
        let file = File::open(&path).expect("a file in order");
        let encoder = Arc::new(Encoder::load(&file, Purpose::Scores, 2).expect("an encoder that native reads"));
        let ours = Reader::new(Arc::clone(&encoder), 2, Isa::best()).expect("threads").read(&texts());
        let oracle = Oracle::load(&path);
        for (text, ours) in texts().iter().zip(ours) {
            let (ours, theirs) = (ours[0], oracle.row(text, 4)[0]);
            // Of a number that is about 1 in size.
            assert!(f64::from((ours - theirs).abs()) < 3.0 * noise(kind, 2), "{kind}: {ours} and {theirs}");
        }
    }
}

fn qwen3(kind: TensorType, pooling: u32) -> Writer {
    let mut file = Llama { vocabulary: Vocabulary::Bpe, seed: 13, ..Llama::of("qwen3", kind) }.writer();
    file.set("qwen3.pooling_type", Meta::U32(pooling)).set("tokenizer.ggml.add_eos_token", Meta::Bool(true));
    file
}

#[test]
fn the_rows_of_a_decoder_are_as_near_to_exact_as_its_rounding_allows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("decoder.gguf");
    for kind in KINDS {
        let pooling = 3;
        std::fs::write(&path, qwen3(kind, pooling).finish()).expect("a file");
        let (model, oracle) = (model(&path), Oracle::load(&path));
        let last = |text: &Vec<u32>| {
            let token = |(position, &id)| Token { slot: 0, position, id, logits: position + 1 == text.len() };
            runner(&model, 256).rows(&text.iter().enumerate().map(token).collect::<Vec<_>>()).to_vec()
        };
        let ours: Vec<_> = texts().iter().map(last).collect();
        let theirs: Vec<_> = texts().iter().map(|text| oracle.row(text, pooling)).collect();
        let exact = |text: &Vec<u32>| reference::rows(&model, 256, text, Rounding::None).pop().expect("a row");
        let exact: Vec<_> = texts().iter().map(exact).collect();
        check(&format!("qwen3 {kind}"), kind, 2, &ours, &theirs, &exact);
    }
}

async fn ask(engine: &Engine) -> Value {
    let texts = ["hello", "The model is a licence!", "", "日本 é zebra", "no \n\n break", "[CLS] is a word here"];
    let texts = texts.map(|text| Prompt::Text(text.to_owned())).to_vec();
    let input = Input::Embed { texts, base64: false, dimensions: None };
    let payload = Payload::new(br#"{"model":"toy"}"#.as_slice().into()).expect("a payload");
    let request = Request::new("r", Api::Embeddings, payload, input);
    let events: Vec<_> = engine.generate(Arc::new(request)).await.expect("events").collect().await;
    let [Ok(Event::Whole(frame))] = &events[..] else { panic!("{events:?}") };
    serde_json::from_slice(&frame.bytes).expect("an answer")
}

fn numbers(one: &Value) -> Vec<f32> {
    serde_json::from_value(one["embedding"].clone()).expect("numbers")
}

/// From text to answer: the same tokens, the same count of them, and vectors of the same length and direction.
#[tokio::test]
async fn both_engines_answer_alike_and_count_alike() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    for file in [Bert::default().writer(), Bert::nomic().writer(), qwen3(TensorType::F32, 1), qwen3(TensorType::F32, 3)]
    {
        std::fs::write(&path, file.finish()).expect("a file");
        let ours = native::load(BackendId::new("ours"), native::Source::File(path.clone()), native::Options::default());
        let theirs = llama_cpp_engine::load(BackendId::new("theirs"), Path::new(&path), &Default::default());
        let (ours, theirs) = (ask(&ours.expect("native")).await, ask(&theirs.expect("llama.cpp")).await);
        assert_eq!(ours["usage"], theirs["usage"]);
        for (ours, theirs) in
            ours["data"].as_array().expect("data").iter().zip(theirs["data"].as_array().expect("data"))
        {
            let off: f32 = numbers(ours).iter().zip(numbers(theirs)).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(off.sqrt() < 1e-3, "{}: {off}", ours["index"]);
        }
    }
}
