//! What came of the texts, in the shape of the API: OpenAI's for vectors, that of Cohere and Jina for an order.

use backends::{BackendError, Event, Frame, Input, Request, Usage};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::queue::Pooled;

#[derive(Serialize)]
struct Vectors<'a> {
    object: &'static str,
    data: Vec<Vector<'a>>,
    model: String,
    usage: Counts,
}

#[derive(Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: Told<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Numbers(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Order<'a> {
    model: String,
    results: Vec<Ranked<'a>>,
    usage: Counts,
}

#[derive(Serialize)]
struct Ranked<'a> {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
}

#[derive(Clone, Copy, Serialize)]
struct Counts {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The answer to a request, whose texts gave these numbers.
pub(super) fn told(request: &Request, pooled: &Pooled) -> Result<Event, BackendError> {
    let usage = Counts { prompt_tokens: pooled.tokens, total_tokens: pooled.tokens };
    let model = request.payload.model();
    let bytes = match &request.input {
        Input::Rank { documents, top, with_texts, .. } => {
            let mut results: Vec<Ranked<'_>> = Vec::with_capacity(documents.len());
            for (index, (document, row)) in documents.iter().zip(&pooled.rows).enumerate() {
                let document = with_texts.then_some(Document { text: document });
                results.push(Ranked { index, relevance_score: row.first().copied().unwrap_or_default(), document });
            }
            // Stable: of two that are as good the one that came first.
            results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
            results.truncate(top.unwrap_or(usize::MAX));
            serde_json::to_vec(&Order { model, results, usage })
        }
        input => {
            let base64 = matches!(input, Input::Embed { base64: true, .. });
            let mut data: Vec<Vector<'_>> = Vec::with_capacity(pooled.rows.len());
            for (index, row) in pooled.rows.iter().enumerate() {
                let embedding = if base64 { Told::Base64(in_base64(row)) } else { Told::Numbers(row) };
                data.push(Vector { object: "embedding", index, embedding });
            }
            serde_json::to_vec(&Vectors { object: "list", data, model, usage })
        }
    };
    let bytes = bytes.map_err(|error| BackendError::Internal { reason: format!("no answer: {error}") })?;
    let usage = Some(Usage { prompt_tokens: pooled.tokens, ..Usage::default() });
    Ok(Event::Whole(Frame { bytes: bytes.into(), content: true, finished: true, usage, ..Frame::default() }))
}

/// Numbers of 32 bits, little-endian.
fn in_base64(row: &[f32]) -> String {
    STANDARD.encode(row.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
}
