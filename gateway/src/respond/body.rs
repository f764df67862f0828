//! The one response body type: whole bytes, a stream of events, or a file.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::sse::SseBody;

/// A response body. What goes wrong mid-answer is told in the API's own terms; where it has none, the body fails, which
/// breaks the connection.
#[derive(Debug)]
pub enum Body {
    /// All bytes at once.
    Whole(Bytes),
    /// Server-sent events.
    Sse(Box<SseBody>),
    /// What a file holds, piece by piece.
    File(FileBody),
}

/// An answer broke off, in bytes that have no word for it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

/// A file that is sent. One that cannot be read to its end ends before the length that was announced, which a client
/// notices.
#[derive(Debug)]
pub struct FileBody {
    file: tokio::fs::File,
    left: u64,
}

impl FileBody {
    /// Bytes of a piece.
    const PIECE: usize = 64 << 10;

    /// What an open file holds.
    ///
    /// # Errors
    /// When its length cannot be told.
    pub fn new(file: std::fs::File) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self { file: tokio::fs::File::from_std(file), left })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut piece = vec![0; Self::PIECE.min(usize::try_from(self.left).unwrap_or(Self::PIECE))];
        let mut read = ReadBuf::new(&mut piece);
        let outcome = ready!(Pin::new(&mut self.file).poll_read(cx, &mut read));
        let length = read.filled().len();
        if let Err(error) = outcome {
            tracing::error!(%error, "a file could not be sent to its end");
            return Poll::Ready(None);
        }
        if length == 0 {
            return Poll::Ready(None);
        }
        piece.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(piece.into()))
    }
}

impl Body {
    /// A body of these bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(file) => file.poll_piece(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Self::Sse(sse) => match ready!(sse.poll_bytes(cx)) {
                None if sse.is_cut() => Poll::Ready(Some(Err(BrokenOff))),
                bytes => Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes)))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(file) => SizeHint::with_exact(file.left),
            Self::Sse(_) => SizeHint::default(),
        }
    }
}
