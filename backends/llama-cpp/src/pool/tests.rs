//! Vectors and scores of the engine against the same texts given to llama.cpp one by one.

use std::{num::NonZeroU32, sync::Arc};

use backends::{Api, Backend, Event, Input, Payload, Prompt, Request};
use engine::{
    Engine,
    encoder::unit,
    testing::{Bert, Llama, Meta, Writer},
};
use futures_util::{StreamExt, future::join_all};
use llama_cpp_2::{
    context::params::{LlamaContextParams, LlamaPoolingType},
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use serde_json::Value;

use crate::{Options, backend, tests::loaded};

/// How far numbers may be apart that were summed up in other batches.
const APART: f32 = 1e-3;

const TEXTS: [&str; 9] = [
    "hello",
    "the model is a licence",
    "",
    "The Model, Testing: 42?!",
    "日本 é zebra",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "no \n\n break",
    "[CLS] is a word here",
    "hello",
];

async fn ask(engine: &Engine, api: Api, input: Input) -> Value {
    let payload = Payload::new(br#"{"model":"toy"}"#.as_slice().into()).unwrap();
    let events = engine.generate(Arc::new(Request::new("r", api, payload, input))).await.unwrap();
    let events: Vec<_> = events.collect().await;
    let [Ok(Event::Whole(frame))] = &events[..] else { panic!("{events:?}") };
    let answer: Value = serde_json::from_slice(&frame.bytes).unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"].as_u64(), frame.usage.map(|usage| usage.prompt_tokens));
    answer
}

async fn vectors(engine: &Engine, texts: Vec<Prompt>) -> Vec<Vec<f32>> {
    let answer = ask(engine, Api::Embeddings, Input::Embed { texts, base64: false, dimensions: None }).await;
    let numbers = |one: &Value| serde_json::from_value(one["embedding"].clone()).unwrap();
    answer["data"].as_array().unwrap().iter().map(numbers).collect()
}

fn prompts(texts: &[&str]) -> Vec<Prompt> {
    texts.iter().map(|text| Prompt::Text((*text).to_owned())).collect()
}

/// What llama.cpp makes of each text of tokens alone, and the tokens that it makes of texts.
struct Direct(LlamaModel);

impl Direct {
    fn of(writer: &Writer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, writer.finish()).unwrap();
        Self(LlamaModel::load_from_file(backend().unwrap(), &path, &LlamaModelParams::default()).unwrap())
    }

    fn tokens(&self, text: &str, specials: bool) -> Vec<u32> {
        self.0.vocab().tokenize(text.as_bytes(), specials, false).iter().map(|token| token.0 as u32).collect()
    }

    fn row(&self, tokens: &[u32], pooling: LlamaPoolingType) -> Vec<f32> {
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(256))
            .with_embeddings(true)
            .with_pooling_type(pooling)
            .with_n_threads(1)
            .with_n_threads_batch(1);
        let mut context = self.0.new_context(backend().unwrap(), params).unwrap();
        let mut batch = LlamaBatch::new(256, 1);
        let tokens: Vec<_> = tokens.iter().map(|&id| LlamaToken(id as i32)).collect();
        batch.add_sequence(&tokens, 0, true).unwrap();
        context.decode(&mut batch).unwrap();
        context.embeddings_seq_ith(0).unwrap().to_vec()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn near(found: &[f32], expected: &[f32]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < APART)
}

#[tokio::test]
async fn a_vector_is_the_one_that_llama_cpp_makes_of_the_text_alone_whatever_is_in_its_batch() {
    for (pooling, theirs) in [
        (Some(1), LlamaPoolingType::Mean),
        (Some(2), LlamaPoolingType::Cls),
        (Some(3), LlamaPoolingType::Last),
        (None, LlamaPoolingType::Mean),
    ] {
        let writer = Bert { pooling, ..Bert::default() }.writer();
        let engine = loaded(&writer, Options::default()).unwrap();
        let direct = Direct::of(&writer);
        let together = vectors(&engine, prompts(&TEXTS)).await;
        assert_eq!(together.len(), TEXTS.len());
        for (text, vector) in TEXTS.iter().zip(&together) {
            let expected = unit(&direct.row(&direct.tokens(text, true), theirs));
            assert!(near(vector, &expected), "{pooling:?} {text:?}: {vector:?}, expected {expected:?}");
            assert!((cosine(vector, vector) - 1.0).abs() < 1e-4, "{text:?}");
        }
        // The same text twice, and different ones.
        assert!(cosine(&together[0], &together[8]) > 0.9999);
        assert!(cosine(&together[0], &together[1]) < 0.99);
        let backwards: Vec<&str> = TEXTS.iter().rev().copied().collect();
        for (again, before) in vectors(&engine, prompts(&backwards)).await.iter().zip(together.iter().rev()) {
            assert!(near(again, before), "{pooling:?}");
        }
        // A list of tokens is taken as it is.
        let tokens = direct.tokens(TEXTS[1], false);
        let expected = unit(&direct.row(&tokens, theirs));
        assert!(near(&vectors(&engine, vec![Prompt::Tokens(tokens)]).await[0], &expected), "{pooling:?}");
    }
}

#[tokio::test]
async fn a_model_that_looks_back_only_makes_vectors_where_its_file_says_so_and_forgets_each_text() {
    let mut writer = Llama { context: 256, ..Llama::default() }.writer();
    writer.set("llama.pooling_type", Meta::U32(3));
    let engine = loaded(&writer, Options::default()).unwrap();
    let direct = Direct::of(&writer);
    let texts = ["the model", "hello", "the model is a licence", "hello"];
    let found = vectors(&engine, prompts(&texts)).await;
    let again = vectors(&engine, prompts(&texts)).await;
    for ((text, found), again) in texts.iter().zip(found).zip(again) {
        let expected = unit(&direct.row(&direct.tokens(text, true), LlamaPoolingType::Last));
        assert!(cosine(&found, &expected) > 0.999 && cosine(&again, &expected) > 0.999, "{text}");
    }
}

#[tokio::test]
async fn a_score_is_that_of_query_and_document_together_from_0_to_1_the_best_first() {
    let writer = Bert { pooling: Some(4), ..Bert::default() }.writer();
    let engine = loaded(&writer, Options::default()).unwrap();
    let direct = Direct::of(&writer);
    let query = "is a licence";
    let documents = TEXTS.map(str::to_owned).to_vec();
    let input = Input::Rank { query: query.to_owned(), documents: documents.clone(), top: None, with_texts: false };
    let answer = ask(&engine, Api::Rerank, input).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), documents.len());
    let mut last = 1.0;
    for result in results {
        let (index, score) =
            (result["index"].as_u64().unwrap() as usize, result["relevance_score"].as_f64().unwrap() as f32);
        let separator = 3;
        let tokens = [&direct.tokens(query, true)[..], &direct.tokens(&documents[index], false), &[separator]].concat();
        let expected = 1.0 / (1.0 + (-direct.row(&tokens, LlamaPoolingType::Rank)[0]).exp());
        assert!((score - expected).abs() < APART, "{:?}: {score}, expected {expected}", documents[index]);
        assert!(score <= last && score > 0.0, "{results:?}");
        last = score;
    }
    assert!(results[0]["relevance_score"].as_f64() > results[8]["relevance_score"].as_f64().map(|s| s + 0.01));
}

#[tokio::test]
async fn texts_of_many_requests_come_back_to_those_who_asked() {
    let engine = loaded(&Bert::default().writer(), Options::default()).unwrap();
    let alone = join_all(TEXTS.map(|text| vectors(&engine, prompts(&[text])))).await;
    let asked = (0..40).map(|from| {
        let texts: Vec<&str> = (0..30).map(|at| TEXTS[(from * 7 + at) % TEXTS.len()]).collect();
        vectors(&engine, prompts(&texts))
    });
    for (from, found) in join_all(asked).await.into_iter().enumerate() {
        for (at, found) in found.iter().enumerate() {
            assert!(near(found, &alone[(from * 7 + at) % TEXTS.len()][0]), "request {from}, text {at}");
        }
    }
}

#[tokio::test]
async fn what_a_file_or_a_request_asks_beyond_that_is_refused_with_the_reason() {
    let refusal = |writer: &Writer| loaded(writer, Options::default()).expect_err("a refusal").to_string();
    let ranks = Bert { pooling: Some(4), ..Bert::default() };
    let mut template = ranks.writer();
    template.set("tokenizer.chat_template.rerank", Meta::Text("{query} {document}".into()));
    let refused = refusal(&template);
    assert!(refused.ends_with("its file asks for a template around query and document, and those are not read"));
    let mut headless = Bert::default().writer();
    headless.set("bert.pooling_type", Meta::U32(4));
    assert!(refusal(&headless).ends_with("its file has no head that gives one score"), "{}", refusal(&headless));

    let engine = loaded(&Bert::default().writer(), Options { context: Some(8), ..Options::default() }).unwrap();
    let texts = prompts(&["a", "a b c d e f g h"]);
    let input = Input::Embed { texts, base64: false, dimensions: None };
    let payload = Payload::new(br#"{"model":"toy"}"#.as_slice().into()).unwrap();
    let request = Arc::new(Request::new("r", Api::Embeddings, payload, input));
    let refused = engine.generate(request).await.err().expect("a refusal").to_string();
    assert_eq!(refused, "the prompt has 10 tokens and the context window holds 8");
}
