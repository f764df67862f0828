//! A server that answers as a test says, for shapes that the scripted host does not speak.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A server on a free port; it ends with the drop.
pub struct Canned {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Canned {
    /// Serves what `answer` makes of each request.
    pub async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let arrived = Arc::new(Notify::new());
        let (answer, record, arrives) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&arrived));
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, record, arrives) = (Arc::clone(&answer), Arc::clone(&record), Arc::clone(&arrives));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, record, arrives) = (Arc::clone(&answer), Arc::clone(&record), Arc::clone(&arrives));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                        let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
                        let one = Seen { method: head.method, path, headers: head.headers, body };
                        record.lock().unwrap().push(one.clone());
                        arrives.notify_waiters();
                        Ok::<_, Infallible>(answer(&one))
                    }
                });
                let served =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                connections.spawn(served);
            }
        });
        Self { addr, seen, arrived, task }
    }

    /// Its address with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Waits until a request for a path has come.
    pub async fn wait_for(&self, path: &str) -> Seen {
        let wait = async {
            loop {
                let arrival = self.arrived.notified();
                if let Some(seen) = self.seen().into_iter().find(|seen| seen.path == path) {
                    return seen;
                }
                arrival.await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{path} was not asked for"))
    }

    /// What has come so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with a status, headers and a body of JSON.
pub fn json(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = answer(status, headers, body);
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// An answer with a status, headers and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let start = Response::builder().status(status);
    let response = headers.iter().fold(start, |response, (name, value)| response.header(*name, *value));
    response.body(Full::new(body.into()).boxed_unsync()).unwrap()
}

/// A stream of events that stays open after them.
pub fn open_stream(events: &str) -> Answer {
    let first = stream::once(future::ready(Ok(Frame::data(Bytes::copy_from_slice(events.as_bytes())))));
    let body = StreamBody::new(first.chain(stream::pending())).boxed_unsync();
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}
