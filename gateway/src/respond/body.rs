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

/// Bytes of a piece. A connection copies what it writes into a buffer that it keeps, which so stays small.
pub(super) const PIECE: usize = 64 << 10;

/// The next piece of what is to be sent.
pub(super) fn piece_of(bytes: &mut Bytes) -> Bytes {
    if bytes.len() <= PIECE { std::mem::take(bytes) } else { bytes.split_to(PIECE) }
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
    /// What an open file holds.
    ///
    /// # Errors
    /// When its length cannot be told.
    pub fn new(file: std::fs::File) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self { file: tokio::fs::File::from_std(file), left })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
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
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(piece_of(bytes))))),
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_large_answer_is_handed_on_in_pieces_that_are_all_of_it() {
        let all: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let mut body = Body::whole(all.clone());
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(200_000));
        let mut lengths = Vec::new();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            lengths.push(data.len());
            seen.extend_from_slice(&data);
        }
        assert_eq!(lengths, [PIECE, PIECE, PIECE, 200_000 - 3 * PIECE]);
        assert_eq!(seen, all);
    }
}
