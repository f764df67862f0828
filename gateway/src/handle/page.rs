//! Lists that are told in pages, as OpenAI tells them: `limit`, `after`, `has_more`.

use bytes::Bytes;
use serde::Serialize;

use crate::respond::error::ApiError;

#[derive(Serialize)]
struct Page<'a, T> {
    object: &'static str,
    data: &'a [T],
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    has_more: bool,
}

/// The page that a query asks for, as JSON: `usual` items unless it says how many, and `most` at most.
///
/// # Errors
/// A 400 that names the parameter.
pub fn page<T: Serialize>(
    items: &[T],
    id: impl Fn(&T) -> &str,
    query: &str,
    (usual, most): (usize, usize),
) -> Result<Bytes, ApiError> {
    let limit = match parameter(query, "limit") {
        None => usual,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| wrong("limit", &format!("1 to {most}")))?,
    };
    let from = match parameter(query, "after") {
        None => 0,
        Some(after) => {
            let at = items.iter().position(|item| id(item) == after);
            at.ok_or_else(|| wrong("after", "the id of an item of this list"))? + 1
        }
    };
    let rest = &items[from..];
    let data = &rest[..limit.min(rest.len())];
    let (first_id, last_id) = (data.first().map(&id), data.last().map(&id));
    Ok(json(&Page { object: "list", data, first_id, last_id, has_more: rest.len() > data.len() }))
}

/// The value of a parameter of a query.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

/// 400 for a parameter that is none of what is expected.
pub fn wrong(name: &str, expected: &str) -> ApiError {
    ApiError::invalid(name.to_owned(), format!("`{name}`: expected {expected}, found something else"))
}

/// As JSON.
pub fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("strings and numbers serialise").into()
}
