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

use crate::gauge::Open;

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
    /// Send these bytes again and again.
    Endless(Bytes),
}

/// A body under way. Dropping it closes the request in the gauge.
pub(crate) struct Play {
    steps: Steps,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    length: Option<u64>,
    _open: Open,
}

enum Steps {
    Own(VecDeque<Step>),
    /// Built once for many requests; the number is the next step.
    Shared(Arc<[Step]>, usize),
}

impl Play {
    /// A body of steps; `length` is the `content-length` to announce, true or not.
    pub(crate) fn new(steps: impl Into<VecDeque<Step>>, length: Option<u64>, open: Open) -> Self {
        Self { steps: Steps::Own(steps.into()), timer: None, waiting: false, length, _open: open }
    }

    /// A body of steps that other requests share.
    pub(crate) fn shared(steps: Arc<[Step]>, length: Option<u64>, open: Open) -> Self {
        Self { steps: Steps::Shared(steps, 0), timer: None, waiting: false, length, _open: open }
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
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Wait(pause)) => {
                    let until = Instant::now() + pause;
                    match &mut this.timer {
                        Some(timer) => timer.as_mut().reset(until),
                        None => this.timer = Some(Box::pin(sleep_until(until))),
                    }
                    this.waiting = true;
                }
                Some(Step::Stall) => {
                    this.again(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Cut) => return Poll::Ready(Some(Err(io::Error::other("cut by the script")))),
                Some(Step::Endless(bytes)) => {
                    this.again(Step::Endless(bytes.clone()));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
