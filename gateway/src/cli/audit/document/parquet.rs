//! A table as a Parquet file: texts as UTF-8, counts as INT64, amounts as DOUBLE, moments as timestamps in milliseconds; all of
//! them may be null.

use std::sync::Arc;

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::Result,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};

use super::{Cell, Table};

/// The bytes of the file.
pub(super) fn file(table: &Table) -> anyhow::Result<Vec<u8>> {
    Ok(written(table)?)
}

fn written(table: &Table) -> Result<Vec<u8>> {
    let kinds: Vec<Kind> = (0..table.columns.len()).map(|column| Kind::of(table, column)).collect();
    let fields = table.columns.iter().zip(&kinds).map(|(name, kind)| Ok(Arc::new(kind.field(name)?)));
    let schema = Type::group_type_builder(table.name).with_fields(fields.collect::<Result<_>>()?).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (column, kind) in kinds.iter().enumerate() {
        let cells = || table.rows.iter().map(|row| &row[column]);
        let levels: Vec<i16> = cells().map(|cell| i16::from(*cell != Cell::None)).collect();
        let Some(mut into) = group.next_column()? else { break };
        match kind {
            Kind::Text => {
                let there = cells().filter(|cell| **cell != Cell::None);
                let values: Vec<_> = there.map(|cell| ByteArray::from(cell.shown().into_bytes())).collect();
                into.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Count | Kind::Time => {
                let values: Vec<i64> = cells()
                    .filter_map(|cell| match cell {
                        Cell::Count(number) | Cell::Time(number) => Some(i64::try_from(*number).unwrap_or(i64::MAX)),
                        _ => None,
                    })
                    .collect();
                into.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Usd => {
                let usd = |cell: &Cell| if let Cell::Usd(usd) = cell { Some(*usd) } else { None };
                let values: Vec<f64> = cells().filter_map(usd).collect();
                into.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
        }
        into.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Count,
    Usd,
    Time,
}

impl Kind {
    /// That of all its cells; a column of several kinds is text.
    fn of(table: &Table, column: usize) -> Self {
        let mut kinds = table.rows.iter().filter_map(|row| match row[column] {
            Cell::None => None,
            Cell::Text(_) => Some(Self::Text),
            Cell::Count(_) => Some(Self::Count),
            Cell::Usd(_) => Some(Self::Usd),
            Cell::Time(_) => Some(Self::Time),
        });
        let first = kinds.next().unwrap_or(Self::Text);
        if kinds.all(|kind| kind == first) { first } else { Self::Text }
    }

    fn field(self, name: &str) -> Result<Type> {
        let (physical, logical) = match self {
            Self::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Count => (Physical::INT64, None),
            Self::Usd => (Physical::DOUBLE, None),
            Self::Time => (Physical::INT64, Some(LogicalType::timestamp(true, parquet::basic::TimeUnit::MILLIS))),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        record::RowAccessor as _,
    };

    use super::*;

    #[test]
    fn a_table_is_read_back_from_its_file_with_what_is_null() {
        let document = super::super::tests::document();
        let bytes = bytes::Bytes::from(file(&document.tables[0]).unwrap());
        let reader = SerializedFileReader::new(bytes).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].get_string(0).unwrap().as_str(), rows[0].get_long(1).unwrap()), ("=1+1", 3));
        assert!((rows[0].get_double(2).unwrap() - 0.5).abs() < 1e-12);
        assert!(rows[1].get_string(0).is_err(), "nothing is there");
    }
}
