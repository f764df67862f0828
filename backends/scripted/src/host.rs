//! The host itself: a listener, its connections, and what a test can see of them.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::{
    answer::{self, Api},
    ask::Ask,
    door::{self, Door},
    fault::Fault,
    gauge::{End, Gauge, Open, Progress},
    play::Play,
    prompt_cache::PromptCache,
    reply::{self, Prebuilt, Reply, reply, sized},
    script::Script,
    socket::{Line, Socket},
    task,
};

/// The most that a request body may hold.
const BODY_LIMIT: usize = 256 << 20;

/// A request as the host received it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// How it ended; `None` while it is open.
    pub end: Option<End>,
    /// Bytes of the answer's body that were handed to the connection so far.
    pub sent: u64,
}

/// A running host. Dropping it closes its listener and every connection.
#[derive(Debug)]
pub struct Host {
    addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
    doors: Mutex<Vec<JoinHandle<()>>>,
}

/// What all connections of a host share.
pub(crate) struct State {
    script: Script,
    prebuilt: Option<Prebuilt>,
    requests: Mutex<VecDeque<(Recorded, Arc<Progress>)>>,
    next: Mutex<VecDeque<Fault>>,
    prompts: Mutex<PromptCache>,
    /// Requests refused so far of each burst under way.
    bursts: Mutex<HashMap<(u8, u16), u8>>,
    gauge: Gauge,
    connections: AtomicUsize,
    /// Answers so far to what was posted.
    answers: AtomicUsize,
    /// Generations so far that nothing failed in.
    finished: AtomicUsize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("script", &self.script)
            .field("running", &self.gauge.now())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Starts a host on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::on(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?, script)
    }

    /// Starts a host on a listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn on(listener: TcpListener, script: Script) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new(script));
        let task = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { addr, state, task, doors: Mutex::default() })
    }

    /// Opens another address of the host, at which connections fail so: its base address, as [`Host::base_url`].
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn open(&self, door: Door) -> io::Result<String> {
        let (base_url, task) = door::open(door, Arc::clone(&self.state)).await?;
        locked(&self.doors).push(task);
        Ok(base_url)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base address for a client, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The requests so far, oldest first, as many as [`Script::record`] keeps.
    pub fn requests(&self) -> Vec<Recorded> {
        let now = |(request, progress): &(Recorded, Arc<Progress>)| Recorded {
            end: progress.end(),
            sent: progress.sent(),
            ..request.clone()
        };
        locked(&self.state.requests).iter().map(now).collect()
    }

    /// Makes the next generation fail so, whatever model it names. Several calls queue up.
    pub fn script_next(&self, fault: Fault) {
        locked(&self.state.next).push_back(fault);
    }

    /// Requests that are open now: not fully answered and not given up by the client.
    pub fn running(&self) -> usize {
        self.state.gauge.now()
    }

    /// Waits until exactly `wanted` requests are open.
    pub async fn until_running(&self, wanted: usize) {
        self.state.gauge.until(wanted).await;
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Stops listening and breaks every connection; returns once both are done.
    pub async fn shutdown(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
        locked(&self.doors).iter().for_each(JoinHandle::abort);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    state.connections.fetch_add(1, Ordering::Relaxed);
                    let line = Line::default();
                    connections.spawn(speak(Socket::new(socket, line.clone()), line, state.clone()));
                }
                // Out of file descriptors, most likely: an open connection has to end first.
                Err(_) => drop(connections.join_next().await),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Speaks HTTP on a connection until it ends.
pub(crate) async fn speak<S>(socket: S, line: Line, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (state, line) = (state.clone(), line.clone());
        async move { state.answer(request, line).await }
    });
    // An error is a client that went away or a cut that the script asked for.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
}

const UNKNOWN_PATH: &str = "no such path; there are /v1/chat/completions, /v1/completions, /v1/messages, /v1/responses, /v1/embeddings, /v1/rerank, \
                            /v1/moderations, /v1/images/generations, /tokenize, /detokenize and /v1/models";

/// Ends a connection without a response.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up by the script")
    }
}

impl std::error::Error for HungUp {}

impl State {
    fn new(script: Script) -> Self {
        Self {
            prebuilt: script.fast.then(|| Prebuilt::new(&script)),
            script,
            requests: Mutex::default(),
            next: Mutex::default(),
            prompts: Mutex::default(),
            bursts: Mutex::default(),
            gauge: Gauge::new(),
            connections: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
        }
    }

    /// The answer to a request. It has an id of the host's own.
    async fn answer(&self, request: Request<Incoming>, line: Line) -> Result<Response<Play>, HungUp> {
        let asks = request.method() == Method::POST;
        let mut response = self.answered(request, line).await?;
        if asks {
            let number = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
            let id =
                HeaderValue::from_str(&format!("host-{number}")).unwrap_or_else(|_| HeaderValue::from_static("host"));
            response.headers_mut().insert("x-request-id", id);
        }
        Ok(response)
    }

    async fn answered(&self, request: Request<Incoming>, line: Line) -> Result<Response<Play>, HungUp> {
        // A gateway asks how it is whenever it likes: such questions are neither counted nor recorded.
        let generates = request.method() == Method::POST;
        let open = if generates { self.gauge.open(line) } else { Gauge::new().open(line) };
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(refuse(400, "the request body is broken or too large", open)),
        };
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let (headers, progress) = (head.headers, open.progress());
        if generates {
            self.record(
                Recorded { method: head.method, path: path.clone(), headers, body: body.clone(), end: None, sent: 0 },
                progress,
            );
        }
        let api = match (method, path.as_str()) {
            (Method::POST, "/v1/chat/completions") => Api::Chat,
            (Method::POST, "/v1/completions") => Api::Completions,
            (Method::POST, "/v1/messages") => Api::Messages,
            (Method::POST, "/v1/responses") => Api::Responses,
            (Method::GET, "/tokenizer_info") => {
                return Ok(sized(200, Bytes::from_static(br#"{"tokenizer_class":"Scripted"}"#), open));
            }
            (Method::GET, "/v1/models") => return Ok(sized(200, self.models().to_string().into(), open)),
            (Method::GET, "/metrics") if self.script.counts => {
                let finished = self.finished.load(Ordering::Relaxed);
                let text = format!("vllm:request_success_total{{finished_reason=\"stop\"}} {finished}.0\n");
                return Ok(sized(200, text.into(), open));
            }
            (Method::POST, path) => return self.task(path, &body, open).await,
            _ => return Ok(refuse(404, UNKNOWN_PATH, open)),
        };
        self.generate(api, &body, open).await
    }

    /// What is no generation. A fault plays as it does for a chat.
    async fn task(&self, path: &str, body: &[u8], open: Open) -> Result<Response<Play>, HungUp> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(answer) = task::answer(path, &asked) else { return Ok(refuse(404, UNKNOWN_PATH, open)) };
        let fault = locked(&self.next).front().copied().or_else(|| asked["model"].as_str()?.parse().ok());
        if path == "/v1/audio/speech"
            && let None | Some(Fault::CutAfter(_) | Fault::StallAfter(_)) = fault
        {
            locked(&self.next).pop_front();
            return Ok(reply::sound(&answer.to_string(), fault, &self.script, open));
        }
        if fault.is_some() {
            return self.generate(Api::Chat, body, open).await;
        }
        Ok(sized(200, answer.to_string().into(), open))
    }

    async fn generate(&self, api: Api, body: &[u8], open: Open) -> Result<Response<Play>, HungUp> {
        if let (Some(prebuilt), Api::Chat | Api::Completions) = (&self.prebuilt, api) {
            return Ok(prebuilt.reply(api, streamed(body), open));
        }
        let Ok(mut ask) = serde_json::from_slice::<Ask>(body) else {
            return Ok(refuse(400, "the request body is no JSON object of the expected fields", open));
        };
        let fault = locked(&self.next).pop_front().or_else(|| ask.model.parse().ok());
        let fault = match fault {
            Some(Fault::Burst(requests, status)) => {
                self.burst_goes_on(requests, status).then_some(Fault::Status(status, None))
            }
            other => other,
        };
        if fault.is_none() && self.script.cached_blocks > 0 {
            ask.cached = {
                let texts = ask.texts();
                let words: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
                locked(&self.prompts).take(&words, self.script.cached_blocks)
            };
        }
        if fault.is_none() {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
        match reply(api, &ask, fault, &self.script, open) {
            Reply::Response(delay, response) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok(response)
            }
            Reply::HangUp => Err(HungUp),
            Reply::Silent(open) => {
                let never: Infallible = std::future::pending().await;
                drop(open);
                match never {}
            }
        }
    }

    /// Whether the next request of a burst is still to be refused.
    fn burst_goes_on(&self, requests: u8, status: u16) -> bool {
        let mut bursts = locked(&self.bursts);
        let refused = bursts.entry((requests, status)).or_default();
        let goes_on = *refused < requests;
        *refused = if goes_on { *refused + 1 } else { 0 };
        goes_on
    }

    fn record(&self, request: Recorded, progress: &Arc<Progress>) {
        if self.script.record == 0 {
            return;
        }
        let mut requests = locked(&self.requests);
        if requests.len() == self.script.record {
            requests.pop_front();
        }
        requests.push_back((request, Arc::clone(progress)));
    }

    fn models(&self) -> Value {
        let rows: Vec<Value> = self
            .script
            .models
            .iter()
            .map(|id| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "scripted"}))
            .collect();
        json!({"object": "list", "data": rows})
    }
}

fn refuse(status: u16, message: &str, open: Open) -> Response<Play> {
    sized(status, answer::error(message, "invalid_request_error", Value::Null).to_string().into(), open)
}

/// Reads `stream` alone, skipping the rest of the body.
fn streamed(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Mode {
        #[serde(default)]
        stream: bool,
    }
    serde_json::from_slice::<Mode>(body).is_ok_and(|mode| mode.stream)
}

/// A lock whose holders never panic half way through a change.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
