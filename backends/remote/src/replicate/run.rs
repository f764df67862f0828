//! A prediction under way: its output as events, until it ends.
//!
//! Streaming -> done (its last state is fetched for its counts), or -> polling, where the stream breaks off without
//! saying how the prediction ended. Polling -> done. Every end but a good one is an error. Dropped before its end, it is
//! cancelled at the host.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use backends::{BackendError, Delta, Event, FinishReason};
use bytes::BytesMut;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{
    Host,
    prediction::{NotText, Prediction, Status},
};
use crate::{
    body::{Source, next_data},
    gauge::Running,
    sse::{self, BOM, Search},
};

/// The pause before the first question, and the longest between two.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Questions in a row that may fail before the prediction is given up.
const FAILURES: u32 = 3;

/// How long the counts of a finished prediction are waited for: its text is there already.
const COUNTS: Duration = Duration::from_secs(5);

/// How long a cancellation may take.
const CANCEL: Duration = Duration::from_secs(10);

/// A prediction that is being read.
#[derive(Debug)]
pub(super) struct Run<B = Incoming> {
    /// Its end cancels the prediction, unless that has ended.
    guard: Guard,
    way: Way<B>,
    ready: VecDeque<Event>,
    /// How many bytes of its text were given out.
    given: usize,
    _running: Running,
}

/// How its output is read.
#[derive(Debug)]
enum Way<B> {
    Streaming(Stream<B>),
    Polling { pause: Duration, failures: u32 },
    Ended,
}

/// The stream of a prediction's output, cut into events.
#[derive(Debug)]
struct Stream<B> {
    body: B,
    /// Bytes that are read and belong to no event yet, of which the search has gone through `searched`.
    bytes: BytesMut,
    searched: usize,
    search: Search,
    /// Whether an event was read: a byte order mark may come before the first.
    begun: bool,
}

/// Cancels a prediction that is dropped before its end.
#[derive(Debug)]
struct Guard {
    host: Arc<Host>,
    prediction: Prediction,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // Outside of a runtime nothing can be sent; the process is ending then.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (host, id) = (Arc::clone(&self.host), std::mem::take(&mut self.prediction.id));
        runtime.spawn(async move {
            if !matches!(timeout(CANCEL, host.cancel(&id)).await, Ok(Ok(()))) {
                tracing::warn!(prediction = id, "a prediction could not be cancelled; it may run to its end");
            }
        });
    }
}

impl<B> Run<B> {
    pub(super) fn new(host: Arc<Host>, prediction: Prediction, running: Running) -> Self {
        let way = Way::Polling { pause: FIRST_PAUSE, failures: 0 };
        let guard = Guard { host, prediction, armed: true };
        Self { guard, way, ready: VecDeque::new(), given: 0, _running: running }
    }

    /// Reads the output as it comes.
    pub(super) fn follow(&mut self, body: B) {
        self.way =
            Way::Streaming(Stream { body, bytes: BytesMut::new(), searched: 0, search: Search::START, begun: false });
    }
}

impl Run {
    /// Opens the stream, if there is one and the prediction has not ended already.
    ///
    /// # Errors
    /// When the prediction has failed.
    pub(super) async fn begin(&mut self) -> Result<(), BackendError> {
        if self.guard.prediction.status != Status::Underway {
            return self.stands();
        }
        let host = Arc::clone(&self.guard.host);
        let Some(uri) = self.guard.prediction.stream.as_deref().and_then(|address| host.stream_uri(address)) else {
            return Ok(());
        };
        match host.open(&uri).await {
            Ok(body) => self.follow(body),
            // The prediction runs all the same.
            Err(error) => {
                tracing::warn!(%error, "the stream of a prediction cannot be opened; it is asked for instead")
            }
        }
        Ok(())
    }
}

impl<B: Source> Run<B> {
    /// The next event and the run after it; nothing once it has ended.
    pub(super) async fn next(mut self) -> Result<Option<(Event, Self)>, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some((event, self)));
            }
            match &mut self.way {
                Way::Ended => return Ok(None),
                Way::Streaming(stream) => {
                    let said = stream.next(self.guard.host.target.limits.event).await?;
                    self.hears(said).await?;
                }
                Way::Polling { pause, .. } => {
                    let wait = *pause;
                    *pause = wait.mul_f32(1.5).min(LONGEST_PAUSE);
                    sleep(wait).await;
                    self.asks().await?;
                }
            }
        }
    }

    /// Takes what the stream said.
    async fn hears(&mut self, said: Said) -> Result<(), BackendError> {
        match said {
            Said::Output(text) => self.gives(text),
            Said::Done => {
                self.guard.armed = false;
                let last = timeout(COUNTS, self.guard.host.get(&self.guard.prediction.id)).await;
                if let Ok(Ok(prediction)) = last {
                    self.guard.prediction.usage = prediction.usage;
                }
                self.ends();
            }
            Said::Failed => {
                self.guard.armed = false;
                return Err(failed());
            }
            Said::Canceled => {
                self.guard.armed = false;
                return Err(canceled());
            }
            // The host breaks streams off after a while; the prediction goes on.
            Said::Nothing => self.way = Way::Polling { pause: FIRST_PAUSE, failures: 0 },
        }
        Ok(())
    }

    /// Asks how it stands.
    async fn asks(&mut self) -> Result<(), BackendError> {
        match self.guard.host.get(&self.guard.prediction.id).await {
            Ok(prediction) => {
                // The id stays the one that was created: it is what the end of this run cancels.
                let id = std::mem::take(&mut self.guard.prediction.id);
                self.guard.prediction = Prediction { id, ..prediction };
                if let Way::Polling { failures, .. } = &mut self.way {
                    *failures = 0;
                }
                self.stands()
            }
            Err(error) => {
                let Way::Polling { pause, failures } = &mut self.way else { return Err(error) };
                *failures += 1;
                if *failures >= FAILURES {
                    return Err(error);
                }
                if let Some(wait) = error.retry_after() {
                    *pause = wait.min(LONGEST_PAUSE);
                }
                Ok(())
            }
        }
    }

    /// Takes the state that was told last.
    fn stands(&mut self) -> Result<(), BackendError> {
        let prediction = &mut self.guard.prediction;
        match prediction.status {
            Status::Failed => {
                self.guard.armed = false;
                Err(failed())
            }
            Status::Canceled => {
                self.guard.armed = false;
                Err(canceled())
            }
            Status::Underway | Status::Succeeded => {
                let succeeded = prediction.status == Status::Succeeded;
                let text = std::mem::replace(&mut prediction.text, Ok(String::new()));
                let text = text.map_err(|NotText| BackendError::Unsupported {
                    param: "model",
                    reason: "the model puts out something else than text".into(),
                })?;
                match text.get(self.given..) {
                    Some(more) => self.gives(more.to_owned()),
                    // An unfinished state may be older than the stream that broke off.
                    None if !succeeded => {}
                    None => {
                        self.guard.armed = false;
                        let reason = "the whole output is shorter than what was streamed of it".into();
                        return Err(BackendError::BrokenStream { reason });
                    }
                }
                if succeeded {
                    self.guard.armed = false;
                    self.ends();
                }
                Ok(())
            }
        }
    }

    fn gives(&mut self, text: String) {
        if !text.is_empty() {
            self.given += text.len();
            self.ready.push_back(Event::Delta(Delta { text, ..Delta::default() }));
        }
    }

    fn ends(&mut self) {
        self.way = Way::Ended;
        self.ready.push_back(Event::Finish { index: 0, reason: FinishReason::Stop });
        self.ready.push_back(Event::Usage(self.guard.prediction.usage.unwrap_or_default()));
    }
}

/// What the stream said.
#[derive(Debug)]
enum Said {
    Output(String),
    Done,
    Failed,
    Canceled,
    /// It broke off.
    Nothing,
}

impl<B: Source> Stream<B> {
    async fn next(&mut self, limit: usize) -> Result<Said, BackendError> {
        loop {
            let end = self.search.end(&self.bytes[self.searched..]).map(|length| self.searched + length);
            self.searched = end.unwrap_or(self.bytes.len());
            if self.searched > limit {
                let reason = format!("an event is longer than {limit} bytes");
                return Err(BackendError::BrokenStream { reason });
            }
            if let Some(end) = end {
                self.searched = 0;
                let event = self.bytes.split_to(end);
                let first = !std::mem::replace(&mut self.begun, true);
                let event = event.strip_prefix(BOM).filter(|_| first).unwrap_or(&event);
                if let Some(said) = understand(event) {
                    return Ok(said);
                }
                continue;
            }
            match next_data(&mut self.body).await {
                Ok(Some(data)) => self.bytes.extend_from_slice(&data),
                Ok(None) | Err(_) => return Ok(Said::Nothing),
            }
        }
    }
}

/// What an event says; `None` for a comment and for types that nobody has described.
fn understand(event: &[u8]) -> Option<Said> {
    #[derive(Deserialize)]
    struct Done {
        reason: Option<String>,
    }
    let event = sse::parse(event);
    let data = event.data.unwrap_or_default();
    match event.name {
        b"output" => Some(Said::Output(String::from_utf8_lossy(&data).into_owned())),
        // Its words may quote the prompt, so they go nowhere.
        b"error" => Some(Said::Failed),
        b"done" => Some(match serde_json::from_slice(&data) {
            Ok(Done { reason: None }) => Said::Done,
            Ok(Done { reason: Some(reason) }) if reason == "canceled" => Said::Canceled,
            Ok(Done { reason: Some(_) }) => Said::Failed,
            // It has ended, somehow: its state tells how.
            Err(_) => Said::Nothing,
        }),
        _ => None,
    }
}

fn failed() -> BackendError {
    BackendError::Internal { reason: "the prediction failed at the host".into() }
}

fn canceled() -> BackendError {
    BackendError::Internal { reason: "the prediction was cancelled at the host".into() }
}
