//! The lines of a batch: one request each, as JSON.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{Errors, Wrong};

/// Most lines of a batch, as at OpenAI.
const MOST: usize = 50_000;
/// Problems that are told.
const TOLD: usize = 20;

/// A line in order.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// The caller's name for it.
    pub(super) custom_id: String,
    /// The body of the request.
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Written<'a> {
    custom_id: String,
    method: String,
    url: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What became of a line, as it stands in a file of answers.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    pub(super) id: String,
    pub(super) custom_id: &'a str,
    pub(super) response: Answered<'a>,
    pub(super) error: Option<Value>,
}

#[derive(Serialize)]
pub(super) struct Answered<'a> {
    pub(super) status_code: u16,
    pub(super) request_id: &'a str,
    pub(super) body: &'a RawValue,
}

/// The lines of a file that ask `endpoint`.
///
/// # Errors
/// What is wrong with them, the first few.
pub(super) fn read(content: &Bytes, endpoint: &str) -> Result<Vec<Line>, Errors> {
    let (mut lines, mut wrong, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    let mut note = |code: &str, message: String, param: Option<&str>, line: Option<u64>| {
        if wrong.len() < TOLD {
            wrong.push(Wrong { code: code.to_owned(), message, param: param.map(str::to_owned), line });
        }
    };
    for (at, text) in content.split(|byte| *byte == b'\n').enumerate() {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = at as u64 + 1;
        let here = Some(number);
        let written: Written<'_> = match serde_json::from_slice(text) {
            Ok(written) => written,
            Err(error) => {
                note("invalid_json_line", format!("this line is no request: {error}"), None, here);
                continue;
            }
        };
        if written.method != "POST" {
            note("invalid_method", "expected `POST`".to_owned(), Some("method"), here);
        } else if written.url != endpoint {
            note("invalid_url", format!("expected `{endpoint}`, as the batch says"), Some("url"), here);
        } else if !written.body.get().starts_with('{') {
            note("invalid_body", "expected an object".to_owned(), Some("body"), here);
        } else if streams(written.body) {
            note("invalid_body", "a line of a batch has no stream".to_owned(), Some("body.stream"), here);
        } else if !names.insert(written.custom_id.clone()) {
            note("duplicate_custom_id", "another line has this `custom_id`".to_owned(), Some("custom_id"), here);
        } else {
            let body = content.slice_ref(written.body.get().as_bytes());
            lines.push(Line { number, custom_id: written.custom_id, body });
        }
    }
    if lines.is_empty() && wrong.is_empty() {
        wrong.push(Wrong {
            code: "empty_file".to_owned(),
            message: "the file has no lines".to_owned(),
            param: None,
            line: None,
        });
    } else if lines.len() > MOST {
        let message = format!("{} lines; at most {MOST} are taken", lines.len());
        wrong.push(Wrong { code: "too_many_lines".to_owned(), message, param: None, line: None });
    }
    if wrong.is_empty() { Ok(lines) } else { Err(Errors { object: "list".to_owned(), data: wrong }) }
}

fn streams(body: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Mode {
        #[serde(default)]
        stream: Option<bool>,
    }
    serde_json::from_str::<Mode>(body.get()).is_ok_and(|mode| mode.stream == Some(true))
}

/// The id of what became of a line.
pub(super) fn id(batch: &str, number: u64) -> String {
    format!("batch_req_{}_{number}", batch.trim_start_matches("batch_"))
}

/// The number of the line that an answer belongs to.
pub(super) fn number(answer: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let Id { id } = serde_json::from_slice(answer).ok()?;
    id.rsplit_once('_')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<(String, Option<u64>)> {
        let errors = read(&Bytes::copy_from_slice(text.as_bytes()), "/v1/chat/completions").unwrap_err();
        errors.data.into_iter().map(|wrong| (wrong.code, wrong.line)).collect()
    }

    fn line(id: &str, rest: &str) -> String {
        format!(r#"{{"custom_id":"{id}","method":"POST","url":"/v1/chat/completions","body":{{"model":"m"{rest}}}}}"#)
    }

    #[test]
    fn lines_keep_their_numbers_and_their_bytes() {
        let text = format!("{}\n\n  \n{}\r\n", line("a", ""), line("b", r#", "x" : 1.50"#));
        let lines = read(&text.into(), "/v1/chat/completions").unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.number, &*line.custom_id, &line.body[..])).collect();
        assert_eq!(told, [(1, "a", &br#"{"model":"m"}"#[..]), (4, "b", &br#"{"model":"m", "x" : 1.50}"#[..])]);
    }

    #[test]
    fn each_wrong_line_is_named_and_no_batch_is_made_of_the_others() {
        let text = [
            line("a", ""),
            "nonsense".to_owned(),
            line("a", ""),
            line("b", r#","stream":true"#),
            r#"{"custom_id":"c","method":"GET","url":"/v1/chat/completions","body":{}}"#.to_owned(),
            r#"{"custom_id":"d","method":"POST","url":"/v1/embeddings","body":{}}"#.to_owned(),
            r#"{"custom_id":"e","method":"POST","url":"/v1/chat/completions","body":[]}"#.to_owned(),
        ];
        let codes = [
            "invalid_json_line",
            "duplicate_custom_id",
            "invalid_body",
            "invalid_method",
            "invalid_url",
            "invalid_body",
        ];
        let expected: Vec<_> = codes.into_iter().zip(2..).map(|(code, line)| (code.to_owned(), Some(line))).collect();
        assert_eq!(wrong(&text.join("\n")), expected);
        assert_eq!(wrong(" \n"), [("empty_file".to_owned(), None)]);
    }

    #[test]
    fn an_answer_says_which_line_it_belongs_to() {
        let told = format!(r#"{{"id":"{}","custom_id":"x"}}"#, id("batch_0f", 17));
        assert_eq!(number(told.as_bytes()), Some(17));
        assert_eq!(number(b"{\"id\":\"batch_req_0f_"), None, "a line that was cut off");
    }
}
