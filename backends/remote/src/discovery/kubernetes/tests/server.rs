//! An API server that knows the EndpointSlices of one service: lists and watches as Kubernetes documents them ("API
//! concepts"), over TLS, for one bearer token; and fails as a test says.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::Config;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls};

pub(super) const TOKEN: &str = "token-of-the-service-account";
const PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices";
const SELECTOR: &str = "kubernetes.io/service-name=vllm";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How a watch of a version that the server has forgotten is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gone {
    /// By an event.
    Event,
    /// By the status of the response.
    Status,
}

/// An API server on a free port; it ends with the drop.
pub(super) struct ApiServer {
    url: String,
    certificate: Vec<u8>,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    slices: BTreeMap<String, Value>,
    version: u64,
    /// Events with their versions; those up to `forgotten` are not there any more.
    events: Vec<(u64, String)>,
    forgotten: u64,
    gone: Option<Gone>,
    watches: Vec<UnboundedSender<io::Result<Frame<Bytes>>>>,
    refusal: Option<u16>,
    silent: bool,
    seen: Seen,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) lists: usize,
    /// The version from which each watch was to begin.
    pub(super) watches: Vec<String>,
    pub(super) refused: usize,
}

impl ApiServer {
    pub(super) async fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State { version: 100, ..State::default() }));
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                // A connection that ends is reset, as that of a process that is gone.
                socket.set_zero_linger().unwrap();
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&of_task));
                connections.spawn(async move {
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { url, certificate: own.cert.der().to_vec(), state, task }
    }

    /// The way to it, with the token in a file as a pod has it.
    pub(super) fn config(&self, token: &Path) -> Config {
        let mut config = Config::new(self.url.parse().unwrap());
        config.root_cert = Some(vec![self.certificate.clone()]);
        config.auth_info.token_file = Some(token.to_str().unwrap().to_owned());
        config
    }

    /// Adds a slice or puts another in its place.
    pub(super) fn apply(&self, name: &str, ports: Value, endpoints: Value) {
        let mut state = self.state();
        let version = state.next();
        let metadata = json!({
            "name": name, "namespace": "ml", "resourceVersion": version,
            "labels": {"kubernetes.io/service-name": "vllm"},
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
            "ports": ports, "endpoints": endpoints,
        });
        let kind = if state.slices.insert(name.to_owned(), slice.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        state.tell(kind, &slice);
    }

    pub(super) fn delete(&self, name: &str) {
        let mut state = self.state();
        let mut slice = state.slices.remove(name).unwrap();
        slice["metadata"]["resourceVersion"] = json!(state.next());
        state.tell("DELETED", &slice);
    }

    /// Breaks all watches off in the middle of a response.
    pub(super) fn cut(&self) {
        for watch in self.state().watches.drain(..) {
            let _ = watch.send(Err(io::Error::other("cut")));
        }
    }

    /// Forgets all events, so that a watch from an earlier version is answered so.
    pub(super) fn forget(&self, gone: Gone) {
        let mut state = self.state();
        state.events.clear();
        (state.forgotten, state.gone) = (state.version, Some(gone));
    }

    /// Refuses every request with a status, or none any more.
    pub(super) fn refuse(&self, status: Option<u16>) {
        self.state().refusal = status;
    }

    /// Answers nothing any more.
    pub(super) fn fall_silent(&self) {
        self.state().silent = true;
    }

    pub(super) fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    pub(super) fn version(&self) -> String {
        self.state().version.to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn next(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn tell(&mut self, kind: &str, slice: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": slice}));
        self.watches.retain(|watch| watch.send(Ok(Frame::data(line.clone().into()))).is_ok());
        self.events.push((self.version, line));
    }

    fn list(&mut self) -> Response<Body> {
        self.seen.lists += 1;
        let items: Vec<&Value> = self.slices.values().collect();
        let list = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
            "metadata": {"resourceVersion": self.version.to_string()}, "items": items,
        });
        json_response(200, &list)
    }

    fn watch(&mut self, from: &str) -> Response<Body> {
        self.seen.watches.push(from.to_owned());
        let version: u64 = from.parse().unwrap();
        let expired = status(410, "Expired", &format!("too old resource version: {from} ({})", self.version));
        let (sender, mut events) = unbounded_channel();
        match self.gone {
            Some(Gone::Status) if version < self.forgotten => return json_response(410, &expired),
            Some(Gone::Event) if version < self.forgotten => {
                let line = format!("{}\n", json!({"type": "ERROR", "object": expired}));
                sender.send(Ok(Frame::data(line.into()))).unwrap();
            }
            _ => {
                for (_, line) in self.events.iter().filter(|(of, _)| *of > version) {
                    sender.send(Ok(Frame::data(line.clone().into()))).unwrap();
                }
                self.watches.push(sender);
            }
        }
        let events = stream::poll_fn(move |context| events.poll_recv(context));
        Response::new(StreamBody::new(events.boxed()).boxed_unsync())
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if state.lock().unwrap().silent {
        std::future::pending::<()>().await;
    }
    let mut state = state.lock().unwrap();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let authorization = request.headers().get("authorization").map(|value| value.as_bytes());
    let refusal = match state.refusal {
        Some(code) => Some(code),
        None if authorization != Some(format!("Bearer {TOKEN}").as_bytes()) => Some(401),
        None if request.uri().path() != PATH || query.get("labelSelector").is_none_or(|by| by != SELECTOR) => Some(404),
        None => None,
    };
    Ok(match refusal {
        Some(code) => {
            state.seen.refused += 1;
            json_response(code, &status(code, "Failure", "endpointslices are not for you"))
        }
        None if query.get("watch").is_some_and(|watch| watch == "true") => {
            state.watch(query.get("resourceVersion").map_or("", String::as_str))
        }
        None => state.list(),
    })
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

fn json_response(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}
