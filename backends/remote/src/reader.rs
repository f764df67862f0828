//! Reads the events of an upstream's stream: bytes in, frames out. No I/O.
//!
//! Bytes are passed on as they came, in slices of the buffers they came in: neighbouring events of one buffer
//! become one frame. Three kinds of events stand alone, so that the gateway can drop or hold them: the usage
//! chunk, `[DONE]`, and the last one of a stream that lacks its blank line.
//!
//! - Comments, blank events and a byte order mark are left out: the gateway makes its own heartbeat.
//! - An event whose data is no JSON is left out and logged; the stream goes on. A missing piece of text shows,
//!   a stream that is thrown away costs a whole answer.
//! - An event that reports an error ends the stream with that error.
//! - A stream ends well if a choice ended before `[DONE]`, or if all choices ended before its end. Whatever
//!   breaks after that took nothing from the answer. Any other end is an error: no `finish_reason` is made up.

mod alike;

use std::{collections::VecDeque, sync::Arc};

use backends::{Api, BackendError, Convention, Frame};
use bytes::{Buf, Bytes, BytesMut};

use self::alike::Alike;
use crate::{
    chunk::{self, Read},
    own::{Own, Said},
    report,
    sse::{self, BOM, Search},
};

/// Turns the bytes of an upstream's stream into frames.
#[derive(Debug)]
pub struct Reader {
    api: Api,
    /// For an API that is not read as OpenAI's chunks.
    own: Option<Own>,
    usage: Arc<Convention>,
    /// The bits of [`Reader::finished`] that a whole answer has.
    wanted: u128,
    /// The largest event that is taken.
    limit: usize,
    /// The buffer that came last, read up to `at`.
    buffer: Bytes,
    at: usize,
    /// The head of an event that began in an earlier buffer.
    head: BytesMut,
    search: Search,
    alike: Alike,
    /// Frames that are ready behind one that was given out.
    ready: VecDeque<Result<Frame, BackendError>>,
    /// The choices that have ended.
    finished: u128,
    /// Whether an event was left out because its data is no JSON.
    skipped: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing read yet: a byte order mark may come.
    Start,
    /// Some event read.
    Open,
    /// `[DONE]`, an error, or the end was read.
    Over,
}

/// What becomes of an event.
enum Verdict {
    /// It may share a frame with its neighbours.
    Keep(Frame),
    /// It has a frame of its own.
    Alone(Frame),
    /// It is left out.
    Skip,
    /// It ends the stream.
    Fail(BackendError),
}

impl Reader {
    /// A reader for an answer of so many choices, whose events have at most `limit` bytes: no more is held.
    pub fn new(api: Api, choices: usize, limit: usize, usage: Arc<Convention>) -> Self {
        Self {
            api,
            own: Own::new(api),
            usage,
            wanted: u128::MAX >> (128 - choices.clamp(1, 128)),
            limit,
            buffer: Bytes::new(),
            at: 0,
            head: BytesMut::new(),
            search: Search::START,
            alike: Alike::default(),
            ready: VecDeque::new(),
            finished: 0,
            skipped: false,
            state: State::Start,
        }
    }

    /// Takes the next bytes. Call [`Reader::next_frame`] until it has none before the next call.
    pub fn push(&mut self, bytes: Bytes) {
        debug_assert!(
            self.at == self.buffer.len() || self.state == State::Over,
            "bytes pushed before the last ones were read"
        );
        (self.buffer, self.at) = (bytes, 0);
    }

    /// The upstream's bytes have ended, by themselves or because of `broken`.
    pub fn close(&mut self, broken: Option<&str>) {
        if self.state == State::Over {
            return;
        }
        self.last_event();
        if self.state == State::Over {
            return;
        }
        self.state = State::Over;
        if self.finished & self.wanted == self.wanted {
            return;
        }
        let reason = match (broken, self.finished) {
            (Some(cause), _) => format!("the connection broke before the answer was finished: {cause}"),
            (None, 0) => "it ended without a `finish_reason`".into(),
            (None, _) => "it ended before every choice had a `finish_reason`".into(),
        };
        self.ready.push_back(Err(BackendError::BrokenStream { reason }));
    }

    /// The next frame, the error that ends the stream, or `None` if more bytes are needed or nothing comes any more.
    pub fn next_frame(&mut self) -> Option<Result<Frame, BackendError>> {
        if let Some(frame) = self.ready.pop_front() {
            return Some(frame);
        }
        if !self.head.is_empty()
            && let Some(frame) = self.split_event()
        {
            return Some(frame);
        }
        // The head is empty from here on, or the buffer is.
        self.whole_events()
    }

    /// Completes the event that began in an earlier buffer.
    fn split_event(&mut self) -> Option<Result<Frame, BackendError>> {
        let rest = &self.buffer[self.at..];
        let end = self.search.end(rest);
        let length = end.unwrap_or(rest.len());
        if self.head.len() + length > self.limit {
            return Some(Err(self.too_long()));
        }
        self.head.extend_from_slice(&rest[..length]);
        self.at += length;
        end?;
        let mut event = self.head.split().freeze();
        if self.state == State::Start && event.starts_with(BOM) {
            event = event.slice(BOM.len()..);
        }
        let verdict = match self.alike(&event) {
            Some((length, frame)) if length == event.len() => Verdict::Keep(frame),
            _ => self.judge(&event),
        };
        match verdict {
            Verdict::Keep(frame) | Verdict::Alone(frame) => Some(Ok(Frame { bytes: event, ..frame })),
            Verdict::Skip => None,
            Verdict::Fail(error) => Some(Err(error)),
        }
    }

    /// The events that lie whole in the buffer, as one frame where they may share it.
    fn whole_events(&mut self) -> Option<Result<Frame, BackendError>> {
        // Not kept once it is read: the connection uses the memory again while the stream waits.
        let buffer = std::mem::take(&mut self.buffer);
        let mut start = self.at;
        let mut shared = Frame::default();
        while self.state != State::Over {
            let mut from = self.at;
            let (end, verdict) = if let Some((length, frame)) = self.alike(&buffer[from..]) {
                self.at += length;
                (self.at, Verdict::Keep(frame))
            } else {
                let Some(length) = self.search.end(&buffer[from..]) else { break };
                self.at += length;
                let end = self.at;
                if self.state == State::Start && buffer[from..end].starts_with(BOM) {
                    from += BOM.len();
                    start = from;
                }
                // As long as one that comes in pieces may be: what is taken does not depend on how it is cut.
                let is_too_long = length > self.limit;
                (end, if is_too_long { Verdict::Fail(self.too_long()) } else { self.judge(&buffer[from..end]) })
            };
            let outcome = match verdict {
                Verdict::Keep(frame) => {
                    shared.content |= frame.content;
                    shared.text_tokens = shared.text_tokens.saturating_add(frame.text_tokens);
                    shared.finished |= frame.finished;
                    shared.usage = frame.usage.or(shared.usage);
                    shared.own |= frame.own;
                    continue;
                }
                Verdict::Skip if from == start => {
                    start = end;
                    continue;
                }
                Verdict::Skip => None,
                Verdict::Alone(frame) => Some(Ok(Frame { bytes: buffer.slice(from..end), ..frame })),
                Verdict::Fail(error) => Some(Err(error)),
            };
            if from == start {
                self.buffer = buffer;
                return outcome;
            }
            self.ready.extend(outcome);
            self.buffer = buffer.clone();
            shared.bytes = buffer.slice(start..from);
            return Some(Ok(shared));
        }
        let end = std::mem::take(&mut self.at);
        if self.state != State::Over {
            // The search has gone through the rest, which therefore is the head of an event.
            let rest = &buffer[end..];
            if rest.len() > self.limit {
                let error = self.too_long();
                self.ready.push_back(Err(error));
            } else {
                self.head.extend_from_slice(rest);
            }
        }
        if end == start {
            return self.ready.pop_front();
        }
        // Mostly the buffer holds one event and nothing else.
        shared.bytes = if start == 0 && end == buffer.len() { buffer } else { buffer.slice(start..end) };
        Some(Ok(shared))
    }

    /// The length of the event that bytes begin with and what it says, where that is known from one before.
    fn alike(&mut self, bytes: &[u8]) -> Option<(usize, Frame)> {
        if self.search != Search::START || self.state != State::Open {
            return None;
        }
        self.alike.first_of(bytes).filter(|(length, _)| *length <= self.limit)
    }

    /// Takes what is left at the end for an event, if it can be one: some hosts leave out the last blank line.
    fn last_event(&mut self) {
        let mut event = std::mem::take(&mut self.head);
        if self.state == State::Start && event.starts_with(BOM) {
            event.advance(BOM.len());
        }
        let is_json_or_done = match sse::parse(&event).data {
            Some(data) => is_done(&data) || !matches!(chunk::read(&data), Read::Bad),
            None => false,
        };
        // A cut event is no fault of its own: the end of the stream is judged by what came before.
        if !is_json_or_done {
            return;
        }
        event.extend_from_slice(match event.last() {
            // An LF would make one line end of the two.
            Some(b'\r') => b"\r",
            Some(b'\n') => b"\n",
            _ => b"\n\n",
        });
        match self.judge(&event) {
            Verdict::Keep(frame) | Verdict::Alone(frame) => {
                self.ready.push_back(Ok(Frame { bytes: event.freeze(), ..frame }))
            }
            Verdict::Skip => {}
            Verdict::Fail(error) => self.ready.push_back(Err(error)),
        }
    }

    /// Decides what becomes of an event and remembers what it says.
    fn judge(&mut self, event: &[u8]) -> Verdict {
        self.state = State::Open;
        let bytes = event;
        let event = sse::parse(event);
        let error = event.is_error();
        let Some(data) = event.data else { return Verdict::Skip };
        if is_done(&data) {
            self.give_up();
            if self.finished == 0 {
                let reason = "`[DONE]` came without a `finish_reason`".into();
                return Verdict::Fail(BackendError::BrokenStream { reason });
            }
            return Verdict::Alone(Frame { done: true, ..Frame::default() });
        }
        if let Some(own) = &mut self.own {
            return match own.event(&data) {
                Said::Part(frame) => self.part(frame),
                Said::Error(json) => self.fail(json.as_bytes()),
                Said::Other | Said::Bad if error => self.fail(&data),
                Said::Other => Verdict::Keep(Frame { own: true, ..Frame::default() }),
                Said::Bad => self.skip(&data),
            };
        }
        let chunk = match chunk::read(&data) {
            Read::Object(chunk) => chunk,
            Read::Other if error => return self.fail(&data),
            // Not of a shape we know, so nothing says that the caller would not want it.
            Read::Other => return Verdict::Keep(Frame { content: true, ..Frame::default() }),
            Read::Bad if error => return self.fail(&data),
            Read::Bad => return self.skip(&data),
        };
        let choices = chunk.choices.unwrap_or_default();
        if error || chunk.is_error() {
            return self.fail(&data);
        }
        if choices.failed {
            self.give_up();
            return Verdict::Fail(report::choice_failed());
        }
        self.finished |= choices.finished;
        let usage = self.usage.read(&data, chunk.usage, choices.finished != 0);
        let usage_only = choices.count == 0 && usage.is_some();
        let (content, text_tokens, finished) = (choices.content, choices.text_tokens, choices.finished != 0);
        let frame = Frame { content, text_tokens, finished, usage, usage_only, ..Frame::default() };
        if usage_only {
            return Verdict::Alone(frame);
        }
        if content && usage.is_none() && !finished {
            self.alike.learn(bytes, &frame);
        }
        Verdict::Keep(frame)
    }

    /// A part of an answer in an API of the caller's own, which ends with an event that the caller gets too.
    fn part(&mut self, frame: Frame) -> Verdict {
        self.finished |= u128::from(frame.finished);
        if !frame.done {
            return Verdict::Keep(frame);
        }
        self.give_up();
        if self.finished == 0 {
            let reason = "it ended without saying why the model stopped".into();
            return Verdict::Fail(BackendError::BrokenStream { reason });
        }
        Verdict::Alone(frame)
    }

    fn skip(&mut self, data: &[u8]) -> Verdict {
        // Logged once a stream: a host may send any number of them.
        if !std::mem::replace(&mut self.skipped, true) {
            tracing::warn!(bytes = data.len(), "an event that is no JSON was left out of a stream");
        }
        Verdict::Skip
    }

    fn fail(&mut self, data: &[u8]) -> Verdict {
        self.give_up();
        Verdict::Fail(report::inside(data, self.api))
    }

    fn too_long(&mut self) -> BackendError {
        self.give_up();
        BackendError::BrokenStream { reason: format!("an event is longer than {} bytes", self.limit) }
    }

    /// Reads nothing more.
    fn give_up(&mut self) {
        self.state = State::Over;
        self.head = BytesMut::new();
        self.buffer = Bytes::new();
        self.at = 0;
    }
}

fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

#[cfg(test)]
mod tests;
