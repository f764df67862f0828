//! Answers to what is no generation: embeddings, reranking, moderation, pictures, tokens.
//!
//! A word is a token. A vector depends on its text alone. The model's name says where the host departs from its API, as
//! real ones do: `floats` tells vectors as numbers whatever was asked for, `fixed` makes vectors of eight numbers however
//! many were asked for, `bare` ranks in a bare list of scores in the order of the documents.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Numbers of a vector, unless the request says how many.
const DIMENSIONS: u64 = 8;
/// More than anybody asks for.
const MOST: u64 = 4_096;

/// The answer at a path; `None` where nothing is.
pub(crate) fn answer(path: &str, body: &Value) -> Option<Value> {
    let model = body["model"].as_str().unwrap_or_default();
    Some(match path {
        "/v1/embeddings" => embeddings(body, model),
        "/v1/rerank" => rerank(body, model),
        "/v1/moderations" => {
            let results: Vec<Value> = texts(&body["input"])
                .iter()
                .map(
                    |text| json!({"flagged": text.contains("kill"), "categories": {"violence": text.contains("kill")}}),
                )
                .collect();
            json!({"id": "scripted-1", "model": model, "results": results})
        }
        "/v1/images/generations" => {
            let count = body["n"].as_u64().unwrap_or(1).min(10) as usize;
            let picture = STANDARD.encode(body["prompt"].as_str().unwrap_or_default());
            json!({"created": 1_700_000_000, "data": vec![json!({"b64_json": picture}); count]})
        }
        "/tokenize" => {
            let tokens: Vec<usize> = words(body["prompt"].as_str().unwrap_or_default()).map(str::len).collect();
            json!({"count": tokens.len(), "max_model_len": 8_192, "tokens": tokens})
        }
        "/detokenize" => {
            let tokens = body["tokens"].as_array().map_or(0, Vec::len);
            json!({"prompt": vec!["word"; tokens].join(" ")})
        }
        "/v1/audio/speech" => json!({"sound": body["input"]}),
        "/v1/audio/transcriptions" => json!({"text": "scripted transcript"}),
        _ => return None,
    })
}

fn embeddings(body: &Value, model: &str) -> Value {
    let texts = texts(&body["input"]);
    let dimensions = match model.contains("fixed") {
        true => DIMENSIONS,
        false => body["dimensions"].as_u64().unwrap_or(DIMENSIONS).min(MOST),
    };
    let base64 = body["encoding_format"] == "base64" && !model.contains("floats");
    let told = |(index, text): (usize, &String)| {
        let numbers = vector(text, dimensions);
        let embedding: Value = match base64 {
            true => STANDARD.encode(numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()).into(),
            false => numbers.into(),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let tokens: usize = texts.iter().map(|text| words(text).count()).sum();
    json!({
        "object": "list", "model": model, "data": texts.iter().enumerate().map(told).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })
}

/// Numbers between -1 and 1, by a hash of the text (FNV-1a) and their place.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let number = |place: u64| {
        let mixed = (hash ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // 24 bits, which 32-bit numbers hold exactly.
        (mixed >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..dimensions).map(number).collect()
}

fn rerank(body: &Value, model: &str) -> Value {
    let query: Vec<&str> = words(body["query"].as_str().unwrap_or_default()).collect();
    let documents = texts(&body["documents"]);
    let score = |text: &String| {
        let shared = words(text).filter(|word| query.contains(word)).count();
        shared as f64 / words(text).count().max(1) as f64
    };
    let mut ranked: Vec<(usize, f64)> = documents.iter().map(score).enumerate().collect();
    if model.contains("bare") {
        return ranked.into_iter().map(|(index, score)| json!({"index": index, "score": score})).collect();
    }
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let results: Vec<Value> =
        ranked.into_iter().map(|(index, score)| json!({"index": index, "relevance_score": score})).collect();
    json!({"id": "scripted-1", "model": model, "results": results, "usage": {"total_tokens": documents.len()}})
}

/// One text, several, or tokens, each list of which is told as one.
fn texts(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_number) => vec![input.to_string()],
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}
