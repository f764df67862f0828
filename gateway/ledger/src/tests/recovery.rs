//! What is there after a clean stop, and after a crash at any byte.

use std::fs;

use proptest::{collection::vec, prelude::*};
use tempfile::tempdir;

use super::{append_each, edit, numbered, open, read_all, small_segments, written};
use crate::{Options, frame, read, segment};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_records_come_back_in_order_over_any_restarts(
        runs in vec(vec(".{0,200}", 0..12), 1..5),
        segment_bytes in 1..600u64,
    ) {
        let dir = tempdir().unwrap();
        let mut all: Vec<String> = Vec::new();
        for run in runs {
            let (ledger, recovery) = open(dir.path(), Options { segment_bytes, ..Options::default() });
            prop_assert_eq!((recovery.records, recovery.bytes_cut), (all.len() as u64, 0));
            let tickets: Vec<_> = run.iter().map(|record| ledger.append(record).unwrap()).collect();
            all.extend(run);
            drop(tickets);
            drop(ledger);
        }
        prop_assert_eq!(read_all(dir.path()), all);
    }

    #[test]
    fn a_cut_at_any_byte_leaves_exactly_the_whole_records_before_it(
        records in vec("[a-z]{0,60}", 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempdir().unwrap();
        // A crash cuts what was not durable, and only what is durable is signed.
        let positions = written(dir.path(), Options { checkpoints: None, ..Options::default() }, &records);
        let path = segment::path(dir.path(), 0);
        let whole = fs::read(&path).unwrap();
        let cut = cut.index(whole.len() + 1);
        edit(dir.path(), 0, |bytes| bytes.truncate(cut));

        let frame = |record: &String| (frame::HEADER_BYTES + serde_json::to_vec(record).unwrap().len()) as u64;
        let ends = positions.iter().zip(&records).map(|(position, record)| position.offset + frame(record));
        let kept = ends.take_while(|&end| end <= cut as u64).count();
        // A reader sees as much before the repair as after it.
        prop_assert_eq!(read_all(dir.path()), &records[..kept]);
        let (ledger, recovery) = open(dir.path(), Options::default());
        prop_assert_eq!(recovery.records, kept as u64);
        append_each(&ledger, &["after"]);
        ledger.close().unwrap();
        let mut expected = records[..kept].to_vec();
        expected.push("after".into());
        prop_assert_eq!(read_all(dir.path()), expected);
    }
}

#[test]
fn a_new_ledger_is_empty() {
    let dir = tempdir().unwrap();
    let (_ledger, recovery) = open(&dir.path().join("not/there/yet"), Options::default());
    assert_eq!((recovery.segments, recovery.records, recovery.bytes_cut), (1, 0, 0));
    assert!(read_all(&dir.path().join("not/there/yet")).is_empty());
}

#[test]
fn an_empty_directory_reads_as_an_empty_ledger() {
    assert_eq!(read(tempdir().unwrap().path()).unwrap().count(), 0);
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options::default(), &["kept"]);
    edit(dir.path(), 0, |bytes| bytes.extend_from_slice(&[7; 33]));
    let (ledger, recovery) = open(dir.path(), Options::default());
    assert_eq!((recovery.records, recovery.bytes_cut), (1, 33));
    ledger.close().unwrap();
    assert_eq!(open(dir.path(), Options::default()).1.bytes_cut, 0);
}

/// A power cut may lose one page of a group that was being synced and keep a later one. No record of that group
/// was acknowledged, so this is a torn tail and no damage.
#[test]
fn a_group_with_a_hole_in_it_is_a_torn_tail() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options::default(), &["durable"]);
    let mut group = Vec::new();
    for record in ["first of the group", "lost page", "last of the group"] {
        let mut frame = Vec::new();
        frame::encode(&record, &mut frame).unwrap();
        group.extend(frame);
    }
    frame::seal(&mut group, 1);
    let hole = frame::HEADER_BYTES + "\"first of the group\"".len();
    group[hole..][..12].fill(0);
    edit(dir.path(), 0, |bytes| bytes.extend_from_slice(&group));

    assert_eq!(read_all(dir.path()), ["durable", "first of the group"]);
    let (_, recovery) = open(dir.path(), Options::default());
    assert_eq!((recovery.records, recovery.bytes_cut), (2, (group.len() - hole) as u64));
}

#[test]
fn a_segment_whose_creation_was_cut_short_is_created_again() {
    let dir = tempdir().unwrap();
    let records = numbered(20);
    written(dir.path(), small_segments(), &records);
    for left_behind in [&b""[..], b"PMLED", &[0; segment::HEADER_BYTES]] {
        fs::write(segment::path(dir.path(), 20), left_behind).unwrap();
        assert_eq!(read_all(dir.path()), records);
        let (ledger, recovery) = open(dir.path(), small_segments());
        assert_eq!((recovery.records, recovery.bytes_cut), (20, left_behind.len() as u64));
        ledger.close().unwrap();
    }
}

#[test]
fn segments_are_named_by_their_first_record() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), small_segments(), &numbered(30));
    let segments = segment::list(dir.path()).unwrap();
    assert!(segments.len() > 3, "{segments:?}");
    for position in positions {
        let expected = segments.iter().rfind(|&&first| first <= position.sequence);
        assert_eq!(Some(&position.segment), expected);
    }
}

#[test]
fn a_segment_holds_a_record_however_small_segments_are_set() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options { segment_bytes: 1, ..Options::default() }, &numbered(3));
    assert_eq!(segment::list(dir.path()).unwrap(), [0, 1, 2]);
    assert_eq!(read_all(dir.path()), numbered(3));
}

/// What a killed process leaves: the writer makes room ahead of the records, in zeros.
#[test]
fn zeros_after_the_last_record_are_its_end() {
    let dir = tempdir().unwrap();
    let records = numbered(20);
    written(dir.path(), small_segments(), &records);
    for first in segment::list(dir.path()).unwrap() {
        edit(dir.path(), first, |bytes| bytes.resize(bytes.len() + (1 << 20) + 7, 0));
    }
    assert_eq!(read_all(dir.path()), records);
    let (ledger, recovery) = open(dir.path(), small_segments());
    assert_eq!((recovery.records, recovery.bytes_cut), (20, 0));
    append_each(&ledger, &["after"]);
    ledger.close().unwrap();
    assert_eq!(read_all(dir.path()).len(), 21);
}

#[test]
fn a_closed_ledger_has_no_unused_room() {
    let dir = tempdir().unwrap();
    written(dir.path(), small_segments(), &numbered(20));
    for first in segment::list(dir.path()).unwrap() {
        let bytes = fs::read(segment::path(dir.path(), first)).unwrap();
        assert!(bytes.len() < 1024, "segment {first} has {} bytes", bytes.len());
    }
}

#[test]
fn opening_and_closing_writes_nothing() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options::default(), &["a"]);
    let before = fs::read(segment::path(dir.path(), 0)).unwrap();
    open(dir.path(), Options::default()).0.close().unwrap();
    assert_eq!(fs::read(segment::path(dir.path(), 0)).unwrap(), before);
}

#[test]
fn reading_says_the_positions_that_the_tickets_said() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), small_segments(), &numbered(30));
    let read: Vec<_> = read(dir.path()).unwrap().map(|item| item.unwrap().0).collect();
    assert_eq!(read, positions);
}

#[test]
fn dropping_the_last_clone_writes_what_is_queued() {
    let dir = tempdir().unwrap();
    let (ledger, _) = open(dir.path(), Options::default());
    let clone = ledger.clone();
    drop(ledger);
    let ticket = clone.append(&"queued").unwrap();
    drop(clone);
    assert_eq!(ticket.wait().unwrap().sequence, 0);
    assert_eq!(read_all(dir.path()), ["queued"]);
}
