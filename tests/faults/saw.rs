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
            return match cell.api {
                Api::Chat | Api::Completions => streamed(cell.api, response),
                Api::Responses => told(response, Told::response),
                Api::Messages => told(response, Told::message),
            };
        }
        let kind = &response.content_type;
        if kind != "application/json" {
            return Err(format!("a whole body of type `{kind}`"));
        }
        let body: Value = serde_json::from_slice(&response.body).map_err(|error| format!("the body: {error}"))?;
        if response.status != 200 {
            let error = match cell.api {
                Api::Messages => Error::of_messages(&body, &response.id)?,
                _ => Error::read(&body["error"], &response.id)?,
            };
            return Ok(Self::Refused { status: response.status, retry_after: response.retry_after.clone(), error });
        }
        if !body["error"].is_null() {
            return Err("an error with status 200".into());
        }
        match cell.api {
            Api::Chat | Api::Completions => {}
            Api::Responses => {
                let text = text_of(&body["output"][0]["content"]).ok_or("no text")?;
                return Ok(Self::Answer { text, finish: end_of_response(&body)? });
            }
            Api::Messages => {
                let text = text_of(&body["content"]).ok_or("no text")?;
                return Ok(Self::Answer { text, finish: end_of_message(&body["stop_reason"])? });
            }
        }
        let choices = body["choices"].as_array().filter(|choices| !choices.is_empty()).ok_or("no choices")?;
        let choice = &choices[0];
        let text = match cell.api {
            Api::Completions => &choice["text"],
            _ => &choice["message"]["content"],
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

    /// The body or the event of an error of Anthropic's API.
    fn of_messages(body: &Value, id: &str) -> Result<Self, String> {
        if body["type"] != "error" || body["request_id"] != id {
            return Err(format!("no error of this request: {body}"));
        }
        Self::in_words(&body["error"])
    }

    fn in_words(error: &Value) -> Result<Self, String> {
        let text = |key: &str| error[key].as_str().map(str::to_owned).ok_or(format!("an error without `{key}`"));
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
                Api::Completions => &choice["text"],
                _ => &choice["delta"]["content"],
            };
            text.push_str(piece.as_str().unwrap_or_default());
        }
    }
    Ok(match error {
        None => Saw::Answer { text, finish },
        Some(error) => Saw::Broken { text, finish, error },
    })
}

/// What an event of a stream tells, in an API whose events have types.
enum Told {
    Text(String),
    /// The reason of the end, in the chat API's word.
    Finish(Option<String>),
    /// The last event of a whole answer.
    End,
    Error(Error),
    Nothing,
}

impl Told {
    fn message(event: &Value, id: &str) -> Result<Self, String> {
        Ok(match event["type"].as_str() {
            Some("content_block_delta") => Self::Text(event["delta"]["text"].as_str().ok_or("no text")?.to_owned()),
            Some("message_delta") => Self::Finish(end_of_message(&event["delta"]["stop_reason"])?),
            Some("message_stop") => Self::End,
            Some("error") => Self::Error(Error::of_messages(event, id)?),
            Some("message_start" | "content_block_start" | "content_block_stop" | "ping") => Self::Nothing,
            _ => return Err(format!("an event of no known type: {event}")),
        })
    }

    fn response(event: &Value, _: &str) -> Result<Self, String> {
        Ok(match event["type"].as_str().ok_or("an event without a type")? {
            "response.output_text.delta" => Self::Text(event["delta"].as_str().ok_or("no text")?.to_owned()),
            // Its end and the reason of it are one event.
            "response.completed" | "response.incomplete" => Self::Finish(end_of_response(&event["response"])?),
            "response.failed" => Self::Error(Error::in_words(&event["response"]["error"])?),
            _ => Self::Nothing,
        })
    }
}

/// Reads a stream of events with types: any number of them, one terminal, and nothing more.
fn told(response: &Response, read: impl Fn(&Value, &str) -> Result<Told, String>) -> Result<Saw, String> {
    if !response.content_type.starts_with("text/event-stream") {
        return Err(format!("a stream of type `{}`", response.content_type));
    }
    let body = std::str::from_utf8(&response.body).map_err(|_| "a stream that is no UTF-8")?;
    let (mut text, mut finish, mut error, mut ended) = (String::new(), None, None, false);
    for event in sse(body) {
        if ended {
            return Err(format!("an event after the end: {event}"));
        }
        let event: Value = serde_json::from_str(&event).map_err(|error| format!("an event `{event}`: {error}"))?;
        match read(&event, &response.id)? {
            Told::Text(more) => text.push_str(&more),
            Told::Finish(reason) => {
                finish = reason;
                ended = event["type"] != "message_delta";
            }
            Told::End => ended = true,
            Told::Error(why) => (error, ended) = (Some(why), true),
            Told::Nothing => {}
        }
    }
    match error {
        _ if !ended => Err("a stream without an end".into()),
        None => Ok(Saw::Answer { text, finish }),
        Some(error) => Ok(Saw::Broken { text, finish, error }),
    }
}

/// The texts of a list of parts.
fn text_of(parts: &Value) -> Option<String> {
    Some(parts.as_array()?.iter().filter_map(|part| part["text"].as_str()).collect())
}

/// The end of a response, in the chat API's word.
fn end_of_response(response: &Value) -> Result<Option<String>, String> {
    match (response["status"].as_str(), response["incomplete_details"].is_null()) {
        (Some("completed"), true) => Ok(Some("stop".into())),
        (Some("incomplete"), true) => Ok(None),
        _ => Err(format!("a response that ends as {}", response["status"])),
    }
}

/// The end of a message, likewise.
fn end_of_message(reason: &Value) -> Result<Option<String>, String> {
    match reason.as_str() {
        None => Ok(None),
        Some("end_turn") => Ok(Some("stop".into())),
        Some(other) => Err(format!("a message that ends as {other}")),
    }
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
