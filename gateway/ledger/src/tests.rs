//! What the crate promises, promise by promise.

mod concurrency;
mod damage;
mod failure;
pub(crate) mod faults;
mod power;
mod recovery;

use std::{fs, path::Path};

use crate::{Ledger, Options, Position, Recovery, read, segment};

/// Small enough that a handful of records fills several segments.
fn small_segments() -> Options {
    Options { segment_bytes: 256, ..Options::default() }
}

fn open(dir: &Path, options: Options) -> (Ledger, Recovery) {
    Ledger::open(dir, options).expect("the ledger opens")
}

/// Appends each record as a group of its own, and says where they went.
fn append_each(ledger: &Ledger, records: &[impl AsRef<str>]) -> Vec<Position> {
    let append = |record: &str| ledger.append(&record).expect("taken").wait().expect("durable");
    records.iter().map(|record| append(record.as_ref())).collect()
}

/// A closed ledger of the given records in `dir`, each a group of its own.
fn written(dir: &Path, options: Options, records: &[impl AsRef<str>]) -> Vec<Position> {
    let (ledger, _) = open(dir, options);
    let positions = append_each(&ledger, records);
    ledger.close().expect("closes");
    positions
}

/// All records of a whole ledger, with their numbers checked.
fn read_all(dir: &Path) -> Vec<String> {
    let mut records = Vec::new();
    for item in read(dir).expect("readable") {
        let (position, bytes) = item.expect("whole");
        assert_eq!(position.sequence, records.len() as u64);
        records.push(serde_json::from_slice(&bytes).expect("the JSON that was appended"));
    }
    records
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("record {number}")).collect()
}

fn newest(dir: &Path) -> u64 {
    *segment::list(dir).expect("listable").last().expect("a segment")
}

/// Changes the bytes of one segment.
fn edit(dir: &Path, first: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let path = segment::path(dir, first);
    let mut bytes = fs::read(&path).expect("readable");
    change(&mut bytes);
    fs::write(&path, bytes).expect("writable");
}
