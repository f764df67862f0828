//! A disk that fails or stalls: nothing is lost unheard, nothing waits for ever, nothing grows without bound.

use std::{
    fs::File,
    io,
    path::Path,
    sync::Arc,
    sync::mpsc::{Receiver, Sender, channel},
};

use tempfile::tempdir;

use super::{append_each, open, read_all, written};
use crate::{
    AppendError, Ledger, Log, MAX_RECORD_BYTES, Options, files::Files, segment, storage::Output, ticket::Base,
    writer::Disk,
};

/// What happens to each call of the writer: `Ok` does nothing, `Err` fails it, a panic is a panic.
struct Script<F>(F);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
    Create,
}

impl<F: FnMut(Call) -> io::Result<()> + Send> Disk for Script<F> {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        (self.0)(Call::Write)
    }

    fn sync(&mut self) -> io::Result<()> {
        (self.0)(Call::Sync)
    }

    fn create(&mut self, _: u64) -> io::Result<()> {
        (self.0)(Call::Create)
    }
}

fn start(disk: impl Disk + 'static, options: &Options) -> Ledger {
    let end = Base { segment: 0, offset: segment::HEADER_BYTES as u64 };
    Ledger(Arc::new(Log::start(disk, Path::new("ledger"), end, 0, options).unwrap()))
}

/// A ledger whose disk does nothing until its sync is let through, and whose calls are told.
fn stalled(options: &Options) -> (Ledger, Receiver<Call>, Sender<io::Result<()>>) {
    let (told, calls) = channel();
    let (go, gate) = channel();
    let disk = Script(move |call| {
        told.send(call).ok();
        if call == Call::Sync { gate.recv().unwrap_or(Ok(())) } else { Ok(()) }
    });
    (start(disk, options), calls, go)
}

fn wait_for(calls: &Receiver<Call>, wanted: Call) {
    assert!(calls.iter().any(|call| call == wanted), "the writer stopped before a {wanted:?}");
}

#[test]
fn a_failed_sync_fails_its_records_and_everything_after_it() {
    let (ledger, calls, go) = stalled(&Options::default());
    let in_work = ledger.append(&"in work").unwrap();
    wait_for(&calls, Call::Sync);
    let queued = ledger.append(&"queued behind it").unwrap();
    go.send(Err(io::Error::other("the cable is out"))).unwrap();

    for ticket in [in_work, queued] {
        let Err(AppendError::Failed(failure)) = ticket.wait() else { panic!("the record was not durable") };
        assert_eq!((failure.action, failure.cause.to_string().as_str()), ("sync", "the cable is out"));
    }
    assert!(matches!(ledger.append(&"later"), Err(AppendError::Failed(_))));
    assert_eq!(ledger.status().failure.map(|failure| failure.action), Some("sync"));
    assert!(matches!(ledger.close(), Err(AppendError::Failed(_))));
    // Never tried again: after the failure the writer made no further call.
    assert_eq!(calls.iter().count(), 0);
}

#[test]
fn a_failed_write_fails_closed() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let disk = Script(move |call| if call == Call::Write { Err(full()) } else { Ok(()) });
    let ledger = start(disk, &Options::default());
    let result = ledger.append(&"lost").and_then(|ticket| ticket.wait());
    let Err(AppendError::Failed(failure)) = result else { panic!("{result:?}") };
    assert_eq!((failure.action, failure.cause.kind()), ("write", io::ErrorKind::StorageFull));
    assert_eq!(ledger.status().durable_records, 0);
}

#[test]
fn a_segment_that_cannot_be_created_fails_closed() {
    let disk = Script(|call| if call == Call::Create { Err(io::Error::other("no inodes")) } else { Ok(()) });
    let ledger = start(disk, &Options { segment_bytes: 64, ..Options::default() });
    append_each(&ledger, &["this record fills the first segment up"]);
    let result = ledger.append(&"needs a new segment").and_then(|ticket| ticket.wait());
    assert!(matches!(&result, Err(AppendError::Failed(failure)) if failure.action == "create"), "{result:?}");
    assert_eq!(ledger.status().durable_records, 1);
}

#[test]
fn a_panic_in_the_writer_reaches_the_waiting_callers() {
    let disk = Script(|call| if call == Call::Sync { panic!("a bug in the disk") } else { Ok(()) });
    let ledger = start(disk, &Options::default());
    let result = ledger.append(&"lost").and_then(|ticket| ticket.wait());
    assert!(matches!(result, Err(AppendError::Failed(_))), "{result:?}");
    assert!(ledger.close().is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_fails_closed_and_says_so() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options::default(), &["from before"]);
    let path = Path::new("/dev/full");
    let device = Output::of(File::options().write(true).open(path).unwrap(), path);
    let ledger = start(Files::new(dir.path().into(), device, 0), &Options::default());
    let result = ledger.append(&"does not fit").and_then(|ticket| ticket.wait());
    let Err(AppendError::Failed(failure)) = result else { panic!("{result:?}") };
    assert_eq!(failure.cause.kind(), io::ErrorKind::StorageFull);
    assert_eq!(read_all(dir.path()), ["from before"]);
}

#[test]
fn a_full_queue_pushes_back_and_takes_records_again_later() {
    let options = Options { queue_records: 3, ..Options::default() };
    let (ledger, calls, go) = stalled(&options);
    let mut tickets = vec![ledger.append(&"in work").unwrap()];
    wait_for(&calls, Call::Sync);
    tickets.extend((0..3).map(|number| ledger.append(&number).unwrap()));
    let Err(AppendError::Full { records: 3, .. }) = ledger.append(&"one too many") else { panic!("not full") };
    assert_eq!(ledger.status().queued_records, 3);

    go.send(Ok(())).unwrap();
    wait_for(&calls, Call::Sync); // the queued ones are in work now
    tickets.push(ledger.append(&"room again").unwrap());
    drop(go);
    let numbers: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap().sequence).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "the refused record took no number");
}

#[test]
fn the_queue_is_bounded_in_bytes_but_takes_one_record_of_any_size() {
    let options = Options { queue_bytes: 100, ..Options::default() };
    let (ledger, calls, go) = stalled(&options);
    let first = ledger.append(&"in work").unwrap();
    wait_for(&calls, Call::Sync);
    let large = ledger.append(&"x".repeat(500)).unwrap();
    assert!(matches!(ledger.append(&"small"), Err(AppendError::Full { records: 1, .. })));
    drop(go);
    assert_eq!((first.wait().unwrap().sequence, large.wait().unwrap().sequence), (0, 1));
}

#[test]
fn the_largest_record_is_taken_and_one_byte_more_is_refused() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let largest = "x".repeat(MAX_RECORD_BYTES - 2); // and two quotes
    ledger.append(&largest).unwrap().wait().unwrap();
    let more = format!("{largest}x");
    assert!(matches!(ledger.append(&more), Err(AppendError::TooLarge)));
    append_each(&ledger, &["still working"]);
    assert_eq!(read_all(dir.path()), [largest, "still working".into()]);
}

#[test]
fn a_record_without_a_json_form_is_refused() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let keyed_by_a_list = std::collections::BTreeMap::from([(vec![1], 2)]);
    assert!(matches!(ledger.append(&keyed_by_a_list), Err(AppendError::Serialize(_))));
}

#[test]
fn a_closed_ledger_takes_nothing_more() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let ticket = ledger.append(&"before").unwrap();
    ledger.close().unwrap();
    ticket.wait().unwrap();
    assert!(matches!(ledger.append(&"after"), Err(AppendError::Closed)));
    ledger.close().unwrap();
    assert_eq!(read_all(dir.path()), ["before"]);
}
