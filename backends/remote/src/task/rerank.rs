//! Documents in the order of their relevance, in the shape of Cohere and Jina: `results`, each with `index` and
//! `relevance_score`, the best first.
//!
//! SGLang and text-embeddings-inference answer with a bare list whose items have a `score`.

use backends::BackendError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::broken;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(borrow)]
    results: Vec<Item<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    index: usize,
    #[serde(alias = "score")]
    relevance_score: f64,
    #[serde(borrow, default)]
    document: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Value::is_null")]
    id: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    model: Value,
    results: Vec<Ranked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    index: usize,
    relevance_score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
}

/// The answer in that shape, the `top` best of it; `None` where it has it already.
///
/// # Errors
/// When it has no results, one of no document, or two of one.
pub(super) fn told(
    bytes: &[u8],
    documents: &[String],
    top: Option<usize>,
    with_texts: bool,
) -> Result<Option<Bytes>, BackendError> {
    let wrong = |error: serde_json::Error| broken(format!("the answer ranks nothing: {error}"));
    let is_list = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let mut answer: Answer<'_> = match is_list {
        true => Answer {
            id: Value::Null,
            model: Value::Null,
            results: serde_json::from_slice(bytes).map_err(wrong)?,
            usage: None,
            meta: None,
        },
        false => serde_json::from_slice(bytes).map_err(wrong)?,
    };
    let wanted = top.unwrap_or(documents.len()).min(documents.len());
    if answer.results.is_empty() && wanted > 0 {
        return Err(broken("the answer ranks nothing"));
    }
    let mut seen = vec![false; documents.len()];
    for item in &answer.results {
        match seen.get_mut(item.index) {
            Some(seen) if !*seen && item.relevance_score.is_finite() => *seen = true,
            _ => return Err(broken("the answer ranks a document that was not sent, or one twice")),
        }
    }
    let in_order = answer.results.is_sorted_by(|a, b| a.relevance_score >= b.relevance_score);
    let texts = answer.results.iter().all(|item| item.document.is_some() == with_texts);
    let shaped = !is_list && serde_json::from_slice::<Shape<'_>>(bytes).is_ok();
    if shaped && in_order && texts && answer.results.len() <= wanted {
        return Ok(None);
    }
    answer.results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    let ranked = |item: &Item<'_>| Ranked {
        index: item.index,
        relevance_score: item.relevance_score,
        document: with_texts.then(|| Document { text: &documents[item.index] }),
    };
    let told = Told {
        id: answer.id,
        model: answer.model,
        results: answer.results.iter().take(wanted).map(ranked).collect(),
        usage: answer.usage,
        meta: answer.meta,
    };
    serde_json::to_vec(&told).map(|told| Some(told.into())).map_err(wrong)
}

/// The shape that callers expect, under no other names.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow, rename = "results")]
    _results: Vec<ShapeOfItem<'a>>,
}

#[derive(Deserialize)]
struct ShapeOfItem<'a> {
    #[serde(rename = "index")]
    _index: usize,
    #[serde(borrow, rename = "relevance_score")]
    _score: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<String> {
        ["cats", "dogs", "birds"].map(str::to_owned).to_vec()
    }

    fn ranked(answer: &str, top: Option<usize>, with_texts: bool) -> Result<Value, BackendError> {
        let told = told(answer.as_bytes(), &documents(), top, with_texts)?;
        Ok(told.map_or(Value::Null, |told| serde_json::from_slice(&told).unwrap()))
    }

    #[test]
    fn an_answer_in_shape_and_order_passes_as_it_came() {
        let answer = r#"{"id":"1","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}"#;
        assert_eq!(ranked(answer, Some(2), false).unwrap(), Value::Null);
    }

    #[test]
    fn a_bare_list_of_scores_becomes_results_the_best_first() {
        let answer = r#"[{"score":0.1,"index":0,"document":"cats"},{"score":0.9,"index":2},{"score":0.5,"index":1}]"#;
        assert_eq!(
            ranked(answer, Some(2), true).unwrap(),
            serde_json::json!({"results": [
                {"index": 2, "relevance_score": 0.9, "document": {"text": "birds"}},
                {"index": 1, "relevance_score": 0.5, "document": {"text": "dogs"}},
            ]})
        );
    }

    #[test]
    fn what_was_not_asked_for_is_left_out_and_counts_stay() {
        let answer = r#"{"model":"m","results":[{"index":0,"relevance_score":0.1,"document":{"text":"cats"}},
            {"index":1,"relevance_score":0.9}],"usage":{"total_tokens":7}}"#;
        assert_eq!(
            ranked(answer, Some(1), false).unwrap(),
            serde_json::json!({"model": "m", "results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 7}})
        );
    }

    #[test]
    fn a_document_that_was_not_sent_is_no_answer() {
        for answer in [
            r#"{"results":[{"index":3,"relevance_score":0.9}]}"#,
            r#"{"results":[{"index":1,"relevance_score":0.9},{"index":1,"relevance_score":0.8}]}"#,
            r#"{"results":[]}"#,
            r#"{"results":[{"index":0}]}"#,
            "{}",
            "[]",
            "7",
        ] {
            assert!(ranked(answer, None, false).is_err(), "{answer}");
        }
    }
}
