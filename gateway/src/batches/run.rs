//! One batch, from the first look at its lines to its end.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use backends::Priority;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Errors, Record, Status, Wrong, api_of,
    line::{self, Answered, Line, Told},
    save,
};
use crate::{
    admit,
    config::Access,
    dispatch::chain,
    files::{FileError, Folder},
    handle::{self, Bare},
    keys::{Grant, KeyError},
    respond::error::ApiError,
    runtime::{Gateway, Runtime},
    settle::now_ms,
    wire::ClientApi,
};

/// The first pause before a line that may yet succeed is asked again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a line is asked whose host fails. One that is busy, or throttled, has until the end.
const TRIES: u32 = 8;
/// Lines after which it is written down how many are done.
const NOTED: u64 = 20;

/// See the module.
pub(super) struct Run {
    gateway: Arc<Gateway>,
    folder: Folder,
    record: Record,
    ending: Arc<AtomicBool>,
    lines: Arc<Semaphore>,
    active: Arc<Semaphore>,
}

/// What became of a line.
struct Done {
    line: Line,
    request: String,
    status: StatusCode,
    body: Bytes,
}

/// Who asks for each line, found anew each time: a key may be revoked while the batch runs.
#[derive(Clone)]
struct Asker {
    gateway: Arc<Gateway>,
    api: ClientApi,
    key: Option<String>,
    ending: Arc<AtomicBool>,
    expires_at: u64,
}

impl Run {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        folder: Folder,
        record: Record,
        ending: Arc<AtomicBool>,
        (lines, active): (&Arc<Semaphore>, &Arc<Semaphore>),
    ) -> Self {
        Self { gateway, folder, record, ending, lines: Arc::clone(lines), active: Arc::clone(active) }
    }

    /// Works the batch through. A disk that fails leaves it as it is for the next start.
    pub(super) async fn finish(mut self) {
        let active = Arc::clone(&self.active);
        let Ok(_active) = active.acquire_owned().await else { return };
        if let Err(error) = self.work().await {
            tracing::error!(
                batch = self.record.batch.id,
                error = chain(&error),
                "the batch stopped: its files cannot be used"
            );
        }
        self.gateway.batches.ended(&self.record.batch.id);
    }

    async fn work(&mut self) -> io::Result<()> {
        let content = match self.folder.get(&self.record.batch.input_file_id) {
            Ok(file) => Bytes::from(tokio::fs::read(self.folder.content(&file.id)).await?),
            Err(FileError::Disk(error)) => return Err(error),
            Err(error) => return self.fails(&error.to_string(), "input_file_missing"),
        };
        let lines = match line::read(&content, &self.record.batch.endpoint) {
            Ok(lines) => lines,
            Err(errors) => return self.failed(errors),
        };
        let Some(api) = api_of(&self.record.batch.endpoint) else {
            return self.fails("nothing is asked at this path", "invalid_endpoint");
        };
        let (output, errors) = (self.folder.content(&self.record.output), self.folder.content(&self.record.errors));
        let (answered, refused) = (done(&output)?, done(&errors)?);
        let batch = &mut self.record.batch;
        batch.status = Status::InProgress;
        batch.in_progress_at = batch.in_progress_at.or(Some(now_ms() / 1000));
        batch.request_counts.total = lines.len() as u64;
        batch.request_counts.completed = answered.len() as u64;
        batch.request_counts.failed = refused.len() as u64;
        save(&self.folder, &self.record)?;
        let asker = Asker {
            gateway: Arc::clone(&self.gateway),
            api,
            key: self.record.key.clone(),
            ending: Arc::clone(&self.ending),
            expires_at: self.record.batch.expires_at,
        };
        let mut left =
            lines.into_iter().filter(|line| !answered.contains(&line.number) && !refused.contains(&line.number));
        let mut running: JoinSet<Option<Done>> = JoinSet::new();
        let (mut noted, mut next) = (0, left.next());
        loop {
            let more = next.is_some() && !asker.is_over();
            tokio::select! {
                slot = Arc::clone(&self.lines).acquire_owned(), if more => {
                    // It may have ended while this line waited for its turn.
                    if asker.is_over() {
                        continue;
                    }
                    if let (Ok(slot), Some(line)) = (slot, next.take()) {
                        let asker = asker.clone();
                        running.spawn(async move {
                            let done = asker.ask(line).await;
                            drop(slot);
                            done
                        });
                    }
                    next = left.next();
                }
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    let Ok(Some(done)) = ended else { continue };
                    let good = done.status.is_success();
                    append(if good { &output } else { &errors }, &self.record.batch.id, &done)?;
                    let counts = &mut self.record.batch.request_counts;
                    *(if good { &mut counts.completed } else { &mut counts.failed }) += 1;
                    noted += 1;
                    if noted % NOTED == 0 {
                        save(&self.folder, &self.record)?;
                    }
                }
                else => break,
            }
        }
        self.ends(&output, &errors)
    }

    /// Writes down how it ended, and makes files of what was answered.
    fn ends(&mut self, output: &Path, errors: &Path) -> io::Result<()> {
        let now = now_ms() / 1000;
        let file = |id: &str, kind: &str| {
            let name = format!("{}_{kind}.jsonl", self.record.batch.id);
            self.folder.describe(id.to_owned(), &name, "batch_output").map(|file| file.id)
        };
        let disk = |error: FileError| io::Error::other(error);
        let written = output.exists().then(|| file(&self.record.output, "output")).transpose().map_err(disk)?;
        let failed = errors.exists().then(|| file(&self.record.errors, "error")).transpose().map_err(disk)?;
        let batch = &mut self.record.batch;
        (batch.output_file_id, batch.error_file_id) = (written, failed);
        let counts = batch.request_counts;
        if counts.completed + counts.failed == counts.total {
            (batch.status, batch.completed_at) = (Status::Completed, Some(now));
        } else if self.ending.load(Ordering::Acquire) {
            batch.cancelling_at = batch.cancelling_at.or(Some(now));
            (batch.status, batch.cancelled_at) = (Status::Cancelled, Some(now));
        } else {
            (batch.status, batch.expired_at) = (Status::Expired, Some(now));
        }
        save(&self.folder, &self.record)
    }

    fn fails(&mut self, message: &str, code: &str) -> io::Result<()> {
        let wrong = Wrong { code: code.to_owned(), message: message.to_owned(), param: None, line: None };
        self.failed(Errors { object: "list".to_owned(), data: vec![wrong] })
    }

    fn failed(&mut self, errors: Errors) -> io::Result<()> {
        let batch = &mut self.record.batch;
        (batch.status, batch.failed_at) = (Status::Failed, Some(now_ms() / 1000));
        batch.errors = Some(errors);
        save(&self.folder, &self.record)
    }
}

impl Asker {
    /// Whether no other line is to begin.
    fn is_over(&self) -> bool {
        self.ending.load(Ordering::Acquire) || now_ms() / 1000 >= self.expires_at
    }

    /// Asks a line until its outcome can be told; `None` where the batch is over before.
    async fn ask(&self, line: Line) -> Option<Done> {
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            tries += 1;
            let request = handle::request_id();
            let (status, body) = self.once(&request, line.body.clone()).await;
            let busy = matches!(status.as_u16(), 429 | 503);
            if !may_change(status) || !busy && tries >= TRIES {
                return Some(Done { line, request, status, body });
            }
            if self.is_over() {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, request: &str, body: Bytes) -> (StatusCode, Bytes) {
        let (runtime, headers) = (self.gateway.runtime(), HeaderMap::new());
        let answered = match self.caller(&runtime) {
            Ok(caller) => {
                let (api, arrived) = (self.api, Instant::now());
                let priority = Priority::Low;
                let asked =
                    Bare { runtime, api, headers: &headers, caller, bytes: body, id: request, arrived, priority };
                asked.answered(&self.gateway).await
            }
            Err(error) => Err(error),
        };
        let response = answered.unwrap_or_else(|error| error.response(self.api, request));
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => (head.status, body.to_bytes()),
            // Asked again: what broke off may not the next time.
            Err(_) => (StatusCode::BAD_GATEWAY, Bytes::new()),
        }
    }

    /// Who made the batch, if it may still ask.
    fn caller(&self, runtime: &Runtime) -> Result<Grant, ApiError> {
        match (&runtime.config.access, &self.key) {
            (Access::Open(grant), None) => Ok(grant.clone()),
            (Access::Keys(keys), Some(key)) => {
                let told = |error: KeyError| {
                    ApiError::unauthorized(error.code(), format!("the key that made the batch: {error}"))
                };
                let caller = keys.of_id(key, SystemTime::now()).cloned().map_err(told)?;
                admit::reaches(&caller, self.api.into()).map(|()| caller)
            }
            _ => Err(ApiError::unauthorized("unknown_key", "the batch was made under another kind of access")),
        }
    }
}

/// Whether the same request may fare better later.
fn may_change(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}

/// Adds what became of a line to a file.
fn append(path: &Path, batch: &str, done: &Done) -> io::Result<()> {
    let empty = RawValue::from_string("null".to_owned())?;
    let body = serde_json::from_slice::<Box<RawValue>>(&done.body).unwrap_or(empty);
    let told = Told {
        id: line::id(batch, done.line.number),
        custom_id: &done.line.custom_id,
        response: Answered { status_code: done.status.as_u16(), request_id: &done.request, body: &body },
        error: None,
    };
    let mut text = serde_json::to_vec(&told)?;
    text.push(b'\n');
    OpenOptions::new().create(true).append(true).open(path)?.write_all(&text)
}

/// The numbers of the lines that a file tells of. What is left of one that was cut off is cut away.
fn done(path: &Path) -> io::Result<HashSet<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        file => BufReader::new(file?),
    };
    let (mut numbers, mut whole, mut text) = (HashSet::new(), 0, Vec::new());
    // One at a time: the answers of a batch may be more than memory holds.
    while file.read_until(b'\n', &mut text)? > 0 {
        if !text.ends_with(b"\n") {
            OpenOptions::new().write(true).open(path)?.set_len(whole)?;
            break;
        }
        whole += text.len() as u64;
        numbers.extend(line::number(&text));
        text.clear();
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
