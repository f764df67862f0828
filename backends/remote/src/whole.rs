//! An answer that is not streamed: its body collected within a limit, then checked and forwarded untouched.

use std::pin::Pin;

use backends::{Api, BackendError, Convention, Event, Frame};
use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http_body::Body;
use hyper::body::Incoming;

use crate::{
    chunk::{self, Read},
    client::root,
    report,
};

/// Reads and checks a whole answer.
pub(crate) async fn answer(body: Incoming, limit: usize, api: Api, usage: &Convention) -> Result<Event, BackendError> {
    let broken = |reason: String| BackendError::BrokenStream { reason };
    let bytes = collect(body, limit).await.map_err(|error| match error {
        Cut::TooLong => broken(format!("the answer is longer than {limit} bytes")),
        Cut::Broken(cause) => broken(format!("the connection broke before the answer was whole: {cause}")),
    })?;
    let chunk = match chunk::read(&bytes) {
        Read::Chunk(chunk) => chunk,
        Read::Other => return Err(broken("the answer is no JSON object with `choices`".into())),
        Read::Bad => return Err(broken("the answer is no JSON".into())),
    };
    let choices = chunk.choices.unwrap_or_default();
    if chunk.is_error() {
        return Err(report::inside(&bytes, api));
    }
    if choices.failed {
        return Err(report::choice_failed());
    }
    if choices.count == 0 {
        return Err(broken("the answer has no `choices`".into()));
    }
    let usage = usage.read(&bytes, chunk.usage, true);
    let frame = Frame { content: true, finished: choices.finished != 0, usage, ..Frame::default() };
    Ok(Event::Whole(Frame { bytes, ..frame }))
}

/// Why a body could not be collected.
#[derive(Debug)]
pub(crate) enum Cut {
    /// It holds more than the limit.
    TooLong,
    /// The connection broke.
    Broken(String),
}

/// The bytes of a body; the buffer that they came in if there is but one.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Cut> {
    let expected = body.size_hint().lower();
    if expected > limit as u64 {
        return Err(Cut::TooLong);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(data) = next_data(&mut body).await.map_err(|error| Cut::Broken(root(&error)))? {
        if first.len() + all.len() + data.len() > limit {
            return Err(Cut::TooLong);
        }
        if all.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            // What the host announces is believed up to a size that costs nothing if it is wrong.
            all.reserve(usize::try_from(expected).unwrap_or(0).min(1 << 20));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The next bytes of a body, trailers left out.
pub(crate) async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.transpose()? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
