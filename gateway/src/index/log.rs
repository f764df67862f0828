//! The ledger as an index reads it: what is signed of it, and its records in batches.

use std::path::{Path, PathBuf};

use audit::{
    note::VerifierKey,
    tiles,
    tree::{self, Hash},
    verify,
};
use ledger::{OpenError, ReadError, Reader};
use thiserror::Error;

use super::table;
use crate::settle::row::Row;

/// The most records of a batch.
const MOST_RECORDS: usize = 1_000;
/// A batch that has so many bytes of records gets no more of them.
const ENOUGH_BYTES: usize = 4 << 20;

/// Why a ledger cannot be read on.
#[derive(Debug, Error)]
pub enum LogError {
    /// Nothing of it may be put anywhere then.
    #[error("the ledger in `{}` was never signed", .0.display())]
    Unsigned(PathBuf),
    /// Its key.
    #[error("the key of the ledger cannot be used")]
    Key(#[source] OpenError),
    /// What is signed.
    #[error("the checkpoints in `{}` cannot be read", folder.display())]
    Checkpoint {
        /// The ledger.
        folder: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// What it says is signed is not.
    #[error("the newest checkpoint in `{}` is not signed by the ledger's key; see `pointsman-audit verify`", .0.display())]
    Forged(PathBuf),
    /// Whoever indexed them had another copy of the ledger.
    #[error("the index has records up to {indexed}, and {signed} are signed: see `pointsman audit index --check`")]
    Ahead {
        /// How many the index has.
        indexed: u64,
        /// How many there are.
        signed: u64,
    },
    /// Its records.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The thread that reads ended.
    #[error("the ledger could not be read: {0}")]
    Thread(String),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Log {
    folder: PathBuf,
    key: VerifierKey,
}

/// A record, as the index has it.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Its leaf in the tree.
    pub leaf: Hash,
    /// Its columns, as a table holds them.
    pub row: Row,
    /// Its bytes.
    pub record: Vec<u8>,
}

impl Log {
    /// The ledger in a folder.
    ///
    /// # Errors
    /// It was never signed, or its key cannot be read.
    pub fn of(folder: &Path) -> Result<Self, LogError> {
        let unsigned = || LogError::Unsigned(folder.to_owned());
        let key = ledger::verifier_key(folder).map_err(LogError::Key)?.ok_or_else(unsigned)?;
        Ok(Self { folder: folder.to_owned(), key: key.parse().map_err(|_| unsigned())? })
    }

    /// Its name, which stays.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// How many records are under its newest checkpoint.
    ///
    /// # Errors
    /// That cannot be read, or its key did not sign it.
    pub fn signed(&self) -> Result<u64, LogError> {
        let failed = |cause| LogError::Checkpoint { folder: self.folder.clone(), cause };
        let note = match std::fs::read_to_string(self.folder.join("tlog/checkpoint")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            read => read.map_err(failed)?,
        };
        let keys = verify::keys(&self.folder, &self.key).map_err(failed)?;
        let checkpoint = keys.ok().and_then(|keys| keys.checkpoint(&note));
        Ok(checkpoint.ok_or_else(|| LogError::Forged(self.folder.clone()))?.size)
    }

    /// The first record that was not pruned.
    ///
    /// # Errors
    /// That cannot be read.
    pub fn mark(&self) -> Result<u64, LogError> {
        let failed = |cause| LogError::Checkpoint { folder: self.folder.clone(), cause };
        let mark = tiles::pruned(&self.folder).map_err(failed)?;
        mark.ok_or_else(|| failed(std::io::Error::other("`tlog/pruned` says no number")))
    }

    /// The next records from `next` to before `until`, as many as make a batch: none where none of them is there. The reader is the one
    /// of the batch before, if there was one, and stays where they end.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn batch(&self, reader: &mut Option<Reader>, next: u64, until: u64) -> Result<Vec<Entry>, LogError> {
        let (mut batch, mut bytes, mut next) = (Vec::new(), 0, next);
        if next >= until {
            return Ok(batch);
        }
        let mut records = match reader.take() {
            Some(reader) => reader,
            None => ledger::read_from(&self.folder, next)?,
        };
        while next < until && batch.len() < MOST_RECORDS && bytes < ENOUGH_BYTES {
            // A reader that has come to the end stays there: the next batch has a new one.
            let Some(record) = records.next() else { return Ok(batch) };
            let (position, record) = record?;
            (next, bytes) = (position.sequence + 1, bytes + record.len());
            let row = table::fitted(Row::of(&record));
            batch.push(Entry { number: position.sequence, leaf: tree::leaf(&record), row, record });
        }
        *reader = Some(records);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use ledger::{Ledger, Options};
    use serde_json::json;

    use super::*;

    #[test]
    fn batches_are_all_records_that_are_signed_in_order_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) =
            Ledger::open(folder.path(), Options { segment_bytes: 64 << 10, ..Options::default() }).unwrap();
        let log = Log::of(folder.path()).unwrap();
        assert_eq!((log.signed().unwrap(), log.mark().unwrap()), (0, 0), "nothing is signed yet");
        for nth in 0..2_500_u64 {
            drop(ledger.append(&json!({"kind": "decision", "request": nth.to_string()})).unwrap());
        }
        // One of a mebibyte or so fills a batch by itself with three others like it.
        for _ in 0..5 {
            ledger.append(&"x".repeat((1 << 20) - 2)).unwrap().wait().unwrap();
        }
        ledger.close().unwrap();
        assert_eq!(log.signed().unwrap(), 2_505);
        let (mut reader, mut next, mut sizes) = (None, 0, Vec::new());
        loop {
            let batch = log.batch(&mut reader, next, 2_504).unwrap();
            let Some(last) = batch.last() else { break };
            assert!(batch.iter().zip(next..).all(|(entry, number)| entry.number == number));
            let is_its = |entry: &Entry| entry.row.request.as_deref() == Some(&*entry.number.to_string());
            assert!(batch.iter().filter(|entry| entry.number < 2_500).all(is_its));
            next = last.number + 1;
            sizes.push(batch.len());
        }
        assert_eq!((next, &sizes[..2]), (2_504, &[1_000, 1_000][..]));
        assert_eq!(sizes.iter().sum::<usize>(), 2_504);
        assert!(log.batch(&mut None, 2_505, 3_000).unwrap().is_empty(), "beyond the end there is nothing");
    }

    #[test]
    fn a_checkpoint_that_the_key_did_not_sign_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Log::of(folder.path()), Err(LogError::Unsigned(_))));
        let (ledger, _) = Ledger::open(folder.path(), Options::default()).unwrap();
        drop(ledger.append(&"x").unwrap());
        ledger.close().unwrap();
        let log = Log::of(folder.path()).unwrap();
        assert_eq!(log.signed().unwrap(), 1);
        let path = folder.path().join("tlog/checkpoint");
        let note = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, note.replacen("\n1\n", "\n2\n", 1)).unwrap();
        assert!(matches!(log.signed(), Err(LogError::Forged(_))));
    }
}
