//! Makes connections: TCP, and TLS where the address asks for it, within one time for both.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service;

use crate::proxy::{Proxies, Via};

/// How long a connection may be silent before the kernel asks whether the other side is still there, and how
/// long what was sent may go unacknowledged.
const SILENCE: Duration = Duration::from_secs(30);

tokio::task_local! {
    /// How long TCP and TLS may take together for what this task sends now.
    static WITHIN: Duration;
}

/// Lets a connection that has to be made for `sending` take no longer than `within`, where that is less than the client's
/// own bound. One that waits in the pool takes no time.
pub async fn connect_within<F: Future>(within: Duration, sending: F) -> F::Output {
    WITHIN.scope(within, sending).await
}

/// Connects to hosts. Its clones share everything: the pool makes one for each request.
#[derive(Clone)]
pub(crate) struct Connector {
    https: Arc<HttpsConnector<Via>>,
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(tls: ClientConfig, timeout: Duration, proxies: Proxies) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(SILENCE));
        http.set_keepalive_interval(Some(Duration::from_secs(15)));
        http.set_keepalive_retries(Some(3));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(SILENCE));
        // Shared out among the addresses of a name, so that a dead one leaves time for the next.
        http.set_connect_timeout(Some(timeout));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        Self { https: Arc::new(https.wrap_connector(Via::new(http, proxies))), timeout }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connection = HttpsConnector::clone(&self.https).call(address);
        let timeout = WITHIN.try_with(|within| self.timeout.min(*within)).unwrap_or(self.timeout);
        Box::pin(async move {
            match tokio::time::timeout(timeout, connection).await {
                Ok(connection) => connection,
                Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late).into()),
            }
        })
    }
}
