//! Vectors, as a list of numbers or as base64, whichever the caller asked for.
//!
//! Clients decode base64 blindly, as they ask for it unless told otherwise: a place that ignores `encoding_format` would
//! give them a quarter of the numbers, all of them wrong.

use backends::BackendError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::broken;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
    #[serde(default)]
    index: Option<usize>,
}

/// The answer in the form that was asked for; `None` where it has it.
///
/// # Errors
/// When it has not one vector for each of `texts`, each once, or they have not the `dimensions` that were asked for.
pub(super) fn told(
    bytes: &[u8],
    texts: usize,
    base64: bool,
    dimensions: Option<u32>,
) -> Result<Option<Bytes>, BackendError> {
    let answer: Answer<'_> =
        serde_json::from_slice(bytes).map_err(|error| broken(format!("the answer has no vectors: {error}")))?;
    if answer.data.len() != texts {
        return Err(broken(format!("{texts} texts were sent, and {} vectors came back", answer.data.len())));
    }
    let mut seen = vec![false; texts];
    for (at, item) in answer.data.iter().enumerate() {
        match seen.get_mut(item.index.unwrap_or(at)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(broken("a vector belongs to no text, or two to one")),
        }
    }
    if let (Some(asked), Some(first)) = (dimensions, answer.data.first()) {
        let found = numbers(first.embedding)?.len();
        if found != asked as usize {
            let reason = format!("{asked} dimensions were asked for, and the place makes vectors of {found}");
            return Err(BackendError::Unsupported { param: "dimensions", reason });
        }
    }
    let begins = |item: &Item<'_>, with| item.embedding.get().starts_with(with);
    if !answer.data.iter().all(|item| begins(item, '"') || begins(item, '[')) {
        return Err(no_vector());
    }
    let is_base64 = |item: &Item<'_>| begins(item, '"');
    if answer.data.iter().all(|item| is_base64(item) == base64) {
        return Ok(None);
    }
    let mut rewritten: Value = serde_json::from_slice(bytes).map_err(|_| broken("the answer is no JSON"))?;
    for (at, item) in answer.data.iter().enumerate() {
        let numbers = numbers(item.embedding)?;
        let told = match base64 {
            true => STANDARD.encode(numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).into(),
            false => Value::from(numbers),
        };
        rewritten["data"][at]["embedding"] = told;
    }
    Ok(Some(rewritten.to_string().into()))
}

/// The numbers of a vector in either form.
fn numbers(vector: &RawValue) -> Result<Vec<f32>, BackendError> {
    if !vector.get().starts_with('"') {
        return serde_json::from_str(vector.get()).map_err(|_| no_vector());
    }
    let text: String = serde_json::from_str(vector.get()).map_err(|_| no_vector())?;
    let bytes = STANDARD.decode(text).map_err(|_| no_vector())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    } else {
        Err(no_vector())
    }
}

fn no_vector() -> BackendError {
    broken("a vector is neither a list of numbers nor the base64 of 32-bit ones")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOATS: &str =
        r#"{"object":"list","data":[{"index":0,"embedding":[1.0,-0.5]},{"index":1,"embedding":[0.25,2]}]}"#;
    const BASE64: &str = r#"{"data":[{"index":0,"embedding":"AACAPwAAAL8="},{"index":1,"embedding":"AACAPgAAAEA="}]}"#;

    fn vectors(answer: &[u8]) -> Value {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        Value::from_iter(answer["data"].as_array().unwrap().iter().map(|item| item["embedding"].clone()))
    }

    #[test]
    fn what_has_the_form_that_was_asked_for_passes_as_it_came() {
        assert_eq!(told(FLOATS.as_bytes(), 2, false, Some(2)).unwrap(), None);
        assert_eq!(told(BASE64.as_bytes(), 2, true, Some(2)).unwrap(), None);
    }

    #[test]
    fn a_form_that_was_not_asked_for_becomes_the_other() {
        let base64 = told(FLOATS.as_bytes(), 2, true, None).unwrap().unwrap();
        assert_eq!(vectors(&base64), vectors(BASE64.as_bytes()));
        let floats = told(BASE64.as_bytes(), 2, false, None).unwrap().unwrap();
        assert_eq!(vectors(&floats), serde_json::json!([[1.0, -0.5], [0.25, 2.0]]));
        assert_eq!(serde_json::from_slice::<Value>(&base64).unwrap()["object"], "list", "all else stays");
    }

    #[test]
    fn a_vector_too_few_or_a_size_that_was_not_asked_for_is_no_answer() {
        assert!(matches!(told(FLOATS.as_bytes(), 3, false, None), Err(BackendError::BrokenStream { .. })));
        let error = told(FLOATS.as_bytes(), 2, false, Some(256)).unwrap_err().to_string();
        assert_eq!(error, "`dimensions`: 256 dimensions were asked for, and the place makes vectors of 2");
        for odd in [
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":7,"embedding":[1]}]}"#,
            r#"{"data":[{"embedding":"AAA"},{"embedding":[1]}]}"#,
            r#"{"data":[{"embedding":{}},{"embedding":[1]}]}"#,
            r#"{"data":null}"#,
            "[]",
        ] {
            assert!(told(odd.as_bytes(), 2, false, None).is_err(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn numbers_survive_base64_to_the_last_bit(numbers in prop::collection::vec(-1000.0f32..1000.0, 1..20)) {
            let answer = serde_json::json!({"data": [{"index": 0, "embedding": numbers}]}).to_string();
            let base64 = told(answer.as_bytes(), 1, true, None).unwrap().unwrap();
            let back = told(&base64, 1, false, None).unwrap().unwrap();
            let back: Vec<f32> = serde_json::from_value(vectors(&back)[0].clone()).unwrap();
            prop_assert_eq!(back, numbers);
        }
    }
}
