//! From a request and a fault to the response that the host plays.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::{
    answer::{self, Api, Event, Kind},
    ask::Ask,
    fault::{Fault, RetryAfter},
    gauge::{End, Open},
    gzip,
    play::{Play, Step},
    script::Script,
};

/// What an endless answer says again and again.
const REFRAIN: &str = "on and on and on ";

/// What a request is met with.
pub(crate) enum Reply {
    /// Wait, then send this response.
    Response(Duration, Response<Play>),
    /// Close the connection, or reset it, without a response.
    HangUp,
    /// Never answer; the request stays open.
    Silent(Open),
}

/// The answers of a host that is built for speed.
pub(crate) struct Prebuilt {
    chat_whole: Bytes,
    completions_whole: Bytes,
    chat_stream: Arc<[Step]>,
    completions_stream: Arc<[Step]>,
}

impl Prebuilt {
    pub(crate) fn new(script: &Script) -> Self {
        // About four bytes a piece, as tokens are.
        let prompt = "word".repeat(script.chunks);
        let ask = json!({"model": "scripted", "messages": [{"role": "user", "content": prompt}]});
        let ask: Ask = serde_json::from_value(ask).unwrap_or_default();
        let stream = |api| -> Arc<[Step]> {
            let events = answer::events(api, &ask, script.chunks);
            // What follows the text goes out with its last piece, as a host sends it.
            let (text, end): (Vec<_>, Vec<_>) = events.iter().partition(|event| matches!(event.kind, Kind::Content));
            let end: String =
                end.iter().filter(|event| event.kind != Kind::Role).map(|event| framed(event, "\n")).collect();
            let mut pieces: Vec<String> = text.iter().map(|event| framed(event, "\n")).collect();
            if let Some(last) = pieces.last_mut() {
                last.push_str(&end);
            }
            paced(pieces.into_iter().map(Bytes::from), script.interval).into()
        };
        Self {
            chat_whole: answer::whole(Api::Chat, &ask, script.chunks, Some("stop")).to_string().into(),
            completions_whole: answer::whole(Api::Completions, &ask, script.chunks, Some("stop")).to_string().into(),
            chat_stream: stream(Api::Chat),
            completions_stream: stream(Api::Completions),
        }
    }

    pub(crate) fn reply(&self, api: Api, streamed: bool, open: Open) -> Response<Play> {
        let (whole, stream) = match api {
            Api::Chat => (&self.chat_whole, &self.chat_stream),
            _ => (&self.completions_whole, &self.completions_stream),
        };
        if streamed {
            return with_type("text/event-stream", Play::shared(stream.clone(), None, open));
        }
        sized(200, whole.clone(), open)
    }
}

/// The response to a request that may have to fail.
pub(crate) fn reply(api: Api, ask: &Ask, fault: Option<Fault>, script: &Script, open: Open) -> Reply {
    match fault {
        Some(Fault::HangUp) => {
            open.ends(End::Broken);
            return Reply::HangUp;
        }
        Some(Fault::Reset) => {
            open.ends(End::Broken);
            open.line().reset();
            return Reply::HangUp;
        }
        Some(Fault::Silent) => return Reply::Silent(open),
        _ => {}
    }
    let delay = if let Some(Fault::SlowHeaders(ms)) = fault { Duration::from_millis(ms) } else { Duration::ZERO };
    let response = match fault {
        Some(Fault::Status(status, retry_after)) => refused(status, retry_after, open),
        Some(Fault::RateLimited(status, dialect)) => {
            let now = SystemTime::now();
            let mut response = sized(status, dialect.body(status, now).to_string().into(), open);
            response.headers_mut().extend(dialect.headers(now));
            response
        }
        Some(Fault::ContextTooLong) => {
            let message =
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.";
            sized(
                400,
                answer::error(message, "invalid_request_error", "context_length_exceeded".into()).to_string().into(),
                open,
            )
        }
        Some(Fault::Redirect) => {
            let mut response = sized(307, Bytes::new(), open);
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/v1/models"));
            response
        }
        Some(Fault::WrongContentType) => {
            let page = Bytes::from_static(b"<html><body>scripted page</body></html>");
            with_type("text/html; charset=utf-8", Play::new(vec![Step::Send(page)], None, open))
        }
        _ if ask.stream => stream(api, ask, fault, script, open),
        _ => whole(api, ask, fault, script, open),
    };
    Reply::Response(delay, response)
}

/// A JSON body of known length.
pub(crate) fn sized(status: u16, body: Bytes, open: Open) -> Response<Play> {
    let length = body.len() as u64;
    let mut response = with_type("application/json", Play::new(vec![Step::Send(body)], Some(length), open));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Sound, in four pieces.
pub(crate) fn sound(bytes: &str, fault: Option<Fault>, script: &Script, open: Open) -> Response<Play> {
    let bytes = bytes.as_bytes();
    let pieces = bytes.chunks(bytes.len().div_ceil(4).max(1)).map(Bytes::copy_from_slice);
    let steps = match fault {
        Some(Fault::CutAfter(n)) => then(paced(pieces.take(n), script.interval), [Step::Flush, Step::Cut]),
        Some(Fault::StallAfter(n)) => then(paced(pieces.take(n), script.interval), [Step::Stall]),
        _ => paced(pieces, script.interval),
    };
    with_type("audio/mpeg", Play::new(steps, None, open))
}

fn refused(status: u16, retry_after: Option<RetryAfter>, open: Open) -> Response<Play> {
    let body = answer::error(&format!("scripted status {status}"), "scripted_error", Value::Null);
    let mut response = sized(status, body.to_string().into(), open);
    let headers = response.headers_mut();
    match retry_after {
        None => {}
        Some(RetryAfter::Seconds(seconds)) => {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        Some(RetryAfter::Millis(ms)) => {
            headers.insert("retry-after-ms", ms.into());
        }
        Some(RetryAfter::Date(seconds)) => {
            let date = SystemTime::now() + Duration::from_secs(seconds.into());
            if let Ok(date) = httpdate::fmt_http_date(date).try_into() {
                headers.insert(header::RETRY_AFTER, date);
            }
        }
    }
    response
}

fn whole(api: Api, ask: &Ask, fault: Option<Fault>, script: &Script, open: Open) -> Response<Play> {
    let finish = match fault {
        Some(Fault::NoFinish) => None,
        Some(Fault::FinishError) => Some("error"),
        _ => Some("stop"),
    };
    let body = match fault {
        Some(Fault::ErrorEvent) => answer::failure(api, Value::Null).to_string(),
        Some(Fault::ErrorFirst(code)) => answer::failure(api, code.into()).to_string(),
        Some(Fault::EmptyStream) => String::new(),
        _ => {
            let mut answer = answer::whole(api, ask, script.chunks, finish);
            if let (Some(Fault::NoUsage), Some(answer)) = (fault, answer.as_object_mut()) {
                answer.remove("usage");
            }
            answer.to_string()
        }
    };
    let body = Bytes::from(body);
    let half = match fault {
        Some(Fault::CutAfter(0) | Fault::ResetAfter(0) | Fault::HalfCloseAfter(0) | Fault::StallAfter(0)) => {
            Bytes::new()
        }
        _ => body.slice(..body.len() / 2),
    };
    let length = Some(body.len() as u64);
    let (steps, length) = match fault {
        Some(Fault::CutAfter(_)) => (vec![Step::Send(half), Step::Flush, Step::Cut], length),
        Some(Fault::ResetAfter(_)) => (vec![Step::Send(half), Step::Flush, Step::Reset], length),
        Some(Fault::HalfCloseAfter(_)) => (vec![Step::Send(half), Step::HalfClose, Step::Stall], length),
        Some(Fault::StallAfter(_)) => (vec![Step::Send(half), Step::Stall], length),
        Some(Fault::Oversized) => (vec![Step::Send(half), Step::Endless(filler(), Duration::ZERO)], None),
        Some(Fault::Endless(ms)) => {
            (vec![Step::Send(half), Step::Endless(Bytes::from_static(b" "), Duration::from_millis(ms))], None)
        }
        Some(Fault::Drip) => (dripped(&body), length),
        Some(Fault::SlowDrip(ms)) => {
            let eighths = body.chunks(body.len().div_ceil(8)).map(Bytes::copy_from_slice);
            (paced(eighths, Duration::from_millis(ms)), length)
        }
        Some(Fault::SplitUtf8) => (split_inside(&body), length),
        Some(Fault::MalformedFrame) => return sized(200, half, open),
        Some(Fault::Gzip) => return gzipped(sized(200, gzip::stored(&body), open)),
        _ => return sized(200, body, open),
    };
    with_type("application/json", Play::new(steps, length, open))
}

fn stream(api: Api, ask: &Ask, fault: Option<Fault>, script: &Script, open: Open) -> Response<Play> {
    let events = spoiled(api, answer::events(api, ask, script.chunks), fault);
    let line_end = match fault {
        Some(Fault::CrLf) => "\r\n",
        Some(Fault::Cr) => "\r",
        _ => "\n",
    };
    let mut frames: Vec<Bytes> = events
        .iter()
        .map(|event| match fault {
            Some(Fault::Comments) => format!(": scripted comment\n\n{}", framed(event, "\n")).into(),
            // `},` ends a member of an object, so what follows may stand on a line of its own.
            Some(Fault::MultiLine) => {
                framed(&Event { data: event.data.replace("},", "},\n"), ..event.clone() }, "\n").into()
            }
            _ => framed(event, line_end).into(),
        })
        .collect();
    match fault {
        Some(Fault::Bom) => frames.insert(0, Bytes::from_static(b"\xef\xbb\xbf")),
        Some(Fault::NoLastBlankLine) => {
            if let Some(last) = frames.last_mut() {
                last.truncate(last.len() - 1);
            }
        }
        _ => {}
    }
    let steps = match fault {
        Some(Fault::CutAfter(n)) => then(paced(frames.into_iter().take(n), script.interval), [Step::Flush, Step::Cut]),
        Some(Fault::ResetAfter(n)) => {
            then(paced(frames.into_iter().take(n), script.interval), [Step::Flush, Step::Reset])
        }
        Some(Fault::HalfCloseAfter(n)) => {
            then(paced(frames.into_iter().take(n), script.interval), [Step::HalfClose, Step::Stall])
        }
        Some(Fault::StallAfter(n)) => then(paced(frames.into_iter().take(n), script.interval), [Step::Stall]),
        Some(Fault::Endless(ms)) => {
            let content = framed(&answer::content(api, ask, &REFRAIN.repeat(256)), "\n");
            vec![Step::Endless(content.into(), Duration::from_millis(ms))]
        }
        Some(Fault::OpenAfterDone) => then(paced(frames, script.interval), [Step::Stall]),
        Some(Fault::LateEnd(ms)) => then(paced(frames, script.interval), [Step::Wait(Duration::from_millis(ms))]),
        Some(Fault::Oversized) => {
            vec![Step::Send(Bytes::from_static(b"data: {\"x\":\"")), Step::Endless(filler(), Duration::ZERO)]
        }
        Some(Fault::Drip) => dripped(&frames.concat()),
        Some(Fault::SlowDrip(ms)) => paced(frames, Duration::from_millis(ms)),
        Some(Fault::SplitUtf8) => split_inside(&frames.concat()),
        Some(Fault::Gzip) => vec![Step::Send(gzip::stored(&frames.concat()))],
        _ => paced(frames, script.interval),
    };
    let response = with_type("text/event-stream", Play::new(steps, None, open));
    if fault == Some(Fault::Gzip) { gzipped(response) } else { response }
}

/// The events with a fault put in.
fn spoiled(api: Api, mut events: Vec<Event>, fault: Option<Fault>) -> Vec<Event> {
    let after_content = events.iter().position(|event| event.kind == Kind::Content).map_or(0, |at| at + 1);
    match fault {
        Some(Fault::MalformedFrame) => events.insert(after_content, Event::new(Kind::Odd, "{\"choices\":[{\"delta\":")),
        Some(Fault::NoDone) => events.retain(|event| event.kind != Kind::Done),
        Some(Fault::NoFinish) => events.retain(|event| event.kind != Kind::Finish),
        Some(Fault::NoUsage) => events.retain(|event| event.kind != Kind::Usage),
        Some(Fault::FinishError) => {
            for event in events.iter_mut().filter(|event| event.kind == Kind::Finish) {
                event.data = event.data.replace("\"stop\"", "\"error\"").replace("\"tool_calls\"", "\"error\"");
            }
        }
        Some(Fault::ErrorEvent) => {
            events.truncate(after_content);
            events.push(Event::new(Kind::Odd, answer::failure(api, Value::Null)));
            events.push(Event::done());
        }
        Some(Fault::ErrorFirst(code)) => {
            events = vec![Event::new(Kind::Odd, answer::failure(api, code.into())), Event::done()];
        }
        Some(Fault::EmptyStream) => events.clear(),
        Some(Fault::DuplicateUsage) => {
            if let Some(at) = events.iter().position(|event| event.kind == Kind::Usage) {
                events.insert(at, events[at].clone());
            }
        }
        _ => {}
    }
    events
}

/// A server-sent event.
fn framed(event: &Event, line_end: &str) -> String {
    let name = event.name.as_ref().map(|name| format!("event: {name}{line_end}"));
    let lines = event.data.lines().map(|line| format!("data: {line}{line_end}"));
    name.into_iter().chain(lines).chain([line_end.to_owned()]).collect()
}

fn paced(frames: impl IntoIterator<Item = Bytes>, interval: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    for frame in frames {
        if !interval.is_zero() && !steps.is_empty() {
            steps.push(Step::Wait(interval));
        }
        steps.push(Step::Send(frame));
    }
    steps
}

fn dripped(body: &[u8]) -> Vec<Step> {
    let writes = body.iter().flat_map(|byte| [Step::Flush, Step::Send(Bytes::copy_from_slice(&[*byte]))]);
    writes.skip(1).collect()
}

/// Writes that end inside each character of more than one byte.
fn split_inside(body: &[u8]) -> Vec<Step> {
    // A byte of the form 10xxxxxx goes on with a character; the write before it has its head.
    let mut steps = Vec::new();
    let mut start = 0;
    for at in 1..body.len() {
        if body[at] & 0xc0 == 0x80 {
            steps.extend([Step::Send(Bytes::copy_from_slice(&body[start..at])), Step::Flush]);
            start = at;
        }
    }
    steps.push(Step::Send(Bytes::copy_from_slice(&body[start..])));
    steps
}

/// What makes an event or a body too long.
fn filler() -> Bytes {
    Bytes::from(vec![b'x'; 64 << 10])
}

fn then<const N: usize>(mut steps: Vec<Step>, last: [Step; N]) -> Vec<Step> {
    steps.extend(last);
    steps
}

fn with_type(content_type: &'static str, body: Play) -> Response<Play> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn gzipped(mut response: Response<Play>) -> Response<Play> {
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}
