//! A connection that can end in other ways than a clean close, and that can read slowly.
//!
//! An answer is a body and knows nothing of the socket below it; it says through the [`Line`] that both share how the
//! connection is to end.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

const USUAL: u8 = 0;
const RESET: u8 = 1;
const HALF_CLOSED: u8 = 2;

/// How a connection is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<AtomicU8>);

impl Line {
    /// It is to end with a reset. What the kernel has not sent by then is lost.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }

    /// Nothing more is to be sent once all so far is; the other direction stays open.
    pub(crate) fn half_close(&self) {
        self.0.store(HALF_CLOSED, Ordering::Relaxed);
    }

    fn is(&self, state: u8) -> bool {
        self.0.load(Ordering::Relaxed) == state
    }
}

/// A connection with its line.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    line: Line,
    slow: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Bytes that a slow one reads at a time.
    const SIP: usize = 32;
    /// Its pause after each.
    const PAUSE: Duration = Duration::from_millis(1);

    pub(crate) fn new(stream: TcpStream, line: Line) -> Self {
        // Each event has to leave at once, as it would from a host that generates.
        let _ = stream.set_nodelay(true);
        Self { stream, line, slow: None }
    }

    /// One that reads a few bytes at a time.
    pub(crate) fn slow(stream: TcpStream, line: Line) -> Self {
        let mut socket = Self::new(stream, line);
        socket.slow = Some(Box::pin(sleep(Duration::ZERO)));
        socket
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(pause) = &mut this.slow else { return Pin::new(&mut this.stream).poll_read(cx, buf) };
        ready!(pause.as_mut().poll(cx));
        let mut bytes = [0; Self::SIP];
        let mut sip = ReadBuf::new(&mut bytes[..Self::SIP.min(buf.remaining())]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut sip))?;
        buf.put_slice(sip.filled());
        pause.as_mut().reset(Instant::now() + Self::PAUSE);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.line.is(HALF_CLOSED) {
            self.line.0.store(USUAL, Ordering::Relaxed);
            return Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A clean close first would make the reset come too late to be seen.
        if self.line.is(RESET) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.line.is(RESET) {
            let _ = self.stream.set_zero_linger();
        }
    }
}
