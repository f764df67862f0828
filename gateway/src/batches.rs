//! Batches: the requests of a file, asked one after the other as if their caller had sent each, at low priority.
//!
//! Every line goes through the same admission, plan, licence decision, record and attempts as a request of its own, for the
//! key, team and context that made the batch; a key that was revoked meanwhile ends it. A few lines of all batches run at a
//! time. What a batch has done is on disk line by line, so that after a restart it goes on where it was: a line that
//! ran at that moment runs once more. Outcomes that may change (a busy host, a timeout) are tried again until the batch's
//! time is over.

mod line;
mod run;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    files::{self, FileError, Files, Folder},
    keys::{Grant, replace_file},
    runtime::Gateway,
    settle::now_ms,
    wire::ClientApi,
};

/// Lines of all batches that run at a time.
const AT_ONCE: usize = 4;
/// Batches whose lines are looked at; the others wait.
const ACTIVE: usize = 2;
/// Batches of a team that are not over.
const MOST_OF_A_TEAM: usize = 32;
/// How long a batch may take, in seconds.
const WINDOW: u64 = 24 * 3600;

/// A batch, as its caller sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub id: String,
    /// Always `batch`.
    pub object: String,
    /// The path that each line asks.
    pub endpoint: String,
    /// What is wrong with its lines.
    pub errors: Option<Errors>,
    /// The file of its lines.
    pub input_file_id: String,
    /// Always `24h`.
    pub completion_window: String,
    /// How it stands.
    pub status: Status,
    /// What was answered, once it is over.
    pub output_file_id: Option<String>,
    /// What was refused or failed, likewise.
    pub error_file_id: Option<String>,
    /// Unix seconds, as all that follow.
    pub created_at: u64,
    /// When its lines were first looked at.
    pub in_progress_at: Option<u64>,
    /// When it ends, done or not.
    pub expires_at: u64,
    /// When all lines were done.
    pub completed_at: Option<u64>,
    /// When it turned out that it cannot be done.
    pub failed_at: Option<u64>,
    /// When its time was over.
    pub expired_at: Option<u64>,
    /// When its caller ended it.
    pub cancelling_at: Option<u64>,
    /// When it had ended so.
    pub cancelled_at: Option<u64>,
    /// How many lines there are, and what became of them.
    pub request_counts: Counts,
    /// What its caller wrote.
    pub metadata: Option<Value>,
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its lines are to be looked at.
    Validating,
    /// They cannot be asked.
    Failed,
    /// They are asked.
    InProgress,
    /// All are done.
    Completed,
    /// Its time was over.
    Expired,
    /// Its caller has ended it.
    Cancelling,
    /// It has ended.
    Cancelled,
}

/// Lines by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Answered.
    pub completed: u64,
    /// Refused or failed.
    pub failed: u64,
}

/// What is wrong with lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Always `list`.
    pub object: String,
    /// The first few.
    pub data: Vec<Wrong>,
}

/// What is wrong with a line, or with the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// A stable name.
    pub code: String,
    /// In plain words.
    pub message: String,
    /// The field.
    pub param: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u64>,
}

/// What is kept of a batch: who made it, beside what is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    batch: Batch,
    /// The public id of the key; none where no key is needed.
    key: Option<String>,
    /// Where its lines are answered to while it runs.
    output: String,
    errors: String,
}

/// The batches of this process.
#[derive(Debug)]
pub struct Batches {
    files: Files,
    /// Whose callers want them to end, by id; those that are not over have an entry.
    ending: Mutex<HashMap<String, Arc<AtomicBool>>>,
    lines: Arc<Semaphore>,
    active: Arc<Semaphore>,
}

/// Why a batch cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The team has none of this id.
    #[error("there is no batch of this id of yours here")]
    Unknown,
    /// It is over.
    #[error("the batch is over, it cannot be cancelled")]
    Over,
    /// The team has too many that are not over.
    #[error("your team has {MOST_OF_A_TEAM} batches that are not over; wait for one to end")]
    TooMany,
    /// Its lines cannot be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
}

/// The API that lines of an endpoint speak; `None` where no batch can ask it.
pub fn api_of(endpoint: &str) -> Option<ClientApi> {
    ClientApi::at(endpoint).filter(|api| endpoint.starts_with("/v1/") && !api.backend().answers_otherwise())
}

impl Status {
    fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

impl Batches {
    /// Those of these files.
    pub fn new(files: Files) -> Self {
        Self {
            files,
            ending: Mutex::default(),
            lines: Arc::new(Semaphore::new(AT_ONCE)),
            active: Arc::new(Semaphore::new(ACTIVE)),
        }
    }

    /// The files that they read and write.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Makes a batch of a file's lines and begins it.
    ///
    /// # Errors
    /// When the caller's team has no such file or too many batches, or the disk fails.
    pub fn create(
        &self,
        gateway: &Arc<Gateway>,
        caller: &Grant,
        endpoint: &str,
        input_file_id: &str,
        metadata: Option<Value>,
    ) -> Result<Batch, BatchError> {
        let folder = self.files.of(caller.team.as_deref());
        folder.get(input_file_id)?;
        let unfinished = self.list(&folder)?.iter().filter(|batch| !batch.status.is_over()).count();
        if unfinished >= MOST_OF_A_TEAM {
            return Err(BatchError::TooMany);
        }
        let now = now_ms() / 1000;
        let batch = Batch {
            id: files::new_id("batch_"),
            object: "batch".to_owned(),
            endpoint: endpoint.to_owned(),
            errors: None,
            input_file_id: input_file_id.to_owned(),
            completion_window: "24h".to_owned(),
            status: Status::Validating,
            output_file_id: None,
            error_file_id: None,
            created_at: now,
            in_progress_at: None,
            expires_at: now + WINDOW,
            completed_at: None,
            failed_at: None,
            expired_at: None,
            cancelling_at: None,
            cancelled_at: None,
            request_counts: Counts::default(),
            metadata,
        };
        let key = caller.key.as_deref().map(str::to_owned);
        let record = Record { batch, key, output: files::new_id("file-"), errors: files::new_id("file-") };
        save(&folder, &record)?;
        let told = record.batch.clone();
        self.begin(gateway, folder, record);
        Ok(told)
    }

    /// Goes on with all that are not over; after a start.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn resume(&self, gateway: &Arc<Gateway>) -> io::Result<usize> {
        let mut resumed = 0;
        for folder in self.files.all()? {
            let records: Vec<Record> = files::json_files(folder.path(), "batch_")?;
            for record in records.into_iter().filter(|record| !record.batch.status.is_over()) {
                self.begin(gateway, folder.clone(), record);
                resumed += 1;
            }
        }
        Ok(resumed)
    }

    fn begin(&self, gateway: &Arc<Gateway>, folder: Folder, record: Record) {
        let ending = Arc::new(AtomicBool::new(record.batch.status == Status::Cancelling));
        self.ending().insert(record.batch.id.clone(), Arc::clone(&ending));
        let run = run::Run::new(Arc::clone(gateway), folder, record, ending, (&self.lines, &self.active));
        tokio::spawn(run.finish());
    }

    /// A batch of a team.
    ///
    /// # Errors
    /// When it has none of this id, or the disk fails.
    pub fn get(&self, folder: &Folder, id: &str) -> Result<Batch, BatchError> {
        Ok(self.record(folder, id)?.batch)
    }

    /// All batches of a team, the newest first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self, folder: &Folder) -> Result<Vec<Batch>, BatchError> {
        let records: Vec<Record> = files::json_files(folder.path(), "batch_")?;
        let mut batches: Vec<Batch> = records.into_iter().map(|record| record.batch).collect();
        batches.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(batches)
    }

    /// Ends a batch: lines that run are answered, no other begins.
    ///
    /// # Errors
    /// When the team has none of this id, it is over, or the disk fails.
    pub fn cancel(&self, folder: &Folder, id: &str) -> Result<Batch, BatchError> {
        let batch = self.get(folder, id)?;
        match self.ending().get(id) {
            Some(ending) if !batch.status.is_over() => ending.store(true, Ordering::Release),
            _ => return Err(BatchError::Over),
        }
        // The run writes it down; this is how it will stand.
        let cancelling_at = batch.cancelling_at.or(Some(now_ms() / 1000));
        Ok(Batch { status: Status::Cancelling, cancelling_at, ..batch })
    }

    fn record(&self, folder: &Folder, id: &str) -> Result<Record, BatchError> {
        if !files::is_id(id, "batch_") {
            return Err(BatchError::Unknown);
        }
        files::read_json(&place(folder, id))?.ok_or(BatchError::Unknown)
    }

    fn ending(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<AtomicBool>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is over.
    fn ended(&self, id: &str) {
        self.ending().remove(id);
    }
}

fn place(folder: &Folder, id: &str) -> PathBuf {
    folder.path().join(format!("{id}.json"))
}

fn save(folder: &Folder, record: &Record) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    replace_file(&place(folder, &record.batch.id), &json)
}
