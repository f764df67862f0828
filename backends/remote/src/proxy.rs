//! Whether a host is reached straight or through a proxy, as the environment says it.
//!
//! A proxy is asked for a tunnel (`CONNECT`), also for `http` addresses: it passes bytes on and sees no request. Addresses of
//! this machine are never asked of one. Only proxies at `http` addresses are spoken to; another kind is an error of each
//! connection, rather than a connection past it. Knows nothing of what goes through the connection.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

/// Which proxy is asked for which address.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in capitals or not.
    pub fn environment() -> Self {
        Self(Some(Arc::new(Matcher::from_env())))
    }

    /// One for every address but those of `except`, in the words of `NO_PROXY`.
    pub fn through(proxy: &str, except: &str) -> Self {
        Self(Some(Arc::new(Matcher::builder().all(proxy).no(except).build())))
    }

    fn of(&self, address: &Uri) -> Option<Intercept> {
        let matcher = self.0.as_ref().filter(|_| !is_this_machine(address))?;
        matcher.intercept(address)
    }
}

/// Connects straight or through a proxy.
#[derive(Clone)]
pub(crate) struct Via {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl Via {
    pub(crate) fn new(tcp: HttpConnector, proxies: Proxies) -> Self {
        Self { tcp, proxies }
    }
}

/// A proxy gave no connection.
#[derive(Debug)]
struct ProxyError {
    /// Host and port, without the credentials.
    proxy: String,
    cause: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} gave no connection", self.proxy)
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

impl Service<Uri> for Via {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.of(&address) else {
            let connecting = self.tcp.call(address);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let tcp = self.tcp.clone();
        Box::pin(async move {
            let uri = proxy.uri().clone();
            let name = format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
            let failed = |cause| ProxyError { proxy: name, cause };
            if uri.scheme_str() != Some("http") {
                let scheme = uri.scheme_str().unwrap_or_default();
                let cause =
                    format!("its scheme `{scheme}` is not spoken; name one at an `http` address, or use NO_PROXY");
                return Err(failed(cause.into()).into());
            }
            let mut tunnel = Tunnel::new(uri, tcp);
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            tunnel.call(with_port(address)?).await.map_err(|error| failed(error.into()).into())
        })
    }
}

/// The address with its port: a tunnel to one without goes to 443, whatever the scheme.
fn with_port(address: Uri) -> Result<Uri, http::Error> {
    match (address.scheme_str(), address.host(), address.port()) {
        (Some("http"), Some(host), None) => {
            Uri::builder().scheme("http").authority(format!("{host}:80")).path_and_query("/").build()
        }
        _ => Ok(address),
    }
}

fn is_this_machine(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_to_an_address_without_a_port_goes_to_the_port_of_its_scheme() {
        for (address, port) in [("http://[fd00::1]/v1", 80), ("http://h/v1", 80), ("http://h:81/v1", 81)] {
            assert_eq!(with_port(address.parse().unwrap()).unwrap().port_u16(), Some(port), "{address}");
        }
        // Here the library's own is right.
        assert_eq!(with_port("https://h/v1".parse().unwrap()).unwrap().port_u16(), None);
    }

    #[test]
    fn addresses_of_this_machine_and_exceptions_are_reached_straight_and_all_others_through_the_proxy() {
        let proxies = Proxies::through("http://user:pass@proxy.test:3128", "internal.test,10.0.0.0/8");
        for (address, proxied) in [
            ("https://api.groq.com/openai/v1", true),
            ("http://vllm.test:8000/v1", true),
            ("http://a.internal.test/v1", false),
            ("http://10.1.2.3/v1", false),
            ("http://localhost:8000/v1", false),
            ("http://127.0.0.2:8000/v1", false),
            ("http://[::1]:8000/v1", false),
        ] {
            assert_eq!(proxies.of(&address.parse().unwrap()).is_some(), proxied, "{address}");
            assert!(Proxies::default().of(&address.parse().unwrap()).is_none(), "{address}");
        }
    }
}
