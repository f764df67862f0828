//! What no crash leaves behind is refused, with the place where it is.

use std::fs;

use proptest::prelude::*;
use tempfile::tempdir;

use super::{edit, newest, numbered, open, read_all, small_segments, written};
use crate::{Damage, Ledger, OpenError, Options, ReadError, frame, read, segment};

fn open_damage(dir: &std::path::Path) -> Damage {
    match Ledger::open(dir, Options::default()) {
        Err(OpenError::Damaged(damage)) => damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

fn read_damage(dir: &std::path::Path) -> Damage {
    match read(dir).and_then(|mut records| records.find_map(Result::err).map_or(Ok(()), Err)) {
        Err(ReadError::Damaged(damage)) => damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The last record included: the mark that the writer leaves when it runs out of work vouches for it.
    #[test]
    fn a_flipped_bit_in_any_durable_record_refuses_to_open_and_to_read(
        count in 1..8usize,
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let dir = tempdir().unwrap();
        let positions = written(dir.path(), Options::default(), &numbered(count));
        let start = segment::HEADER_BYTES;
        let end = fs::metadata(segment::path(dir.path(), 0)).unwrap().len() as usize - frame::HEADER_BYTES;
        let place = start + place.index(end - start);
        edit(dir.path(), 0, |bytes| bytes[place] ^= 1 << bit);

        let offset_of = |damage| match damage {
            Damage::Record { offset, .. } => offset,
            other => panic!("{other:?}"),
        };
        let offset = offset_of(open_damage(dir.path()));
        // The broken frame is the record at the place, or a mark before the record that follows.
        let record = positions.iter().rfind(|position| position.offset <= offset).map_or(0, |found| found.offset);
        prop_assert!(record <= offset && offset <= place as u64, "{record} {offset} {place}");
        prop_assert_eq!(offset_of(read_damage(dir.path())), offset);
    }
}

#[test]
fn damage_names_the_record_the_file_and_the_offset() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), Options::default(), &numbered(5));
    edit(dir.path(), 0, |bytes| bytes[positions[2].offset as usize + frame::HEADER_BYTES + 3] = b'X');
    let path = segment::path(dir.path(), 0);
    let expected = Damage::Record { sequence: 2, path: path.clone(), offset: positions[2].offset };
    let found = open_damage(dir.path());
    assert_eq!(found, expected);
    let message = found.to_string();
    assert!(message.starts_with("record 2 is damaged: `"), "{message}");
    assert!(message.contains(&format!("{}` is broken at byte {}", path.display(), positions[2].offset)), "{message}");
    assert_eq!(read_damage(dir.path()), expected);
}

#[test]
fn the_records_before_the_damage_can_still_be_read() {
    let dir = tempdir().unwrap();
    let records = numbered(5);
    let positions = written(dir.path(), Options::default(), &records);
    edit(dir.path(), 0, |bytes| bytes[positions[2].offset as usize] ^= 0x10);
    let mut reader = read(dir.path()).unwrap();
    let bytes: Vec<_> = reader.by_ref().take(2).map(|item| item.unwrap().1).collect();
    assert_eq!(bytes, [b"\"record 0\"", b"\"record 1\""]);
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none(), "nothing after an error");
}

#[test]
fn damage_in_an_older_segment_is_found_by_reading() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), small_segments(), &numbered(30));
    let old = positions.iter().find(|position| position.segment > 0).unwrap();
    assert_ne!(old.segment, newest(dir.path()));
    edit(dir.path(), old.segment, |bytes| bytes[old.offset as usize + frame::HEADER_BYTES] ^= 1);
    let path = segment::path(dir.path(), old.segment);
    assert_eq!(read_damage(dir.path()), Damage::Record { sequence: old.sequence, path, offset: old.offset });
}

#[test]
fn durable_records_that_became_zeros_are_damage_and_no_end() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), Options::default(), &numbered(5));
    edit(dir.path(), 0, |bytes| bytes[positions[3].offset as usize..positions[4].offset as usize].fill(0));
    assert!(matches!(open_damage(dir.path()), Damage::Record { sequence: 3, .. }));
    assert!(matches!(read_damage(dir.path()), Damage::Record { sequence: 3, .. }));
}

#[test]
fn a_record_taken_out_whole_is_noticed() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), Options::default(), &numbered(5));
    edit(dir.path(), 0, |bytes| drop(bytes.drain(positions[1].offset as usize..positions[2].offset as usize)));
    assert!(matches!(open_damage(dir.path()), Damage::Record { sequence: 1, .. }));
}

#[test]
fn a_record_put_in_twice_is_noticed() {
    let dir = tempdir().unwrap();
    let positions = written(dir.path(), Options::default(), &numbered(5));
    edit(dir.path(), 0, |bytes| {
        let twice = bytes[positions[4].offset as usize..].to_vec();
        bytes.extend_from_slice(&twice);
    });
    assert!(matches!(open_damage(dir.path()), Damage::Record { sequence: 5, .. }));
}

#[test]
fn a_segment_cut_short_though_a_later_one_exists_is_damage() {
    let dir = tempdir().unwrap();
    written(dir.path(), small_segments(), &numbered(30));
    let second = segment::list(dir.path()).unwrap()[1];
    edit(dir.path(), 0, |bytes| bytes.truncate(bytes.len() - 60));
    let Damage::Missing { sequence, .. } = read_damage(dir.path()) else { panic!("expected missing records") };
    assert!(sequence < second);
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempdir().unwrap();
    written(dir.path(), small_segments(), &numbered(30));
    let second = segment::list(dir.path()).unwrap()[1];
    let expected = |sequence| Damage::Missing { sequence, path: segment::path(dir.path(), sequence) };
    fs::remove_file(segment::path(dir.path(), second)).unwrap();
    assert_eq!(read_damage(dir.path()), expected(second));
    fs::remove_file(segment::path(dir.path(), 0)).unwrap();
    assert_eq!(read_damage(dir.path()), expected(0));
    assert_eq!(open_damage(dir.path()), expected(0));
}

#[test]
fn a_file_that_is_no_segment_is_refused() {
    let dir = tempdir().unwrap();
    let path = segment::path(dir.path(), 0);
    fs::write(&path, "this is someone's text file, not a ledger").unwrap();
    assert_eq!(open_damage(dir.path()), Damage::Header { path: path.clone() });
    assert_eq!(read_damage(dir.path()), Damage::Header { path });
}

#[test]
fn a_segment_of_another_version_is_refused_by_its_version() {
    let dir = tempdir().unwrap();
    written(dir.path(), Options::default(), &numbered(1));
    edit(dir.path(), 0, |bytes| bytes[8] = 9);
    assert!(matches!(open_damage(dir.path()), Damage::Version { version: 9, .. }));
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let dir = tempdir().unwrap();
    for name in ["notes.txt", "1.log", "00000000000000000007.log.bak"] {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    written(dir.path(), Options::default(), &["a"]);
    assert_eq!(read_all(dir.path()), ["a"]);
    assert_eq!(fs::read(dir.path().join("1.log")).unwrap(), b"mine");
    assert_eq!(open(dir.path(), Options::default()).1.segments, 1);
}
