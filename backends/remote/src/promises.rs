//! What holds of anything that a host may send, as functions that fail where it does not.
//!
//! The property tests beside it give them streams made of good and faulty parts, the fuzz targets in `fuzz/` any bytes.
//! They run the code of an exchange from the response on; only the body is said here instead of read from a connection.
//!
//! - An answer is given out in one piece, or in frames that are the host's bytes in its order; it ends with `[DONE]`, with
//!   the end of a body in which a choice ended, or with one error. Nothing comes after that.
//! - A prediction is given out in pieces of text, and ends with one finish and the usage, or with one error.
//! - No wait is longer than a day, shares lie between 0 and 1, no count contradicts another, and no host's words are kept
//!   but of an error that is the caller's own.

use std::{io, sync::LazyLock, time::Duration};

use backends::{Api, Backend, BackendError, BackendId, Class, Event, EventStream, Frame, Probe, Usage};
use bytes::Bytes;
use catalog::Catalog;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body_util::StreamBody;
use tokio::runtime::{Builder, Runtime};

use crate::{
    Auth, Client, ClientOptions, Limits, Remote, Replicate, Secret, Target,
    body::Source,
    gauge::Gauge,
    moment::LONGEST,
    remote::Form,
    sse::{self, Search},
};

/// Connects to nothing.
static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::new(&ClientOptions::default()).expect("a client"));

/// A model at a place that the catalog does not know, at every host that speaks the OpenAI-compatible dialect, and at every
/// server.
static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(|| {
    let catalog = Catalog::builtin();
    let hosts = catalog.hosts().filter(|host| host.openai_compatible());
    let at_hosts = hosts.map(|host| Target { base_url: NOWHERE.into(), ..Target::at_host(host, "m", None) });
    let at_servers = catalog.servers().map(|server| Target::at_server(server, NOWHERE, "m", None));
    [Target::new(NOWHERE, "m", None)].into_iter().chain(at_hosts).chain(at_servers).collect()
});

/// An address that refuses every connection.
const NOWHERE: &str = "http://127.0.0.1:0/v1";

thread_local! {
    // The clock moves on where everybody waits for it. Needs tokio's feature `test-util`.
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
}

/// A response of a host.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The pieces in which its body comes.
    pub pieces: Vec<Bytes>,
    /// Whether the connection breaks after them.
    pub broken: bool,
}

/// What a host was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which of the hosts: any number means one.
    pub host: usize,
    /// The API.
    pub api: Api,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// How many choices.
    pub choices: usize,
    /// The most bytes that are held of an answer or of an event.
    pub limit: usize,
}

/// What came of an answer, however it was cut into pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Name and data of each event that is given out; the whole of an answer that is no stream.
    pub events: Vec<Field>,
    /// Whether any of it is content.
    pub content: bool,
    /// Whether a choice ended.
    pub finished: bool,
    /// The counts that came last.
    pub usage: Option<Usage>,
    /// Whether `[DONE]` ended it.
    pub done: bool,
    /// The error that ended it.
    pub error: Option<String>,
}

/// Name and data of an event.
pub type Field = (Bytes, Bytes);

/// Bytes in pieces of the given lengths, again and again.
pub fn pieces(bytes: &[u8], lengths: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut lengths = lengths.iter().copied().cycle();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(rest.split_to(lengths.next().unwrap_or(rest.len()).clamp(1, rest.len())));
    }
    pieces
}

/// The events with data of a stream in pieces; they are those of the specification.
pub fn split(pieces: &[Bytes]) -> Vec<Field> {
    let (mut search, mut event, mut events) = (Search::START, Vec::new(), Vec::new());
    for mut piece in pieces.iter().cloned() {
        while let Some(end) = search.end(&piece) {
            event.extend_from_slice(&piece.split_to(end));
            assert!(matches!(event.last(), Some(b'\n' | b'\r')), "an event without its blank line: {event:?}");
            events.push(std::mem::take(&mut event));
        }
        event.extend_from_slice(&piece);
    }
    let all = [events.concat(), event].concat();
    assert_eq!(all, pieces.concat(), "bytes are lost or made up");
    let field = |event: &Vec<u8>| {
        let parsed = sse::parse(event);
        Some((Bytes::copy_from_slice(parsed.name), Bytes::from(parsed.data?.into_owned())))
    };
    let found: Vec<Field> = events.iter().filter_map(field).collect();
    assert_eq!(found, specified(&all));
    found
}

/// The same by the letter of the WHATWG specification: all lines, one after the other.
fn specified(bytes: &[u8]) -> Vec<Field> {
    let (mut lines, mut line, mut rest) = (Vec::new(), Vec::new(), bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' {
                    rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                }
                lines.push(std::mem::take(&mut line));
            }
            _ => line.push(*byte),
        }
    }
    let (mut name, mut data, mut events) = (Vec::new(), None, Vec::new());
    for line in lines {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            events.extend(data.take().map(|data: Vec<Vec<u8>>| (Bytes::from(name), Bytes::from(data.join(&b'\n')))));
            continue;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (field, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match field {
            b"event" => name = value,
            b"data" => data.get_or_insert_with(Vec::new).push(value),
            _ => {}
        }
    }
    events
}

/// What comes of an answer.
pub fn received(answer: &Answer, asked: Asked) -> Outcome {
    let target = &TARGETS[asked.host % TARGETS.len()];
    let target = Target { limits: Limits { whole: asked.limit, event: asked.limit }, ..target.clone() };
    // Outside of the runtime, so that nothing is asked in the background.
    let remote = Remote::new(BackendId::new("remote"), target, &CLIENT).expect("a target that can be called");
    let mut response = Response::new(answer.body());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    let form = if asked.stream { Form::Stream } else { Form::Whole };
    let body = answer.pieces.concat();
    let outcome = run(async {
        let running = Gauge::default().enter();
        match remote.receive(response, form, asked.api, asked.choices, running).await {
            Ok(events) => given_out(events, &body, form).await,
            Err(error) => Outcome { error: Some(reason(&error)), ..Outcome::default() },
        }
    });
    let load = remote.load(&Probe::default());
    assert!(load.throttled_for.is_none_or(|wait| wait <= LONGEST), "{load:?}");
    assert!(load.quota_left.is_none_or(|share| (0.0..=1.0).contains(&share)), "{load:?}");
    outcome
}

/// Takes all that is given out of an answer.
async fn given_out(mut events: EventStream, body: &[u8], form: Form) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut bytes, mut at, mut appended, mut over) = (Vec::new(), 0, false, false);
    while let Some(event) = events.next().await {
        assert!(!over, "{event:?} after the end");
        let frame = match event {
            Ok(Event::Whole(frame)) if form == Form::Whole => {
                over = true;
                assert_eq!(frame.bytes, body, "an answer is not what the host sent");
                outcome.events.push((Bytes::new(), frame.bytes.clone()));
                frame
            }
            Ok(Event::Frame(frame)) if form == Form::Stream => {
                assert!(!appended, "{frame:?} after the last bytes of the host");
                over = frame.done;
                let rest = &body[at..];
                // The last event of all gets the blank line that it may lack.
                let found = find(rest, &frame.bytes).or_else(|| {
                    appended = true;
                    let lacked = |end: &[u8]| frame.bytes.strip_suffix(end).is_some_and(|bytes| rest.ends_with(bytes));
                    [&b"\n\n"[..], b"\n", b"\r"].into_iter().any(lacked).then_some(rest.len())
                });
                at += found.unwrap_or_else(|| panic!("{frame:?} is not what the host sent in {body:?}"));
                bytes.extend_from_slice(&frame.bytes);
                frame
            }
            Ok(other) => panic!("an answer has no {other:?}"),
            Err(error) => {
                over = true;
                outcome.error = Some(reason(&error));
                continue;
            }
        };
        outcome.take(&frame);
    }
    assert!(events.next().await.is_none(), "something comes after the end");
    if form == Form::Stream {
        outcome.events = split(&[bytes.clone().into()]);
        let unfinished = bytes.len() - bytes_of_events(&bytes);
        assert_eq!(unfinished, 0, "the caller waits for the end of an event: {:?}", Bytes::from(bytes));
        assert!(outcome.error.is_some() || outcome.finished, "a stream ended well, and no choice did");
    }
    assert!(outcome.error.is_some() || !outcome.events.is_empty(), "nothing came, and no error");
    outcome
}

impl Answer {
    fn body(&self) -> impl Source {
        let pieces = self.pieces.iter().cloned().map(|piece| Ok(http_body::Frame::data(piece)));
        let end = self.broken.then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        StreamBody::new(stream::iter(pieces.chain(end).collect::<Vec<_>>()))
    }
}

impl Outcome {
    fn take(&mut self, frame: &Frame) {
        self.content |= frame.content;
        self.finished |= frame.finished;
        self.done |= frame.done;
        if let Some(usage) = frame.usage {
            consistent(&usage);
            self.usage = Some(usage);
        }
    }
}

/// What comes of the stream of a prediction whose host cannot be reached otherwise: its text, and how it ended.
pub fn predicted(answer: &Answer, limit: usize) -> (String, Result<(), String>) {
    let catalog = Catalog::builtin();
    let target = Target {
        base_url: NOWHERE.into(),
        limits: Limits { whole: limit, event: limit },
        ..Target::at_host(catalog.host("replicate").expect("a host"), "a/b", None)
    };
    let replicate = Replicate::new(BackendId::new("replicate"), target, &CLIENT).expect("a target that can be called");
    run(async {
        let mut events = replicate.follow(answer.body());
        let (mut text, mut finishes, mut counts, mut failed) = (String::new(), 0, 0, None);
        while let Some(event) = events.next().await {
            assert!(counts == 0 && failed.is_none(), "{event:?} after the end");
            match event {
                Ok(Event::Delta(delta)) => {
                    assert_eq!(finishes, 0, "text after the finish");
                    text += &delta.text;
                }
                Ok(Event::Finish { .. }) => finishes += 1,
                Ok(Event::Usage(usage)) => {
                    consistent(&usage);
                    counts += 1;
                }
                Ok(other) => panic!("a prediction has no {other:?}"),
                Err(error) => failed = Some(reason(&error)),
            }
        }
        match failed {
            Some(reason) => {
                assert_eq!(finishes, 0, "an error after a finish");
                (text, Err(reason))
            }
            None => {
                assert_eq!((finishes, counts), (1, 1), "no end");
                (text, Ok(()))
            }
        }
    })
}

/// What is sent for the headers that a configuration sets, and the key in the header of this name: nothing but those and
/// our own, and none by which a message is cut out of its connection. `None` if they are refused.
pub fn sent(headers: &[(String, String)], key: Option<(&str, &str)>) -> Option<HeaderMap> {
    let mut target = Target { headers: headers.to_vec(), ..Target::new(NOWHERE, "m", None) };
    if let Some((name, key)) = key {
        target.auth = Auth::Header(name.to_owned());
        target.key = Some(Secret::new(key));
    }
    let checked = target.check(&CLIENT).ok()?;
    let ours = [header::USER_AGENT, header::CONTENT_TYPE, header::ACCEPT_ENCODING];
    for (name, value) in &checked.headers {
        let set = |theirs: &str| HeaderName::from_bytes(theirs.as_bytes()).is_ok_and(|theirs| theirs == *name);
        let known = ours.contains(name)
            || headers.iter().any(|(theirs, _)| set(theirs))
            || key.is_some_and(|(theirs, _)| set(theirs));
        assert!(known, "`{name}` comes from nowhere");
        assert!(
            !["host", "content-length", "transfer-encoding", "connection", "upgrade", "te"].contains(&name.as_str()),
            "`{name}` is sent"
        );
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "`{name}` ends its line");
    }
    Some(checked.headers)
}

/// The text of an error, after what holds for each.
fn reason(error: &BackendError) -> String {
    assert!(error.retry_after().is_none_or(|wait| wait <= LONGEST), "{error:?}");
    if let BackendError::Status { body, .. } = error {
        let callers = matches!(error.class(), Class::Caller | Class::ContextTooLong | Class::ContentFilter);
        assert!(callers || body.is_empty(), "words of the host are kept: {error:?}");
    }
    let text = error.to_string();
    assert!(text.len() < 400 && !text.contains(char::is_control), "no line for a log: {text:?}");
    format!("{}: {text}", error.code())
}

fn consistent(usage: &Usage) {
    assert!(usage.cached_tokens <= usage.prompt_tokens, "{usage:?}");
    assert!(usage.cache_write_tokens <= usage.prompt_tokens - usage.cached_tokens, "{usage:?}");
    assert!(usage.reasoning_tokens <= usage.completion_tokens, "{usage:?}");
    assert!(usage.cost_usd.is_none_or(|cost| cost.is_finite() && cost >= 0.0), "{usage:?}");
}

/// How many bytes of a stream belong to events that have ended.
fn bytes_of_events(mut bytes: &[u8]) -> usize {
    let whole = bytes.len();
    let mut search = Search::START;
    while let Some(end) = search.end(bytes) {
        bytes = &bytes[end..];
    }
    whole - bytes.len()
}

/// Where the first of these bytes in others ends.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let at = if bytes.starts_with(wanted) { Some(0) } else { memchr::memmem::find(bytes, wanted) };
    at.map(|at| at + wanted.len())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let timed = async { tokio::time::timeout(Duration::from_secs(3600), future).await.expect("an end") };
    RUNTIME.with(|runtime| runtime.block_on(timed))
}

#[cfg(test)]
mod tests;
