//! Takes connections: within limits of count, time and size, and drains them at the end.
//!
//! The hyper builder is ours because a served router sets no timer, and without one no header timeout holds. A peer
//! that stops reading is cut as well: its answer is not polled while the socket is full, so no deadline of the answer
//! would ever fire, and it would keep an engine slot for ever. HTTP/1.1 only: HTTP/2 without TLS has no timer for a
//! peer that sends its preface and nothing more. Knows nothing of what the service does.

mod workers;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tower::Service;

pub use self::workers::Workers;

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// For a request's head to arrive whole, and for the next one on a connection that is kept.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// For running requests to end once the listener closes.
    pub drain_timeout: Duration,
}

/// Fields of a request's head.
const MAX_HEADERS: usize = 100;
/// A peer that takes no byte for this long, while there are some for it, is gone.
const STALLED: Duration = Duration::from_secs(30);

/// Serves `service` on `listener` until `stop` is done, by `workers`, then lets running requests end.
///
/// # Errors
/// None while running: a failed accept (out of descriptors, say) is logged and tried again.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    workers: &Workers,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
            () = &mut stop => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    // Out of descriptors: the error would come back at once, for ever.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let watcher = graceful.watcher();
        let service = service.clone();
        workers.serve(stream, move |stream| async move {
            connection(stream, service, limits, watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running when the drain timeout was over");
    }
}

async fn connection<S, B>(stream: TcpStream, service: S, limits: Limits, watcher: hyper_util::server::graceful::Watcher)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync,
{
    // A token is one small write; it must not wait for the next.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    let service = hyper_util::service::TowerToHyperService::new(service);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(limits.header_bytes.max(8 * 1024))
        // The parts of a chunk are small: copied into one buffer they cost less than a vectored write of them.
        .writev(false)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let result = watcher.watch(connection).await;
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
