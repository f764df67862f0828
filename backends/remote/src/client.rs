//! The HTTP client that all hosts share: pools, TLS, and the time a connection may take to come about.
//!
//! Hides the library behind it. Follows no redirect (a key must not travel to another address), reads no proxy
//! from the environment, and sets no deadline but that of a connection: the others belong to the gateway.

use std::{sync::Arc, time::Duration};

use reqwest::Certificate;
use rustls::crypto::ring;

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The longest that TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Below the 60 seconds after which common load balancers close
    /// theirs, so that a request seldom meets a connection that is just being closed.
    pub idle_timeout: Duration,
    /// Unused connections kept for each host.
    pub idle_per_host: usize,
    /// Certificate authorities of the company's own, as PEM texts, trusted beside the system's.
    pub authorities: Vec<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(50),
            idle_per_host: 256,
            authorities: Vec::new(),
        }
    }
}

/// A pool of connections to any number of hosts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    roots: Result<(), Arc<str>>,
}

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
    /// The system's resolver settings cannot be read.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] reqwest::Error),
}

impl Client {
    /// Sets up a client that trusts the system's certificate authorities and those of the options.
    ///
    /// A system that has none (a bare container) still gets a client: hosts at `http` addresses work, and
    /// [`Remote::new`](crate::Remote::new) refuses those at `https` ones with the reason.
    ///
    /// # Errors
    /// When an authority of the options cannot be read, or the system's resolver settings cannot.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        // The TLS library takes the provider from the process; one that is already there may stay.
        let _ = ring::default_provider().install_default();
        match builder(options)?.build() {
            Ok(inner) => Ok(Self { inner, roots: Ok(()) }),
            Err(error) => {
                let inner = builder(options)?.tls_certs_only([]).build().map_err(ClientError::Setup)?;
                Ok(Self { inner, roots: Err(root(&error).into()) })
            }
        }
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

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.inner
    }
}

fn builder(options: &ClientOptions) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut authorities = Vec::new();
    for (at, pem) in options.authorities.iter().enumerate() {
        match Certificate::from_pem_bundle(pem.as_bytes()) {
            Ok(certificates) if !certificates.is_empty() => authorities.extend(certificates),
            _ => return Err(ClientError::Authority { number: at + 1 }),
        }
    }
    Ok(reqwest::Client::builder()
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(options.idle_timeout)
        .pool_max_idle_per_host(options.idle_per_host)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        // A caller that reads slowly holds back its own stream only: one connection has room for 64 of them.
        .http2_initial_stream_window_size(1 << 20)
        .http2_initial_connection_window_size(64 << 20)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .tls_certs_merge(authorities))
}

/// The cause at the bottom of an error. What lies above it only says which layer passed it on.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
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
