//! A response body that follows a list of steps: send, wait, fall silent, break.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gauge::{End, Open};

/// One step of a body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Send these bytes.
    Send(Bytes),
    /// Hand the bytes so far to the kernel before going on.
    Flush,
    /// Send nothing for this long.
    Wait(Duration),
    /// Send nothing ever again.
    Stall,
    /// Break the connection.
    Cut,
    /// Break it with a reset.
    Reset,
    /// Close the sending side alone.
    HalfClose,
    /// Send these bytes again and again, so far apart.
    Endless(Bytes, Duration),
}

/// A body under way. Dropping it closes the request in the gauge.
pub(crate) struct Play {
    steps: Steps,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    length: Option<u64>,
    open: Open,
}

enum Steps {
    Own(VecDeque<Step>),
    /// Built once for many requests; the number is the next step.
    Shared(Arc<[Step]>, usize),
}

impl Play {
    /// A body of steps; `length` is the `content-length` to announce, true or not.
    pub(crate) fn new(steps: impl Into<VecDeque<Step>>, length: Option<u64>, open: Open) -> Self {
        if length == Some(0) {
            // Nobody asks an empty body for anything.
            open.ends(End::Answered);
        }
        Self { steps: Steps::Own(steps.into()), timer: None, waiting: false, length, open }
    }

    /// A body of steps that other requests share.
    pub(crate) fn shared(steps: Arc<[Step]>, length: Option<u64>, open: Open) -> Self {
        Self { steps: Steps::Shared(steps, 0), timer: None, waiting: false, length, open }
    }

    fn next(&mut self) -> Option<Step> {
        match &mut self.steps {
            Steps::Own(steps) => steps.pop_front(),
            Steps::Shared(steps, next) => {
                *next += 1;
                steps.get(*next - 1).cloned()
            }
        }
    }

    fn is_over(&self) -> bool {
        match &self.steps {
            Steps::Own(steps) => steps.is_empty(),
            Steps::Shared(steps, next) => *next >= steps.len(),
        }
    }

    /// Hands bytes to the connection. A body of known length is not asked for its end, so the last of them are it.
    fn sends(&self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.open.sends(bytes.len());
        if self.is_over() {
            self.open.ends(End::Answered);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn waits(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(until),
            None => self.timer = Some(Box::pin(sleep_until(until))),
        }
        self.waiting = true;
    }

    fn again(&mut self, step: Step) {
        if let Steps::Own(steps) = &mut self.steps {
            steps.push_front(step);
        }
    }
}

impl Body for Play {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if this.waiting {
                // The timer outlives the wait: the next one only moves it.
                if let Some(timer) = &mut this.timer {
                    ready!(timer.as_mut().poll(cx));
                }
                this.waiting = false;
            }
            match this.next() {
                None => {
                    this.open.ends(End::Answered);
                    return Poll::Ready(None);
                }
                Some(Step::Send(bytes)) => return this.sends(bytes),
                Some(Step::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Wait(pause)) => this.waits(pause),
                Some(Step::Stall) => {
                    this.again(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Cut) => {
                    this.open.ends(End::Broken);
                    return Poll::Ready(Some(Err(io::Error::other("cut by the script"))));
                }
                Some(Step::Reset) => {
                    this.open.line().reset();
                    this.again(Step::Cut);
                }
                Some(Step::HalfClose) => {
                    this.open.ends(End::Broken);
                    this.open.line().half_close();
                }
                Some(Step::Endless(bytes, pause)) => {
                    this.again(Step::Endless(bytes.clone(), pause));
                    if !pause.is_zero() {
                        this.again(Step::Wait(pause));
                    }
                    return this.sends(bytes);
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
