//! The bytes of a response as they come: from a connection, or from a test that says what a connection would.

use std::{error::Error, pin::Pin};

use backends::BackendError;
use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http_body::Body;

use crate::client::root;

/// A body that a task of its own can read.
pub(crate) trait Source: Body<Data = Bytes, Error: Error> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Error> + Send + Unpin + 'static> Source for B {}

/// Why a body could not be collected.
#[derive(Debug)]
pub(crate) enum Cut {
    /// It holds more than the limit.
    TooLong,
    /// The connection broke.
    Broken(String),
}

impl Cut {
    /// The error for an answer that may have `limit` bytes.
    pub(crate) fn of_answer(self, limit: usize) -> BackendError {
        let reason = match self {
            Self::TooLong => format!("the answer is longer than {limit} bytes"),
            Self::Broken(cause) => format!("the connection broke before the answer was whole: {cause}"),
        };
        BackendError::BrokenStream { reason }
    }

    /// The words for what is no answer of a model and may have `limit` bytes.
    pub(crate) fn words(self, limit: usize) -> String {
        match self {
            Self::TooLong => format!("it is longer than {limit} bytes"),
            Self::Broken(why) => format!("the connection broke: {why}"),
        }
    }
}

/// The bytes of a body; the buffer that they came in if there is but one.
pub(crate) async fn collect(mut body: impl Source, limit: usize) -> Result<Bytes, Cut> {
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
pub(crate) async fn next_data<B: Source>(body: &mut B) -> Result<Option<Bytes>, B::Error> {
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
