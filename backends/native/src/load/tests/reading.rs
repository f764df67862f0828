//! Engines that read: texts in, vectors or an order out.

use engine::{
    encoder::unit,
    testing::{Bert, Writer},
};
use serde_json::Value;

use super::*;
use crate::{
    encoder::{Encoder, reference as encoder},
    model::{
        Model,
        reference::{self, Rounding},
    },
};

const TEXTS: [&str; 7] = [
    "hello",
    "the model is a licence",
    "The Model, Testing: 42?!",
    "日本 é zebra",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "no \n\n break",
    "hello",
];

fn loaded(writer: &Writer, options: Options) -> Result<Engine, LoadError> {
    load(writer.finish(), Options { threads: Some(2), ..options })
}

async fn ask(engine: &Engine, api: Api, input: Input) -> Result<Value, BackendError> {
    let payload = Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap();
    let events = engine.generate(Arc::new(Request::new("r", api, payload, input))).await?;
    let events: Vec<_> = tokio::time::timeout(PATIENCE, events.collect()).await.expect("it should end");
    let [event] = <[_; 1]>::try_from(events).expect("one event");
    let Event::Whole(frame) = event? else { panic!("a whole answer") };
    let answer: Value = serde_json::from_slice(&frame.bytes).unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"].as_u64(), frame.usage.map(|usage| usage.prompt_tokens));
    Ok(answer)
}

fn embed(texts: Vec<Prompt>) -> Input {
    Input::Embed { texts, base64: false, dimensions: None }
}

fn prompts(texts: &[&str]) -> Vec<Prompt> {
    texts.iter().map(|text| Prompt::Text((*text).to_owned())).collect()
}

/// The vectors of some texts, and their tokens.
async fn vectors(engine: &Engine, texts: Vec<Prompt>) -> (Vec<Vec<f32>>, u64) {
    let answer = ask(engine, Api::Embeddings, embed(texts)).await.unwrap();
    let numbers = |one: &Value| serde_json::from_value(one["embedding"].clone()).unwrap();
    let vectors = answer["data"].as_array().unwrap().iter().map(numbers).collect();
    (vectors, answer["usage"]["prompt_tokens"].as_u64().unwrap())
}

fn tokens(writer: &Writer) -> Vec<Vec<u32>> {
    let tokenizer = Tokenizer::from_file(&File::read(writer.finish().into()).unwrap()).unwrap();
    TEXTS.iter().map(|text| tokenizer.encode_prompt(text)).collect()
}

/// Checks the vectors of all texts against exact rows of their tokens.
async fn check(writer: &Writer, exact: impl Fn(&[u32]) -> Vec<f64>) {
    let engine = loaded(writer, Options::default()).unwrap();
    let tokens = tokens(writer);
    let (found, counted) = vectors(&engine, prompts(&TEXTS)).await;
    assert_eq!(counted, tokens.iter().map(|tokens| tokens.len() as u64).sum::<u64>());
    for ((text, tokens), found) in TEXTS.iter().zip(&tokens).zip(&found) {
        let exact: Vec<f32> = exact(tokens).into_iter().map(|x| x as f32).collect();
        // A vector of length 1, which keys and values as halves move by no more than that.
        let off: f32 = found.iter().zip(unit(&exact)).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(off < 1e-3, "{text}: {off}");
        let (alone, _) = vectors(&engine, prompts(&[text])).await;
        assert_eq!(&alone[0], found, "{text}: the same to the bit, alone and among others");
    }
    // A list of tokens is taken as it is.
    let (listed, counted) = vectors(&engine, vec![Prompt::Tokens(tokens[1].clone())]).await;
    assert_eq!((&listed[0], counted), (&found[1], tokens[1].len() as u64));
}

#[tokio::test]
async fn vectors_of_an_encoder_are_those_of_its_file_for_each_text_whatever_is_beside_it() {
    for bert in [Bert::default(), Bert::nomic()] {
        for pooling in [None, Some(1), Some(2), Some(3)] {
            let writer = Bert { pooling, ..bert.clone() }.writer();
            let file = File::read(writer.finish().into()).unwrap();
            let model = Encoder::load(&file, Purpose::Vectors, 1).unwrap();
            check(&writer, |tokens| encoder::read(&model, tokens, Rounding::None)).await;
        }
    }
}

#[tokio::test]
async fn a_decoder_whose_file_says_how_makes_vectors_of_its_last_layer() {
    for pooling in [1, 2, 3] {
        let llama = Llama { vocabulary: Vocabulary::Bpe, ..Llama::of("qwen3", TensorType::F32) };
        let mut writer = llama.writer();
        writer.set("qwen3.pooling_type", Meta::U32(pooling)).set("tokenizer.ggml.add_eos_token", Meta::Bool(true));
        let model = Model::load(&File::read(writer.finish().into()).unwrap(), 1).unwrap();
        check(&writer, |tokens| {
            let rows = reference::rows(&model, 256, tokens, Rounding::None);
            match pooling {
                1 => {
                    (0..rows[0].len()).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64).collect()
                }
                2 => rows[0].clone(),
                _ => rows[rows.len() - 1].clone(),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_decoder_reads_texts_longer_than_a_step_and_forgets_each() {
    let mut writer = Llama { context: 1_500, ..Llama::default() }.writer();
    writer.set("llama.pooling_type", Meta::U32(1));
    let engine = loaded(&writer, Options { context: Some(1_500), ..Options::default() }).unwrap();
    let long = |len: u32| Prompt::Tokens((0..len).map(|i| (i * i * 31 + i * 17) % 300).collect());
    let (first, _) = vectors(&engine, vec![long(1_300), long(20), long(700)]).await;
    for _ in 0..3 {
        let (again, _) = vectors(&engine, vec![long(20), long(1_300), long(700)]).await;
        assert_eq!([&again[1], &again[0], &again[2]], [&first[0], &first[1], &first[2]]);
    }
}

#[tokio::test]
async fn documents_are_ordered_by_the_head_of_an_encoder_from_0_to_1() {
    let writer = Bert { pooling: Some(4), ..Bert::default() }.writer();
    let engine = loaded(&writer, Options::default()).unwrap();
    let file = File::read(writer.finish().into()).unwrap();
    let (model, tokenizer) = (Encoder::load(&file, Purpose::Scores, 1).unwrap(), Tokenizer::from_file(&file).unwrap());
    let documents = TEXTS.map(str::to_owned).to_vec();
    let rank = Input::Rank { query: "is a licence".into(), documents, top: None, with_texts: false };
    let answer = ask(&engine, Api::Rerank, rank).await.unwrap();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), TEXTS.len());
    let mut last = 1.0;
    for result in results {
        let text = TEXTS[result["index"].as_u64().unwrap() as usize];
        let tokens = [tokenizer.encode_prompt("is a licence"), tokenizer.encode(text), vec![3]].concat();
        let expected = 1.0 / (1.0 + (-encoder::read(&model, &tokens, Rounding::None)[0]).exp());
        let score = result["relevance_score"].as_f64().unwrap();
        assert!((score - expected).abs() < 1e-3 && score <= last, "{text}: {score}, expected {expected}");
        last = score;
    }
}

#[tokio::test]
async fn a_text_without_a_word_is_one_of_two_tokens_and_one_too_long_or_of_no_token_is_refused() {
    let options = Options { context: Some(8), ..Options::default() };
    let engine = loaded(&Bert::default().writer(), options).unwrap();
    let (empty, counted) = vectors(&engine, prompts(&["", " \n", "a b c d e f"])).await;
    assert_eq!(counted, 2 + 2 + 8);
    assert_eq!(empty[0], empty[1]);
    let refused = |texts| async { ask(&engine, Api::Embeddings, embed(texts)).await.unwrap_err().to_string() };
    let refusal = refused(prompts(&["a", "a b c d e f g"])).await;
    assert_eq!(refusal, "the prompt has 9 tokens and the context window holds 8");
    assert_eq!(refused(vec![Prompt::Tokens(vec![])]).await, "`input`: nothing, or a text without a token");
    assert!(refused(vec![Prompt::Tokens(vec![78])]).await.contains("token 78, and this model's tokens are 0 to 77"));
    // A decoder that adds nothing to a text.
    let mut writer = Llama { vocabulary: Vocabulary::Bpe, ..Llama::default() }.writer();
    let engine = loaded(writer.set("llama.pooling_type", Meta::U32(3)), Options::default()).unwrap();
    let refusal = ask(&engine, Api::Embeddings, embed(prompts(&[""]))).await.unwrap_err().to_string();
    assert_eq!(refusal, "`input`: nothing, or a text without a token");
    let refusal = ask(&engine, Api::Completions, Input::Prompts(prompts(&["a"]))).await.unwrap_err().to_string();
    assert_eq!(refusal, "`prompt`: this model makes vectors of texts, and nothing else");
}

#[tokio::test]
async fn what_nobody_waits_for_is_given_up_between_batches() {
    let engine = loaded(&Bert::default().writer(), Options::default()).unwrap();
    let many = vec![Prompt::Tokens(vec![7; 128]); 4_000];
    let payload = Payload::new(Bytes::from_static(br#"{"model":"toy"}"#)).unwrap();
    let request = Request::new("r", Api::Embeddings, payload, embed(many));
    let events = engine.generate(Arc::new(request)).await.unwrap();
    drop(events);
    let (_, counted) = vectors(&engine, prompts(&["hello"])).await;
    let tally = engine.tally().await.remove(0);
    assert_eq!((tally.requests, tally.prompt_tokens), (Some(1), Some(counted)));
}

#[test]
fn a_file_that_asks_for_what_is_not_computed_is_refused_before_its_weights_are_read() {
    let refusal = |writer: &Writer, options: Options| {
        let error = loaded(writer, options).unwrap_err();
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    };
    let reads = |writer: &Writer| super::super::reads(&File::read(writer.finish().into()).unwrap()).is_ok();
    let decoder = |change: &dyn Fn(&mut Writer)| {
        let mut writer = Llama::default().writer();
        change(&mut writer);
        writer
    };
    let with = |bert: Bert, key: &str, value: Meta| {
        let mut writer = bert.writer();
        writer.set(key, value);
        writer
    };
    let scores = Bert { pooling: Some(4), ..Bert::default() };
    for (writer, what) in [
        (
            decoder(&|file| {
                file.set("llama.pooling_type", Meta::U32(4));
            }),
            "the order of documents by a model that could write",
        ),
        (
            decoder(&|file| {
                file.set("llama.attention.causal", Meta::Bool(false));
            }),
            "a decoder that looks ahead (`llama.attention.causal`)",
        ),
        (
            with(scores, "tokenizer.chat_template.rerank", Meta::Text("{query} {document}".into())),
            "a template around query and document",
        ),
    ] {
        let found = refusal(&writer, Options::default());
        let expected = format!("the native engine does not compute {what}; the llama-cpp engine may");
        assert!(found.ends_with(&expected), "{found}, expected {expected}");
        assert!(!reads(&writer), "{what}");
    }
    let bert = Bert::default().writer();
    let adapter = Options { adapter: Some("lora.gguf".into()), ..Options::default() };
    assert!(refusal(&bert, adapter).contains("does not compute an adapter over an encoder"));
    let context = Options { context: Some(129), ..Options::default() };
    assert_eq!(refusal(&bert, context), "option `context` is 129, expected 2 to 128");
    let other = with(Bert::default(), "tokenizer.ggml.tokens", Meta::Texts(vec!["a".into(); 5]));
    assert!(!reads(&other) && !refusal(&other, Options::default()).is_empty());
    assert!(reads(&bert) && reads(&Bert::nomic().writer()) && reads(&Llama::default().writer()));
}

proptest! {
    #[test]
    fn a_damaged_encoder_is_taken_or_refused(
        nomic in any::<bool>(),
        scores in any::<bool>(),
        edits in prop::collection::vec((0..6_000usize, any::<u8>()), 1..4),
    ) {
        let bert = if nomic { Bert::nomic() } else { Bert::default() };
        let mut bytes = Bert { layers: 1, width: 16, feed_forward: 16, ..bert }.build();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        if let Ok(file) = File::read(Bytes::from(bytes)) {
            let purpose = if scores { Purpose::Scores } else { Purpose::Vectors };
            let _ = Encoder::load(&file, purpose, 1);
            if let Ok(tokenizer) = Tokenizer::from_file(&file) {
                prop_assert!(tokenizer.encode("The [CLS] of\n 12345 ké 한").iter().all(|&id| (id as usize) < tokenizer.len()));
            }
        }
    }
}
