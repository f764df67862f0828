//! A streamed answer: the body of a response driven through a [`Reader`].
//!
//! Dropping the stream drops the body, which closes the connection (or resets the HTTP/2 stream) and so cancels
//! the generation at the host.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use backends::{BackendError, Event};
use futures_core::Stream;
use tokio::task::coop::poll_proceed;

use crate::{
    body::{Source, next_data},
    client::root,
    gauge::Running,
    reader::Reader,
};

/// How long the end of a body may take once `[DONE]` has come, for the connection to be used again.
const DRAIN: Duration = Duration::from_millis(250);

/// The events of a streamed answer.
pub(crate) struct Events<B> {
    reader: Reader,
    /// `None` once nothing more is to be read.
    body: Option<B>,
    _running: Running,
}

impl<B: Source> Events<B> {
    pub(crate) fn new(reader: Reader, body: B, running: Running) -> Self {
        Self { reader, body: Some(body), _running: running }
    }
}

impl<B: Source> Stream for Events<B> {
    type Item = Result<Event, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.reader.next_frame() {
                Some(Ok(frame)) => {
                    if frame.done
                        && let Some(body) = this.body.take()
                    {
                        drain(body, cx);
                    }
                    return Poll::Ready(Some(Ok(Event::Frame(frame))));
                }
                Some(Err(error)) => {
                    this.body = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {}
            }
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            // A host that floods comments must not keep the thread from everyone else, deadlines included.
            let turn = ready!(poll_proceed(cx));
            let read = ready!(Pin::new(body).poll_frame(cx));
            turn.made_progress();
            match read {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.reader.push(data);
                    }
                }
                Some(Err(error)) => {
                    this.body = None;
                    this.reader.close(Some(&root(&error)));
                }
                None => {
                    this.body = None;
                    this.reader.close(None);
                }
            }
        }
    }
}

/// Reads a body to its end, which is due, so that its connection goes back to the pool.
fn drain(mut body: impl Source, cx: &mut Context<'_>) {
    // It mostly lies in the buffer already.
    if Pin::new(&mut body).poll_frame(cx).is_pending() {
        tokio::spawn(tokio::time::timeout(DRAIN, async move { while let Ok(Some(_)) = next_data(&mut body).await {} }));
    }
}
