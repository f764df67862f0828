//! The columns of a file: what a table of requests is made of, and `record` with the bytes that were signed.
//!
//! Whoever writes and whoever checks take a record's cells from one function. Files have no statistics and no indexes of their pages:
//! those say which rows a reader may pass over, and nothing of them is signed.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::Result,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    record::Field,
    schema::types::Type,
};

use crate::settle::row::Row;

/// A group of rows ends with the record that makes it so large, or that many.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_RECORDS: usize = 20_000;

/// How many columns there are.
pub(super) const COLUMNS: usize = 17;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Count,
    Usd,
    Time,
    Bytes,
}

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
    let fields = NAMES.iter().enumerate().map(|(at, (name, kind))| Ok(Arc::new(kind.field(name, is_there(at))?)));
    Type::group_type_builder("records").with_fields(fields.collect::<Result<_>>()?).build()
}

/// Whether a column has a value of every record.
fn is_there(column: usize) -> bool {
    column == 0 || column == COLUMNS - 1
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
            write_group(&mut writer, &group)?;
            (group, bytes) = (Vec::new(), 0);
        }
    }
    if !group.is_empty() {
        write_group(&mut writer, &group)?;
    }
    writer.close()?;
    Ok(())
}

fn write_group(writer: &mut SerializedFileWriter<impl Write + Send>, rows: &[[Field; COLUMNS]]) -> Result<()> {
    let mut group = writer.next_row_group()?;
    for (at, (_, kind)) in NAMES.iter().enumerate() {
        let cells = || rows.iter().map(|row| &row[at]);
        let levels: Vec<i16> = cells().map(|cell| i16::from(*cell != Field::Null)).collect();
        let levels = (!is_there(at)).then_some(&*levels);
        let Some(mut into) = group.next_column()? else { break };
        match kind {
            Kind::Text | Kind::Bytes => {
                let values: Vec<_> = cells()
                    .filter_map(|cell| match cell {
                        Field::Str(text) => Some(ByteArray::from(text.as_bytes().to_vec())),
                        Field::Bytes(bytes) => Some(bytes.clone()),
                        _ => None,
                    })
                    .collect();
                into.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
            }
            Kind::Count | Kind::Time => {
                let values: Vec<i64> = cells()
                    .filter_map(|cell| match cell {
                        Field::Long(number) | Field::TimestampMillis(number) => Some(*number),
                        _ => None,
                    })
                    .collect();
                into.typed::<Int64Type>().write_batch(&values, levels, None)?;
            }
            Kind::Usd => {
                let usd = |cell: &Field| if let Field::Double(usd) = cell { Some(*usd) } else { None };
                let values: Vec<f64> = cells().filter_map(usd).collect();
                into.typed::<DoubleType>().write_batch(&values, levels, None)?;
            }
        }
        into.close()?;
    }
    group.close()?;
    Ok(())
}

impl Kind {
    fn field(self, name: &str, is_there: bool) -> Result<Type> {
        let (physical, logical) = match self {
            Self::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Count => (Physical::INT64, None),
            Self::Usd => (Physical::DOUBLE, None),
            Self::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
            Self::Bytes => (Physical::BYTE_ARRAY, None),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(if is_there { Repetition::REQUIRED } else { Repetition::OPTIONAL })
            .with_logical_type(logical)
            .build()
    }
}
