//! The columns of a file: what a table of requests is made of, and `record` with the bytes that were signed.
//!
//! Whoever writes and whoever checks take a record's cells from one function. Files have no statistics and no indexes of their pages:
//! those say which rows a reader may pass over, and nothing of them is signed.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::ByteArray,
    errors::Result,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    record::Field,
    schema::types::Type,
};

use super::super::columnar::{self, Column, Kind};
use crate::settle::row::Row;

/// A group of rows ends with the record that makes it so large, or that many.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_RECORDS: usize = 20_000;

/// How many columns there are.
pub(super) const COLUMNS: usize = 17;

/// The columns in order; the first and the last are never null.
const NAMES: [(&str, Kind); COLUMNS] = [
    ("number", Kind::Count),
    ("kind", Kind::Text),
    ("time", Kind::Time),
    ("request", Kind::Text),
    ("team", Kind::Text),
    ("key", Kind::Text),
    ("context", Kind::Text),
    ("model", Kind::Text),
    ("license", Kind::Text),
    ("tier", Kind::Count),
    ("verdict", Kind::Text),
    ("deployment", Kind::Text),
    ("status", Kind::Text),
    ("prompt_tokens", Kind::Count),
    ("completion_tokens", Kind::Count),
    ("cost_usd", Kind::Usd),
    ("record", Kind::Bytes),
];

/// The cells of a record.
pub(super) fn cells(number: u64, record: Vec<u8>) -> [Field; COLUMNS] {
    let row = Row::of(&record);
    let text = |text: Option<String>| text.map_or(Field::Null, Field::Str);
    let count = |count: Option<i64>| count.map_or(Field::Null, Field::Long);
    [
        Field::Long(i64::try_from(number).unwrap_or(i64::MAX)),
        text(row.kind),
        row.time.map_or(Field::Null, Field::TimestampMillis),
        text(row.request),
        text(row.team),
        text(row.key),
        text(row.context),
        text(row.model),
        text(row.license),
        count(row.tier.map(i64::from)),
        text(row.verdict),
        text(row.deployment),
        text(row.status),
        count(row.prompt_tokens),
        count(row.completion_tokens),
        row.cost_usd.map_or(Field::Null, Field::Double),
        Field::Bytes(ByteArray::from(record)),
    ]
}

/// The name of a column.
pub(super) fn name(column: usize) -> &'static str {
    NAMES[column].0
}

/// The schema of all files.
pub(super) fn schema() -> Result<Type> {
    columnar::schema("records", columns())
}

fn columns() -> impl Iterator<Item = Column<'static>> {
    // The first and the last.
    let is_there = |column| column == 0 || column == COLUMNS - 1;
    NAMES.into_iter().enumerate().map(move |(at, (name, kind))| Column { name, kind, is_there: is_there(at) })
}

/// Writes records, each with its cells, into a file with these entries of metadata.
///
/// # Errors
/// The file cannot be written, or a record not be read.
pub(super) fn write(
    out: impl Write + Send,
    entries: Vec<KeyValue>,
    records: impl Iterator<Item = anyhow::Result<[Field; COLUMNS]>>,
) -> anyhow::Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(entries));
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema()?), Arc::new(properties.build()))?;
    let (mut group, mut bytes) = (Vec::new(), 0);
    for cells in records {
        let cells = cells?;
        if let Field::Bytes(record) = &cells[COLUMNS - 1] {
            bytes += record.len();
        }
        group.push(cells);
        if group.len() >= GROUP_RECORDS || bytes >= GROUP_BYTES {
            columnar::write_group(&mut writer, columns(), &group)?;
            (group, bytes) = (Vec::new(), 0);
        }
    }
    if !group.is_empty() {
        columnar::write_group(&mut writer, columns(), &group)?;
    }
    writer.close()?;
    Ok(())
}
