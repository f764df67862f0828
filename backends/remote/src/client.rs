//! The HTTP client that all hosts share: pools, TLS, and the time a connection may take to come about.
//!
//! Hides the library behind it. Follows no redirect (a key must not travel to another address), asks a proxy only where its
//! options say so, and sets no deadline but that of a connection: the others belong to the gateway.

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use thread_local::ThreadLocal;
use tokio::time::timeout;

use crate::{
    body::{Cut, collect},
    connector::Connector,
    proxy::Proxies,
};

/// A request that got no response.
pub(crate) type NotSent = legacy::Error;

/// How long a message may take that is for no model.
const POSTED: Duration = Duration::from_secs(30);
/// The most that is read of what answers it.
const POSTED_ANSWER: usize = 64 << 10;

/// How often a request is sent again that a host has left untouched.
const AGAIN: usize = 2;

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The longest that TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Below the 60 seconds after which common load balancers close
    /// theirs, so that a request seldom meets a connection that is just being closed.
    pub idle_timeout: Duration,
    /// Unused connections that each thread keeps for each host.
    pub idle_per_host: usize,
    /// Certificate authorities of the company's own, as PEM texts, trusted beside the system's.
    pub authorities: Vec<String>,
    /// Which hosts are reached through a proxy; none unless said otherwise.
    pub proxies: Proxies,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(50),
            idle_per_host: 256,
            authorities: Vec::new(),
            proxies: Proxies::default(),
        }
    }
}

/// Pools of connections to any number of hosts; cheap to clone.
///
/// Each thread that sends has its own: a connection belongs to the runtime that it was made on, and to use it from another
/// thread would cost a wake-up for each piece of an answer.
#[derive(Clone, Debug)]
pub struct Client {
    pools: Arc<ThreadLocal<Pool>>,
    new: legacy::Builder,
    connector: Connector,
    roots: Result<(), Arc<str>>,
}

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A certificate authority is none.
    #[error("certificate authority {number} of the configuration is not a PEM text with certificates")]
    Authority {
        /// Which one, counted from 1.
        number: usize,
    },
    /// TLS cannot be set up.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] rustls::Error),
}

impl Client {
    /// Sets up a client that trusts the system's certificate authorities and those of the options.
    ///
    /// A system that has none (a bare container) still gets a client: hosts at `http` addresses work, and
    /// [`Remote::new`](crate::Remote::new) refuses those at `https` ones with the reason.
    ///
    /// # Errors
    /// When an authority of the options cannot be read, or TLS cannot be set up.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let (tls, roots) = trusting(options)?;
        let connector = Connector::new(tls, options.connect_timeout, options.proxies.clone());
        let mut new = legacy::Client::builder(TokioExecutor::new());
        new.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.idle_per_host)
            // A caller that reads slowly holds back its own stream only: one connection has room for 64 of them.
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(64 << 20)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10));
        Ok(Self { pools: Arc::default(), new, connector, roots })
    }

    /// Whether `https` addresses can be reached, and if not, why.
    ///
    /// # Errors
    /// What went wrong with the system's certificate authorities.
    pub fn trust(&self) -> Result<(), &str> {
        match &self.roots {
            Ok(()) => Ok(()),
            Err(reason) => Err(reason),
        }
    }

    /// Posts a message to an address that is no model's; status and body of the answer, of at most 64 KiB. Redirects are not
    /// followed.
    ///
    /// # Errors
    /// Why there is none, within half a minute, in words that hold nothing of what was answered.
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let make = || {
            let mut request = Request::post(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(Full::new(body.clone()))
        };
        // What is good once is good again.
        make().map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.send(|| make().unwrap_or_default()).await.map_err(|error| root(&error))?;
            let status = response.status();
            let body = collect(response.into_body(), POSTED_ANSWER).await.map_err(|cut| match cut {
                Cut::TooLong => format!("it answered more than {POSTED_ANSWER} bytes"),
                Cut::Broken(why) => why,
            })?;
            Ok((status, body))
        };
        timeout(POSTED, answered)
            .await
            .unwrap_or_else(|_| Err(format!("there was no answer within {} s", POSTED.as_secs())))
    }

    /// Sends what `request` makes, again if the host says that it has not touched it.
    pub(crate) async fn send(&self, request: impl Fn() -> Request<Full<Bytes>>) -> Result<Response<Incoming>, NotSent> {
        // Not kept: what is sent again may go on on another thread.
        let pool = || self.pools.get_or(|| self.new.build(self.connector.clone()));
        let mut left = AGAIN;
        loop {
            match pool().request(request()).await {
                Err(error) if left > 0 && is_untouched(&error) => left -= 1,
                outcome => return outcome,
            }
        }
    }
}

/// TLS that trusts the system's certificate authorities and those of the options; and why it does not those of the system,
/// where they cannot be had.
pub(crate) fn trusting(options: &ClientOptions) -> Result<(ClientConfig, Result<(), Arc<str>>), ClientError> {
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Setup)?;
    let (tls, roots) = match Verifier::new_with_extra_roots(authorities(options)?, provider) {
        Ok(verifier) => (tls.dangerous().with_custom_certificate_verifier(Arc::new(verifier)), Ok(())),
        Err(error) => (tls.with_root_certificates(RootCertStore::empty()), Err(root(&error).into())),
    };
    Ok((tls.with_no_client_auth(), roots))
}

/// The certificates of the company's own authorities.
fn authorities(options: &ClientOptions) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let mut all = Vec::new();
    for (at, pem) in options.authorities.iter().enumerate() {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => all.extend(certificates),
            _ => return Err(ClientError::Authority { number: at + 1 }),
        }
    }
    Ok(all)
}

/// Whether a host has said, as only HTTP/2 can, that it closes in good order or refuses a stream unread.
fn is_untouched(error: &NotSent) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<h2::Error>()).any(|error| {
        error.is_remote()
            && (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
                || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether an error comes from a time that has run out.
pub(crate) fn is_timeout(error: &NotSent) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// An error and what it comes from, outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// The cause at the bottom of an error. What lies above it only says which layer passed it on.
pub(crate) fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_is_no_certificate_is_named_by_its_place() {
        let options = ClientOptions { authorities: vec!["hello".into()], ..ClientOptions::default() };
        let error = Client::new(&options).unwrap_err().to_string();
        assert_eq!(error, "certificate authority 1 of the configuration is not a PEM text with certificates");
    }
}
