//! A streamed answer: events in, server-sent events out.
//!
//! The body is polled by the connection, so a caller that goes away drops it, and with it the upstream or the
//! engine slot. Exactly one terminal comes, as the caller's API has it (`writer`): that of a whole answer, or that of a broken
//! one.
//!
//! Sound goes this way too, though it is no event stream: nothing can be said in it, so one that breaks off breaks its
//! connection, and a client knows that it has not all of it.
//!
//! Timers cost nothing a chunk: one sleep is armed for the nearest deadline, and when it fires it looks how long
//! ago the last bytes were and is armed again. A silent stream gets a sign of life, so that proxies keep it open.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use backends::{Backend, BackendError, Event, EventStream, Phase};
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Writer, body::piece_of, error::ApiError};
use crate::{answers::Recorder, settle::Settlement};

#[cfg(test)]
mod tests;

/// Proxies cut silent streams after 60 s or so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Ready events are gathered into one write up to about this size.
const GATHER: usize = 16 * 1024;

/// The body of a streamed answer.
pub struct SseBody {
    events: EventStream,
    /// Events that were held back until the attempt committed.
    head: std::vec::IntoIter<Event>,
    writer: Writer,
    settlement: Option<Settlement>,
    /// Keeps what goes out, to be given again.
    recorder: Option<Recorder>,
    /// A choice ended, so the answer may be called whole.
    finished: bool,
    ended: bool,
    /// What of the bytes that were gathered has not been sent: an event may be of some megabytes.
    rest: Bytes,
    /// It broke off, and its bytes cannot say so.
    cut: bool,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes; none where it was not asked since it was set.
    woken: Option<Waker>,
    last_bytes: Instant,
    last_heartbeat: Instant,
    deadlines: Deadlines,
    /// Goes after `events`, which it serves.
    _backend: Arc<dyn Backend>,
}

/// What a committed attempt gives.
pub struct Answer {
    /// Events that were held back until it committed.
    pub head: Vec<Event>,
    /// The events after them.
    pub rest: EventStream,
    /// Kept until the answer ends, so that a reload does not stop the engine under it.
    pub backend: Arc<dyn Backend>,
}

/// How long an answer may take from here.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Between two events.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Instant,
}

impl SseBody {
    /// The body of a committed attempt.
    pub fn new(answer: Answer, writer: Writer, settlement: Settlement, deadlines: Deadlines) -> Self {
        let now = Instant::now();
        Self {
            events: answer.rest,
            head: answer.head.into_iter(),
            writer,
            settlement: Some(settlement),
            recorder: None,
            finished: false,
            ended: false,
            rest: Bytes::new(),
            cut: false,
            timer: Box::pin(sleep_until((now + HEARTBEAT.min(deadlines.idle)).min(deadlines.total))),
            woken: None,
            last_bytes: now,
            last_heartbeat: now,
            deadlines,
            _backend: answer.backend,
        }
    }

    /// The same, which is kept as it goes out.
    #[must_use]
    pub fn recorded(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Whether it broke off without a word for it, so that the connection has to tell.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The next bytes to send; `None` after the terminal.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.rest.is_empty() {
            match ready!(self.poll_gathered(cx)) {
                Some(bytes) => self.rest = bytes,
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(piece_of(&mut self.rest)))
    }

    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(first) = self.poll_event(cx) else { return self.poll_timer(cx) };
        let mut gathered = Gathered::default();
        let now = Instant::now();
        // Also for a stream that always has something: the timer is only looked at when it has nothing.
        if now >= self.deadlines.total {
            self.late(Phase::Total, &mut gathered);
        } else {
            self.take(first, &mut gathered);
        }
        while !self.ended && gathered.len() < GATHER {
            match self.poll_event(cx) {
                Poll::Ready(event) => self.take(event, &mut gathered),
                Poll::Pending => break,
            }
        }
        if gathered.len() > 0 {
            self.last_bytes = now;
            let bytes = gathered.take();
            if let Some(recorder) = &mut self.recorder {
                recorder.take(&bytes);
                if self.ended {
                    self.record();
                }
            }
            return Poll::Ready(Some(bytes));
        }
        if self.ended {
            self.record();
            return Poll::Ready(None);
        }
        self.poll_timer(cx)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, BackendError>>> {
        match self.head.next() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => self.events.as_mut().poll_next(cx),
        }
    }

    fn take(&mut self, event: Option<Result<Event, BackendError>>, out: &mut Gathered) {
        match event {
            Some(Ok(event)) => self.event(event, out),
            Some(Err(error)) => self.fail(&error, out),
            None if self.finished => self.complete(out),
            None => self.fail(&BackendError::BrokenStream { reason: "it ended without a finish reason".into() }, out),
        }
    }

    fn event(&mut self, event: Event, out: &mut Gathered) {
        match event {
            Event::Frame(frame) | Event::Whole(frame) => {
                self.finished |= frame.finished;
                if let Some(settlement) = &mut self.settlement {
                    settlement.text(frame.text_tokens);
                    frame.usage.into_iter().for_each(|usage| settlement.usage(usage));
                }
                let done = frame.done;
                if done && !frame.own {
                    return self.complete(out);
                }
                match self.writer.frame(frame, out) {
                    Ok(()) if done => self.complete(out),
                    Ok(()) => {}
                    Err(error) => self.fail(&error, out),
                }
            }
            Event::Delta(delta) => {
                if let Some(settlement) = &mut self.settlement {
                    settlement.text(delta.text_tokens());
                }
                self.writer.delta(&delta, out.text());
            }
            Event::Finish { index, reason } => {
                self.finished = true;
                if let Some(settlement) = &mut self.settlement {
                    settlement.finish(reason.as_str());
                }
                self.writer.finish(index, reason, out.text());
            }
            Event::Usage(usage) => {
                if let Some(settlement) = &mut self.settlement {
                    settlement.usage(usage);
                }
                self.writer.usage(usage, out.text());
            }
        }
    }

    /// The terminal of a whole answer. An upstream that says `[DONE]` without a finish reason has not answered.
    fn complete(&mut self, out: &mut Gathered) {
        if !self.finished {
            return self.fail(&BackendError::BrokenStream { reason: "it ended without a finish reason".into() }, out);
        }
        self.ended = true;
        let counted = self.settlement.as_ref().and_then(Settlement::counted);
        self.writer.end(counted, out.text());
        if let Some(settlement) = self.settlement.take() {
            if let Some(recorder) = &mut self.recorder {
                recorder.ends(counted, settlement.finished());
            }
            settlement.completed();
        }
    }

    /// Nothing more goes out.
    fn record(&mut self) {
        self.recorder.take().into_iter().for_each(Recorder::keep);
    }

    /// The terminal once a deadline has passed. Where the only choice has ended, the caller has the whole answer: what
    /// did not come is the upstream's own `[DONE]`, or usage. Of several choices it is not known which have ended.
    fn late(&mut self, phase: Phase, out: &mut Gathered) {
        if self.finished && self.writer.choices() == 1 {
            return self.complete(out);
        }
        self.fail(&BackendError::Timeout { phase }, out);
    }

    /// The terminal of a broken answer: an error, and no finish reason that nobody gave.
    fn fail(&mut self, error: &BackendError, out: &mut Gathered) {
        self.ended = true;
        self.cut = !self.writer.tells_errors();
        let id = self.settlement.as_ref().map(|settlement| settlement.request_id().to_owned()).unwrap_or_default();
        self.writer.error(&ApiError::broken_stream(error), &id, out.text());
        if let Some(settlement) = self.settlement.take() {
            settlement.broken(error);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // Between two pieces it has been armed for whoever polls, and has nothing to say.
        if !self.timer.is_elapsed() && self.woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.woken = None;
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let phase = if now >= self.deadlines.total {
                Some(Phase::Total)
            } else if now >= self.last_bytes + self.deadlines.idle {
                Some(Phase::Idle)
            } else {
                None
            };
            if let Some(phase) = phase {
                let mut out = Gathered::default();
                self.late(phase, &mut out);
                return Poll::Ready(Some(out.take()).filter(|bytes| !bytes.is_empty()));
            }
            let beat = self.last_bytes.max(self.last_heartbeat) + HEARTBEAT;
            let beats = now >= beat;
            let next_beat = if beats { now + HEARTBEAT } else { beat };
            self.timer.as_mut().reset(next_beat.min(self.last_bytes + self.deadlines.idle).min(self.deadlines.total));
            if beats {
                self.last_heartbeat = now;
                let sign = self.writer.heartbeat();
                if !sign.is_empty() {
                    return Poll::Ready(Some(sign));
                }
            }
        }
        self.woken = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for SseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseBody").field("finished", &self.finished).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Appends an event that has a name.
pub(super) fn named_event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    serde_json::to_writer(&mut *out, data).expect("strings and numbers serialise");
    out.extend_from_slice(b"\n\n");
}

/// Bytes of the events that were ready at one poll. A single upstream frame passes through uncopied.
#[derive(Default)]
pub(super) struct Gathered {
    frame: Bytes,
    text: Vec<u8>,
}

impl Gathered {
    fn len(&self) -> usize {
        self.frame.len() + self.text.len()
    }

    pub(super) fn frame(&mut self, bytes: Bytes) {
        if self.frame.is_empty() && self.text.is_empty() {
            self.frame = bytes;
        } else {
            self.text().extend_from_slice(&bytes);
        }
    }

    /// The buffer to append to, after the frame if there is one.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn take(self) -> Bytes {
        if self.text.is_empty() {
            return self.frame;
        }
        if self.frame.is_empty() {
            return self.text.into();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.frame);
        whole.extend_from_slice(&self.text);
        whole.freeze()
    }
}
