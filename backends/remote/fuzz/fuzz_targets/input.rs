//! What the targets share: a response as text, so that its seeds can be read.
//!
//! ```text
//! 200 chat 1 9 100000 whole 7 30
//! content-type: text/event-stream
//!
//! data: ...
//! ```
//!
//! The first line says the status, the API (`completions`, `messages`, `responses`, `prediction` or any other word for chat),
//! the number of choices, which host it is, the limit in bytes, how the connection ends (`broken` or any other word), and the
//! lengths of the pieces in which the body comes. Headers follow, then a blank line and the body. A word that cannot be read
//! means what it is in this example.

#![allow(dead_code, reason = "each target uses its part")]

use backends::Api;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use remote::promises::{Answer, Asked, pieces};

/// An answer, and what was asked.
pub struct Input {
    pub answer: Answer,
    pub asked: Asked,
    /// Whether the answer is the stream of a prediction.
    pub prediction: bool,
    /// The body in one piece.
    pub body: Vec<u8>,
}

/// Reads an input; a response that names no type is one of the kind that was asked for.
#[must_use]
pub fn read(input: &[u8], stream: bool) -> Input {
    let mut rest = input;
    let first = String::from_utf8_lossy(line(&mut rest)).into_owned();
    let mut words = first.split_ascii_whitespace();
    let number = |words: &mut std::str::SplitAsciiWhitespace<'_>, usual: usize| {
        words.next().and_then(|word| word.parse().ok()).unwrap_or(usual)
    };
    let status = number(&mut words, 200);
    let api = words.next().unwrap_or_default();
    let asked = Asked {
        api: match api {
            "completions" => Api::Completions,
            "messages" => Api::Messages,
            "responses" => Api::Responses,
            _ => Api::Chat,
        },
        stream,
        choices: number(&mut words, 1),
        host: number(&mut words, 9),
        limit: number(&mut words, 100_000),
    };
    let broken = words.next() == Some("broken");
    let lengths: Vec<usize> = words.filter_map(|word| word.parse().ok()).collect();
    let mut headers = HeaderMap::new();
    loop {
        let line = line(&mut rest);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        // No more than a connection would have taken.
        if let (Ok(name), Ok(value), true) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value), headers.len() < 100)
        {
            headers.append(name, value);
        }
    }
    if stream && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    }
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
    let answer = Answer { status, headers, pieces: pieces(rest, &lengths), broken };
    Input { answer, asked, prediction: api == "prediction", body: rest.to_vec() }
}

/// The next line, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    line
}
