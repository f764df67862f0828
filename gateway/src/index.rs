//! An index of the ledger in a PostgreSQL, for whoever asks in SQL and for systems that read on from there. It is never the truth:
//! nothing is decided by it, no request waits for it, and all of it can be made again from the ledger.
//!
//! The files of the ledger are followed from the first record that the index lacks, in batches, each of them one statement that may be
//! made again ([`table`]). Only what a signed checkpoint covers is put there, so no crash can leave a record in the index that is not
//! in the log: what is signed was read back from the disk. What was pruned goes from the index too, so retention holds in both.
//!
//! | the PostgreSQL is | what happens |
//! |---|---|
//! | there | what is signed each second is in the index about a second later |
//! | gone | it is tried again after a growing pause, told once in the log; the metric of unindexed records says what is due |
//! | back | it gets what it lacks, in order |
//!
//! Whether the index says what the ledger says is another matter ([`compare()`]): whoever can write to it can change it.

mod compare;
mod log;
pub mod table;

use std::{path::Path, sync::Arc, time::Duration};

use ledger::Reader;
use remote::Secret;
use thiserror::Error;

pub use self::{
    compare::{Comparison, Kind, compare},
    log::{Log, LogError},
};
use self::{log::Entry, table::Table};
use crate::{config::ledger_folder, observe, runtime::Gateway};

/// How often it is looked whether more is signed.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it is tried again what failed; each time twice as long after, up to the second.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_AT_MOST: Duration = Duration::from_secs(15);

/// Why an index cannot be kept up or compared.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The ledger.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The PostgreSQL.
    #[error("the PostgreSQL cannot be asked: {0}")]
    Asked(#[from] sqlx::Error),
    /// Its tables.
    #[error("the tables in the PostgreSQL cannot be made: {0}")]
    Made(#[from] sqlx::migrate::MigrateError),
}

/// From which record on an index is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The one after the last that it has: none before that is missing unless somebody took it out.
    AfterLast,
    /// The first that there is, where any is missing.
    AtGaps,
}

/// Follows a ledger into an index.
#[derive(Debug)]
pub struct Follower {
    log: Arc<Log>,
    table: Table,
    begin: Begin,
    /// The number of the next record, once the index was asked.
    next: Option<u64>,
    /// Where the records of the last batch ended.
    reader: Option<Reader>,
    /// What was read and is not in the index yet.
    batch: Vec<Entry>,
    /// Before which record the index was told to forget.
    forgotten: u64,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the next record.
    pub next: u64,
    /// How many records were put into the index that it lacked.
    pub added: u64,
    /// How many records were signed when it began.
    pub signed: u64,
    /// Whether there may be more to do at once.
    pub more: bool,
}

impl Follower {
    /// Of a ledger, into the index at an address.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(log: Arc<Log>, address: &Secret, begin: Begin) -> Result<Self, IndexError> {
        let table = Table::new(address, log.name())?;
        Ok(Self { log, table, begin, next: None, reader: None, batch: Vec::new(), forgotten: 0 })
    }

    /// How many records are in the index, those that were pruned included, as far as that was heard.
    pub fn reached(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// Puts the next batch of what is signed into the index, and takes out what was pruned.
    ///
    /// # Errors
    /// The ledger cannot be read, or the PostgreSQL not be asked. The next step goes on where this one failed.
    pub async fn step(&mut self) -> Result<Step, IndexError> {
        let next = match self.next {
            Some(next) => next,
            None => self.begin().await?,
        };
        let (log, mut reader, is_due) = (Arc::clone(&self.log), self.reader.take(), self.batch.is_empty());
        let read = tokio::task::spawn_blocking(move || {
            let signed = log.signed()?;
            if next > signed {
                return Err(LogError::Ahead { indexed: next, signed });
            }
            let batch = if is_due { log.batch(&mut reader, next, signed)? } else { Vec::new() };
            Ok((signed, batch, reader))
        });
        let (signed, batch, reader) = read.await.unwrap_or_else(|error| Err(LogError::Thread(error.to_string())))?;
        self.reader = reader;
        if is_due {
            self.batch = batch;
        }
        let mut step = Step { next, added: 0, signed, more: false };
        if let Some(last) = self.batch.last() {
            step.added = self.table.insert(&self.batch).await?;
            step.next = last.number + 1;
            step.more = step.next < signed;
            self.next = Some(step.next);
            self.batch.clear();
        }
        // Only now, so that what was read before a prune and put there after it goes too.
        let mark = self.log.mark()?;
        if mark > self.forgotten {
            self.table.forget(mark).await?;
            self.forgotten = mark;
        }
        Ok(step)
    }

    /// Asks the index what it has; the number of the first record that it lacks.
    async fn begin(&mut self) -> Result<u64, IndexError> {
        self.table.prepare().await?;
        let mark = self.log.mark()?;
        let mut next = self.table.extent().await?.map_or(mark, |extent| extent.next.max(mark));
        if self.begin == Begin::AtGaps && self.table.count(mark, next).await?.0 < next - mark {
            next = mark;
        }
        self.next = Some(next);
        Ok(next)
    }
}

/// Keeps the index of the configuration up, if there is one, for as long as it is polled.
pub async fn keep_up(gateway: Arc<Gateway>) {
    let (index, folder) = {
        let config = &gateway.runtime().config;
        (config.ledger.index.clone(), ledger_folder(&config.data_dir))
    };
    let Some(address) = index else { return };
    let mut follower = match follower(&folder, &address) {
        Ok(follower) => follower,
        Err(error) => {
            tracing::error!(%error, "the index of the ledger cannot be kept up");
            return;
        }
    };
    let (mut failed, mut again) = (false, AGAIN);
    loop {
        let step = follower.step().await;
        observe::unindexed(gateway.ledger.status().durable_records.saturating_sub(follower.reached()));
        let pause = match step {
            Ok(step) => {
                if std::mem::take(&mut failed) {
                    tracing::info!(records = step.next, "the index of the ledger is kept up again");
                }
                again = AGAIN;
                if step.more { Duration::ZERO } else { LOOK }
            }
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::error!(%error, "the index of the ledger cannot be kept up; it is tried again");
                }
                let pause = again;
                again = (2 * again).min(AGAIN_AT_MOST);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn follower(folder: &Path, address: &Secret) -> Result<Follower, IndexError> {
    Follower::new(Arc::new(Log::of(folder)?), address, Begin::AfterLast)
}
