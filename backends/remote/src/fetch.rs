//! Fetches what somebody else named: the page of a catalog file, say. Where its address leads is not trusted.
//!
//! Every address that a name has is put to a [`Guard`], and a connection is made to one that passed and to nothing else: no name
//! is looked up a second time, so none can mean something else by then. Addresses that are written out, and redirects, are put
//! to the same guard. Refused without asking it: credentials in an address, schemes but `https` and `http`, and low ports of
//! other services. There is no proxy, as it would look the name up itself, and no cookie; no connection is kept. Time, redirects,
//! headers and bytes are bounded. Which addresses are good is not known here.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tower::Service;
use url::Url;

use crate::{
    body::collect,
    client::{ClientError, ClientOptions, root, trusting},
};

/// Whether a connection may be made to an address, and whether it would be encrypted; why not.
pub type Guard = Arc<dyn Fn(IpAddr, bool) -> Result<(), String> + Send + Sync>;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;
/// Addresses of a name that are looked at.
const MOST_ADDRESSES: usize = 8;
/// How long one address may take to connect, so that a dead one leaves time for the next.
const CONNECT: Duration = Duration::from_secs(3);
/// The most bytes of the head of an answer.
const MOST_HEAD: usize = 64 << 10;
/// Ports below it belong to services that are known by their number.
const FIRST_FREE_PORT: u16 = 1024;

/// Bounds of a fetch, and who it says that it is.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The most bytes of a body.
    pub bytes: usize,
    /// How long all of it may take, redirects included.
    pub patience: Duration,
    /// `User-Agent`.
    pub agent: &'static str,
}

/// Fetches behind a guard.
#[derive(Clone)]
pub struct Fetcher {
    inner: legacy::Client<HttpsConnector<Guarded>, Empty<Bytes>>,
    options: FetchOptions,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// What the body is said to be, in small letters and without parameters; empty where nothing is said.
    pub media_type: String,
    /// The body, if the status is one of success.
    pub body: Bytes,
}

impl Fetcher {
    /// A fetcher that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(guard: Guard, options: FetchOptions) -> Result<Self, ClientError> {
        let (tls, roots) = trusting(&ClientOptions::default())?;
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MOST_HEAD)
            .build(HttpsConnector::from((Guarded { guard, roots }, tls)));
        Ok(Self { inner, options })
    }

    /// What is at an address.
    ///
    /// # Errors
    /// Why it cannot be had, in words that hold nothing of what was answered.
    pub async fn fetch(&self, address: &str) -> Result<Fetched, String> {
        let patience = self.options.patience;
        let late = |_| Err(format!("it was not answered whole within {} s", patience.as_secs()));
        timeout(patience, self.followed(address)).await.unwrap_or_else(late)
    }

    async fn followed(&self, address: &str) -> Result<Fetched, String> {
        let mut url = Url::parse(address).map_err(|_| "its address cannot be read".to_owned())?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.asked(&url).await?;
            let status = answer.status();
            let to = answer.headers().get(header::LOCATION).filter(|_| is_redirect(status));
            if let Some(to) = to {
                let to = to.to_str().ok().and_then(|to| url.join(to).ok());
                url = to.ok_or("it redirects to what is no address")?;
                continue;
            }
            let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
            let media_type = media_type.trim().to_ascii_lowercase();
            let limit = self.options.bytes;
            let body = match status.is_success() {
                true => collect(answer.into_body(), limit).await.map_err(|cut| cut.words(limit))?,
                false => Bytes::new(),
            };
            return Ok(Fetched { status, media_type, body });
        }
        Err(format!("it redirects more than {MOST_REDIRECTS} times"))
    }

    async fn asked(&self, url: &Url) -> Result<http::Response<hyper::body::Incoming>, String> {
        let request = Request::get(checked(url)?)
            .header(header::USER_AGENT, HeaderValue::from_static(self.options.agent))
            .header(header::ACCEPT, HeaderValue::from_static("*/*"))
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        self.inner.request(request).await.map_err(|error| root(&error))
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("options", &self.options).finish_non_exhaustive()
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What is asked for, if it may be asked for at all.
fn checked(url: &Url) -> Result<Uri, String> {
    let own_port = match url.scheme() {
        "https" => 443,
        "http" => 80,
        _ => return Err("it is neither an `https` nor an `http` address".to_owned()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a name or a password".to_owned());
    }
    match url.port() {
        Some(port) if port != own_port && port < FIRST_FREE_PORT => {
            return Err(format!(
                "port {port} is another service's; {own_port} and those from {FIRST_FREE_PORT} on are asked"
            ));
        }
        _ => {}
    }
    let mut url = url.clone();
    url.set_fragment(None);
    url.as_str().parse().map_err(|_| "its address cannot be read".to_owned())
}

/// Connects to addresses that the guard lets through.
#[derive(Clone)]
struct Guarded {
    guard: Guard,
    /// Why nobody can be trusted who answers encrypted, where that is so.
    roots: Result<(), Arc<str>>,
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move { Ok(TokioIo::new(guarded.connected(&to).await?)) })
    }
}

impl Guarded {
    async fn connected(&self, to: &Uri) -> Result<TcpStream, String> {
        let encrypted = to.scheme_str() == Some("https");
        let port = to.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let named: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let found = lookup_host((host, port)).await;
                found.map_err(|error| format!("its name cannot be resolved: {error}"))?.take(MOST_ADDRESSES).collect()
            }
        };
        let mut failed = "its name has no address".to_owned();
        for address in named {
            // One that is refused does not speak for the others: a name may have addresses here and elsewhere.
            if let Err(why) = (self.guard)(address.ip(), encrypted) {
                failed = why;
                continue;
            }
            if let (true, Err(why)) = (encrypted, &self.roots) {
                return Err(format!("no encrypted connection can be made: {why}"));
            }
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error.to_string(),
                Err(_) => failed = format!("no connection within {} s", CONNECT.as_secs()),
            }
        }
        Err(failed)
    }
}
