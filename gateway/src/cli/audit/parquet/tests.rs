//! Files that are good, and files that somebody wrote anew with something changed in them.

use std::fs::File;

use ledger::{Ledger, Options};
use parquet::{
    data_type::ByteArray,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::Field,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;

use super::{
    super::join::tests::{decision, outcome},
    *,
};

/// A ledger of several segments with a checkpoint after each of its runs, and its key.
fn made(records: u64) -> (TempDir, VerifierKey) {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { segment_bytes: 20_000, ..Options::default() };
    let mut key = None;
    for run in 0..4 {
        let (ledger, _) = Ledger::open(folder.path(), options()).unwrap();
        for nth in run * records / 4..(run + 1) * records / 4 {
            let id = nth.to_string();
            let record = match nth % 4 {
                0 | 1 => decision(&id, nth, "serve"),
                2 => outcome(&id, "completed"),
                _ => json!({"v": 1, "kind": "heartbeat", "time": nth, "instance": "run_\u{0}", "up_ms": 3}),
            };
            ledger.append(&record).unwrap().wait().unwrap();
        }
        key = ledger.verifier_key().map(str::to_owned);
        ledger.close().unwrap();
    }
    (folder, key.unwrap().parse().unwrap())
}

/// The good files of a ledger.
fn exported(ledger: &TempDir, key: &VerifierKey) -> (TempDir, Vec<PathBuf>) {
    let into = tempfile::tempdir().unwrap();
    let exported = export::export(ledger.path(), key, into.path()).unwrap();
    (into, exported.files.into_iter().map(|file| file.path).collect())
}

/// What is in a file: its metadata and its rows.
fn read(path: &std::path::Path) -> (Vec<KeyValue>, Vec<[Field; file::COLUMNS]>) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let fields: Vec<Field> = row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect();
        fields.try_into().unwrap()
    });
    (entries, rows.collect())
}

fn verdict(entries: Vec<KeyValue>, rows: Vec<[Field; file::COLUMNS]>, key: &VerifierKey) -> (Verdict, Option<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    file::write(file.reopen().unwrap(), entries, rows.into_iter().map(Ok)).unwrap();
    let checked = check::file(file.path(), key);
    (checked.verdict, checked.why)
}

#[test]
fn every_sealed_segment_becomes_a_file_that_holds_alone_and_the_one_that_is_written_to_is_left_out() {
    let (ledger, key) = made(600);
    let into = tempfile::tempdir().unwrap();
    let exported = export::export(ledger.path(), &key, into.path()).unwrap();
    let segments = ledger::segments(ledger.path()).unwrap();
    assert!(segments.len() > 4, "{}", segments.len());
    assert_eq!(exported.files.len(), segments.len() - 1);
    let newest = segments.last().unwrap().first;
    assert_eq!(exported.left_out, [(newest, "it is still written to")]);
    let mut next = 0;
    for file in &exported.files {
        assert_eq!((file.first, file.state), (next, State::Written));
        assert_eq!(file.path, into.path().join(format!("{next:020}.parquet")));
        let checked = check::file(&file.path, &key);
        assert_eq!((checked.verdict, checked.run), (Verdict::Ok, Some((file.first, file.count))), "{checked:?}");
        next += file.count;
    }
    assert_eq!(next, newest);
    // The records are there as they were written.
    let records: Vec<Vec<u8>> = ledger::read(ledger.path()).unwrap().map(|record| record.unwrap().1).collect();
    let in_files = exported.files.iter().flat_map(|file| read(&file.path).1);
    let in_files = in_files.map(|row| match &row[file::COLUMNS - 1] {
        Field::Bytes(record) => record.data().to_vec(),
        other => panic!("{other:?}"),
    });
    assert_eq!(in_files.collect::<Vec<_>>(), records[..next as usize]);
    let bytes: Vec<_> = exported.files.iter().map(|file| std::fs::read(&file.path).unwrap()).collect();
    let again = export::export(ledger.path(), &key, into.path()).unwrap();
    assert!(again.files.iter().all(|file| file.state == State::Kept));
    let (_elsewhere, paths) = self::exported(&ledger, &key);
    let elsewhere: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(elsewhere == bytes, "a later export writes the same files");
}

#[test]
fn a_file_of_another_log_is_not_taken_for_one_of_this() {
    let ((ledger, key), (other, other_key)) = (made(200), made(200));
    let (into, paths) = exported(&ledger, &key);
    let refused = export::export(other.path(), &other_key, into.path()).unwrap_err().to_string();
    assert!(refused.contains("has other records"), "{refused}");
    assert_eq!(check::file(&paths[0], &other_key).verdict, Verdict::Altered);
    let nothing = into.path().join("none.parquet");
    assert_eq!(check::file(&nothing, &key).verdict, Verdict::Unreadable);
    std::fs::write(&nothing, "PAR1 is not all of it").unwrap();
    assert_eq!(check::file(&nothing, &key).verdict, Verdict::Unreadable);
}

#[test]
fn a_ledger_that_is_not_what_was_signed_is_not_exported() {
    let (ledger, key) = made(200);
    let segment = ledger.path().join(format!("{:020}.log", 0));
    let whole = std::fs::read(&segment).unwrap();
    let at = whole.windows(9).position(|bytes| bytes == b"\"support\"").unwrap();
    let mut changed = whole.clone();
    changed[at + 1] = b'S';
    // The sum of the first frame is made right again, as by somebody who knows the format.
    let length = u32::from_le_bytes(whole[24..28].try_into().unwrap()) as usize;
    let mut sum = crc_32(&[&changed[24..28], &changed[32..40 + length]]);
    changed[28..32].swap_with_slice(&mut sum);
    std::fs::write(&segment, changed).unwrap();
    let into = tempfile::tempdir().unwrap();
    let refused = export::export(ledger.path(), &key, into.path()).unwrap_err().to_string();
    assert!(refused.contains("not those that were signed"), "{refused}");
    assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
}

/// CRC-32 as zip has it.
fn crc_32(parts: &[&[u8]]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in parts.concat() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    (!crc).to_le_bytes()
}

#[test]
fn a_log_whose_key_was_rotated_holds_by_any_of_its_keys() {
    let (ledger, old) = made(200);
    let new: VerifierKey = ledger::rotate_key(ledger.path()).unwrap().new.parse().unwrap();
    let (again, _) = Ledger::open(ledger.path(), Options { segment_bytes: 20_000, ..Options::default() }).unwrap();
    for nth in 0..100 {
        again.append(&decision(&nth.to_string(), nth, "serve")).unwrap().wait().unwrap();
    }
    again.close().unwrap();
    let (_into, paths) = exported(&ledger, &new);
    for path in [&paths[0], paths.last().unwrap()] {
        for key in [&old, &new] {
            let checked = check::file(path, key);
            assert_eq!(checked.verdict, Verdict::Ok, "{checked:?}");
        }
        let (mut entries, rows) = read(path);
        entries[5].value = Some(String::new());
        // Without the rotations only the key that signed it is good.
        let good = [&old, &new].map(|key| verdict(entries.clone(), rows.clone(), key).0 == Verdict::Ok);
        assert_eq!(good.iter().filter(|good| **good).count(), 1, "{good:?}");
    }
}

/// Another value of the same column.
fn another(field: &Field, random: &mut StdRng) -> Field {
    match field {
        Field::Null => Field::Null,
        Field::Long(number) => Field::Long(number.wrapping_add(random.random_range(1..1_000))),
        Field::TimestampMillis(time) => Field::TimestampMillis(time.wrapping_add(random.random_range(1..1_000))),
        Field::Double(usd) => Field::Double(usd + random.random_range(0.1..9.0)),
        Field::Str(text) => Field::Str(format!("{text}x")),
        Field::Bytes(bytes) => {
            let mut bytes = bytes.data().to_vec();
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..7);
            Field::Bytes(ByteArray::from(bytes))
        }
        other => panic!("no column has {other:?}"),
    }
}

/// A value where there was none.
fn some(column: usize) -> Field {
    match file::name(column) {
        "time" => Field::TimestampMillis(7),
        "tier" | "prompt_tokens" | "completion_tokens" => Field::Long(7),
        "cost_usd" => Field::Double(0.5),
        _ => Field::Str("desk".to_owned()),
    }
}

/// Changes something of a file; what.
fn tamper(
    kind: usize,
    (entries, rows): (&mut Vec<KeyValue>, &mut Vec<[Field; file::COLUMNS]>),
    random: &mut StdRng,
) -> &'static str {
    let at = random.random_range(0..rows.len());
    let value = |entries: &mut Vec<KeyValue>, at: usize, change: &mut dyn FnMut(&str) -> String| {
        let text = entries[at].value.clone().unwrap();
        entries[at].value = Some(change(&text));
    };
    match kind {
        0 => {
            let columns: Vec<usize> = (0..file::COLUMNS).filter(|column| rows[at][*column] != Field::Null).collect();
            let column = columns[random.random_range(0..columns.len())];
            rows[at][column] = another(&rows[at][column], random);
            "a cell is another"
        }
        1 => {
            let optional: Vec<usize> = (1..file::COLUMNS - 1).collect();
            let column = optional[random.random_range(0..optional.len())];
            let is_null = rows[at][column] == Field::Null;
            rows[at][column] = if is_null { some(column) } else { Field::Null };
            "a cell is null, or not any more"
        }
        2 => {
            rows.remove(at);
            "a row is gone"
        }
        3 => {
            let again = rows[at].clone();
            rows.insert(at, again);
            "a row is there twice"
        }
        4 => {
            let other = (at + 1) % rows.len();
            rows.swap(at, other);
            "two rows changed places"
        }
        5 => {
            // By somebody who makes the columns right again, and the count.
            let Field::Bytes(record) = another(&rows[at][file::COLUMNS - 1], random) else { unreachable!() };
            let Field::Long(number) = rows[at][0] else { unreachable!() };
            rows[at] = file::cells(number as u64, record.data().to_vec());
            "a record is another, and its columns say so"
        }
        6 => {
            rows.remove(at);
            for row in rows.iter_mut().skip(at) {
                let Field::Bytes(record) = row[file::COLUMNS - 1].clone() else { unreachable!() };
                let Field::Long(first) = row[0] else { unreachable!() };
                *row = file::cells((first - 1) as u64, record.data().to_vec());
            }
            value(entries, 3, &mut |count| (count.parse::<u64>().unwrap() - 1).to_string());
            "a record is gone, and all numbers are right again"
        }
        7 => {
            let entry = random.random_range(0..5);
            value(entries, entry, &mut |text| {
                let mut bytes = text.as_bytes().to_vec();
                let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_alphanumeric()).collect();
                let place = places[random.random_range(0..places.len())];
                bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
                String::from_utf8(bytes).unwrap()
            });
            "a character of the metadata is another"
        }
        8 => {
            let side = 6 + random.random_range(0..2);
            value(entries, side, &mut |text| {
                let mut lines: Vec<&str> = text.lines().collect();
                match lines.pop() {
                    Some(_) => lines.iter().map(|line| format!("{line}\n")).collect(),
                    None => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_owned(),
                }
            });
            "a hash beside is gone, or more"
        }
        9 => {
            let side = if entries[6].value.as_deref() == Some("") { 7 } else { 6 };
            value(entries, side, &mut |text| {
                let lines = text.lines().count();
                let nth = random.random_range(0..lines.max(1));
                let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
                let line = |(at, line): (usize, &str)| format!("{}\n", if at == nth { other } else { line });
                match lines {
                    0 => format!("{other}\n"),
                    _ => text.lines().enumerate().map(line).collect(),
                }
            });
            "a hash beside is another"
        }
        10 => {
            let entry = random.random_range(0..entries.len());
            entries.remove(entry);
            "an entry of the metadata is gone"
        }
        _ => {
            let entry = entries[random.random_range(0..entries.len())].clone();
            let name = if random.random() { entry.key.clone() } else { format!("{}.more", entry.key) };
            entries.push(KeyValue { key: name, ..entry });
            "an entry of the metadata is more"
        }
    }
}

#[test]
fn of_hundreds_of_files_that_were_written_anew_with_something_changed_every_one_is_found() {
    const KINDS: usize = 12;
    let (ledger, key) = made(300);
    let (_into, paths) = exported(&ledger, &key);
    let files: Vec<_> = paths.iter().map(|path| read(path)).collect();
    for (entries, rows) in &files {
        let (verdict, why) = verdict(entries.clone(), rows.clone(), &key);
        assert_eq!(verdict, Verdict::Ok, "written anew with nothing changed: {why:?}");
    }
    let mut random = StdRng::seed_from_u64(1_962);
    for nth in 0..50 * KINDS {
        let (mut entries, mut rows) = files[random.random_range(0..files.len())].clone();
        let what = tamper(nth % KINDS, (&mut entries, &mut rows), &mut random);
        let (verdict, why) = verdict(entries, rows, &key);
        assert_eq!(verdict, Verdict::Altered, "{nth}: {what}: {why:?}");
        assert!(why.is_some_and(|why| !why.is_empty()));
    }
}

#[test]
fn a_file_by_whose_statistics_rows_may_be_passed_over_or_with_other_columns_is_not_good() {
    let (ledger, key) = made(200);
    let (_into, paths) = exported(&ledger, &key);
    let (entries, rows) = read(&paths[0]);
    // The same columns without values: what is held is what the footer says.
    let footer = |schema: parquet::schema::types::Type| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(entries.clone())).build();
        let writer = SerializedFileWriter::new(file.reopen().unwrap(), schema.into(), properties.into());
        let mut writer = writer.unwrap();
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            use parquet::{column::writer::ColumnWriter, data_type::ByteArray};
            match column.untyped() {
                ColumnWriter::ByteArrayColumnWriter(column) => {
                    let is_there = column.get_descriptor().max_def_level() == 0;
                    let (values, levels) = (vec![ByteArray::from("x"); rows.len()], vec![1; rows.len()]);
                    column.write_batch(&values, (!is_there).then_some(&*levels), None).unwrap();
                }
                ColumnWriter::Int64ColumnWriter(column) => {
                    let is_there = column.get_descriptor().max_def_level() == 0;
                    let (values, levels) = (vec![1; rows.len()], vec![1; rows.len()]);
                    column.write_batch(&values, (!is_there).then_some(&*levels), None).unwrap();
                }
                ColumnWriter::DoubleColumnWriter(column) => {
                    column.write_batch(&vec![0.5; rows.len()], Some(&vec![1; rows.len()]), None).unwrap();
                }
                _ => panic!("no column is of that type"),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        check::file(file.path(), &key)
    };
    let with_statistics = footer(file::schema().unwrap());
    assert_eq!(with_statistics.verdict, Verdict::Altered);
    assert!(with_statistics.why.unwrap().contains("statistics"));
    let fields = file::schema().unwrap().get_fields()[1..].to_vec();
    let fewer = parquet::schema::types::Type::group_type_builder("records").with_fields(fields).build().unwrap();
    assert!(footer(fewer).why.unwrap().contains("its columns are not those of an export"));
}
