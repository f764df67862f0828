//! What a caller saw of one request, and that it is well formed whatever happened. Bytes in, a verdict out; no I/O.

use serde_json::Value;

use crate::cell::{Api, Cell};

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// `x-request-id`
    pub id: String,
    /// `x-pointsman-deployment`
    pub deployment: Option<String>,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing promises.
    pub whole: bool,
}

/// What it comes to.
#[derive(Debug)]
pub enum Saw {
    /// A whole answer.
    Answer { text: String, finish: Option<String> },
    /// Some of an answer and the error that ended it.
    Broken { text: String, finish: Option<String>, error: Error },
    /// An error instead of an answer.
    Refused { status: u16, retry_after: Option<String>, error: Error },
}

/// An error body or an error event.
#[derive(Debug)]
pub struct Error {
    pub code: String,
    pub message: String,
}

impl Saw {
    /// Reads a response.
    ///
    /// # Errors
    /// What is malformed about it.
    pub fn read(cell: &Cell, response: &Response) -> Result<Self, String> {
        if !response.whole {
            return Err("the body broke off".into());
        }
        if response.status == 200 && cell.stream {
            return streamed(cell.api, response);
        }
        let kind = &response.content_type;
        if kind != "application/json" {
            return Err(format!("a whole body of type `{kind}`"));
        }
        let body: Value = serde_json::from_slice(&response.body).map_err(|error| format!("the body: {error}"))?;
        if response.status != 200 {
            let error = Error::read(&body["error"], &response.id)?;
            return Ok(Self::Refused { status: response.status, retry_after: response.retry_after.clone(), error });
        }
        if !body["error"].is_null() {
            return Err("an error with status 200".into());
        }
        let choices = body["choices"].as_array().filter(|choices| !choices.is_empty()).ok_or("no choices")?;
        let choice = &choices[0];
        let text = match cell.api {
            Api::Chat => &choice["message"]["content"],
            Api::Completions => &choice["text"],
        };
        let text = text.as_str().ok_or("no text")?.to_owned();
        Ok(Self::Answer { text, finish: choice["finish_reason"].as_str().map(str::to_owned) })
    }

    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Answer { .. } => None,
            Self::Broken { error, .. } | Self::Refused { error, .. } => Some(error),
        }
    }
}

impl Error {
    fn read(error: &Value, id: &str) -> Result<Self, String> {
        let text = |key: &str| error[key].as_str().map(str::to_owned).ok_or(format!("an error without `{key}`"));
        if error["request_id"] != id {
            return Err(format!("an error with the request id {}", error["request_id"]));
        }
        text("type")?;
        if error.get("param").is_none() {
            return Err("an error without `param`".into());
        }
        Ok(Self { code: text("code")?, message: text("message")? })
    }

    /// The phase whose deadline passed, if that is what happened.
    pub fn phase(&self) -> Option<&str> {
        let (_, phase) = self.message.split_once("timed out waiting for ")?;
        Some(phase.trim_end_matches(')'))
    }
}

/// Reads a stream: any number of chunks, at most one error after them, then one `[DONE]` and nothing more.
fn streamed(api: Api, response: &Response) -> Result<Saw, String> {
    if !response.content_type.starts_with("text/event-stream") {
        return Err(format!("a stream of type `{}`", response.content_type));
    }
    let body = std::str::from_utf8(&response.body).map_err(|_| "a stream that is no UTF-8")?;
    let events = sse(body);
    let Some((last, events)) = events.split_last() else { return Err("a stream without an event".into()) };
    if last != "[DONE]" {
        return Err(format!("a stream that ends with {last}"));
    }
    let (mut text, mut finish, mut error) = (String::new(), None, None);
    for event in events {
        if error.is_some() {
            return Err(format!("an event after the error: {event}"));
        }
        let event: Value = serde_json::from_str(event).map_err(|error| format!("an event `{event}`: {error}"))?;
        if !event["error"].is_null() {
            error = Some(Error::read(&event["error"], &response.id)?);
            continue;
        }
        let choices = event["choices"].as_array().ok_or("an event without `choices`")?;
        for choice in choices {
            if choice["finish_reason"].is_string() && finish.is_some() {
                return Err("two finish reasons".into());
            }
            finish = finish.or(choice["finish_reason"].as_str().map(str::to_owned));
            let piece = match api {
                Api::Chat => &choice["delta"]["content"],
                Api::Completions => &choice["text"],
            };
            text.push_str(piece.as_str().unwrap_or_default());
        }
    }
    Ok(match error {
        None => Saw::Answer { text, finish },
        Some(error) => Saw::Broken { text, finish, error },
    })
}

/// The data of each event, by the rules of server-sent events: any line end, data over several lines, comments.
fn sse(body: &str) -> Vec<String> {
    let body = body.replace("\r\n", "\n").replace('\r', "\n");
    let data = |event: &str| {
        let lines: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    body.split("\n\n").filter_map(data).collect()
}
