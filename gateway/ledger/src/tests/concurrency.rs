//! Many callers, readers beside the writer, and a second writer.

use std::{
    collections::HashSet,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
};

use tempfile::tempdir;

use super::{append_each, numbered, open, read_all, small_segments};
use crate::{Ledger, OpenError, Options, read, read_from, segments};

#[test]
fn threads_that_append_together_lose_nothing_and_each_keeps_its_order() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options { segment_bytes: 4096, ..Options::default() });
    thread::scope(|scope| {
        for writer in 0..8 {
            let ledger = ledger.clone();
            scope.spawn(move || {
                for number in 0..200 {
                    let ticket = ledger.append(&format!("{writer} {number}")).unwrap();
                    let promised = ticket.sequence();
                    assert_eq!(ticket.wait().unwrap().sequence, promised);
                }
            });
        }
    });
    // What was acknowledged is in the files, although the ledger is still open.
    let records = read_all(dir.path());
    assert_eq!(records.iter().collect::<HashSet<_>>().len(), 8 * 200);
    for writer in 0..8 {
        let own: Vec<_> = records.iter().filter(|record| record.starts_with(&format!("{writer} "))).collect();
        assert_eq!(
            own,
            (0..200).map(|number| format!("{writer} {number}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}

/// Notes its number when it is woken.
struct Note(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[test]
fn tickets_resolve_in_the_order_in_which_they_were_given() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..500 {
        let mut ticket = ledger.append(&number).unwrap();
        let waker = Waker::from(Arc::new(Note(number, Arc::clone(&woken))));
        if pin!(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending() {
            waiting.push(number);
        }
    }
    ledger.close().unwrap();
    assert_eq!(*woken.lock().unwrap(), waiting);
}

#[test]
fn a_ticket_polled_by_another_task_wakes_only_that_one() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut ticket = ledger.append(&"moved between tasks").unwrap();
    let pending: Vec<usize> = (0..3)
        .filter(|&task| {
            let waker = Waker::from(Arc::new(Note(task, Arc::clone(&woken))));
            pin!(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending()
        })
        .collect();
    ledger.close().unwrap();
    assert_eq!(*woken.lock().unwrap(), pending.last().copied().into_iter().collect::<Vec<_>>());
}

#[test]
fn a_reader_beside_the_writer_sees_whole_records_only() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), small_segments());
    let done = AtomicBool::new(false);
    let passes = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) || passes.load(Ordering::Relaxed) == 0 {
                let known = ledger.status().durable_records;
                let records = read_all(dir.path());
                assert!(records.len() as u64 >= known, "{} of {known}", records.len());
                assert_eq!(records, numbered(records.len()));
                passes.fetch_add(1, Ordering::Relaxed);
            }
        });
        for record in numbered(600) {
            // Some groups hold one record and some hold many.
            let ticket = ledger.append(&record).unwrap();
            if record.ends_with('7') {
                ticket.wait().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    ledger.close().unwrap();
    assert_eq!(read_all(dir.path()), numbered(600));
}

#[test]
fn one_directory_has_one_writer() {
    let dir = tempdir().unwrap();
    let (first, _) = open(dir.path(), Options::default());
    append_each(&first, &["mine"]);
    let second = Ledger::open(dir.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    assert_eq!(read(dir.path()).unwrap().count(), 1, "reading needs no lock");
    first.close().unwrap();
    assert_eq!(open(dir.path(), Options::default()).1.records, 1);
}

#[test]
fn a_reader_beside_a_prune_goes_on_with_what_is_kept() {
    let dir = tempdir().unwrap();
    let (ledger, _) =
        open(dir.path(), Options { checkpoints: Some(std::time::Duration::from_secs(1)), ..small_segments() });
    append_each(&ledger, &numbered(700));
    let mut reader = read(dir.path()).unwrap();
    let mut late = read(dir.path()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().0.sequence, 0);
    assert_eq!(ledger.prune(100).unwrap().first, ledger.prune(100).unwrap().first);
    let first = ledger.prune(400).unwrap().first;
    assert!((380..=400).contains(&first), "{first}");
    assert_eq!(segments(dir.path()).unwrap()[0].first, first);
    // Who has a segment open reads it to its end, and goes on with what is kept.
    let numbers: Vec<u64> = reader.map(|record| record.unwrap().0.sequence).collect();
    let begins = numbers.iter().position(|number| *number == first).unwrap();
    assert!(begins < 10 && numbers[..begins].iter().eq(&(1..=begins as u64).collect::<Vec<_>>()), "{numbers:?}");
    assert!(numbers[begins..].iter().copied().eq(first..700));
    assert_eq!(late.next().unwrap().unwrap().0.sequence, 0);
    assert_eq!(read(dir.path()).unwrap().next().unwrap().unwrap().0.sequence, first);
    let from = |number| read_from(dir.path(), number).unwrap().next().map(|record| record.unwrap().0.sequence);
    assert_eq!([from(0), from(first + 3), from(699), from(700)], [Some(first), Some(first + 3), Some(699), None]);
    // The newest segment stays, whatever is asked.
    let newest = segments(dir.path()).unwrap().last().unwrap().first;
    assert!(ledger.prune(u64::MAX).unwrap().first <= newest);
    append_each(&ledger, &["after"]);
    ledger.close().unwrap();
    assert_eq!(open(dir.path(), small_segments()).1.records, 701);
}

#[test]
fn a_log_that_is_asked_for_proofs_all_the_time_is_signed_all_the_same() {
    let dir = tempdir().unwrap();
    let (ledger, _) =
        open(dir.path(), Options { checkpoints: Some(std::time::Duration::from_millis(1)), ..small_segments() });
    append_each(&ledger, &["a"]);
    let size = |note: &str| note.lines().nth(1).unwrap().parse::<u64>().unwrap();
    let mut asked = ledger.prune(0).map(|_| ledger.checkpoint().unwrap().unwrap()).unwrap();
    append_each(&ledger, &["b"]);
    while size(&asked) < 2 {
        asked = ledger.checkpoint().unwrap().unwrap();
        ledger.submission(&asked, 1).unwrap();
    }
}
