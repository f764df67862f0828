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
use crate::{Ledger, OpenError, Options, read};

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
