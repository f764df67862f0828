//! Rows of cells as column chunks of a Parquet file: texts as UTF-8, counts as INT64, amounts as DOUBLE, moments as timestamps in
//! milliseconds, bytes as they are.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::Result,
    file::writer::SerializedFileWriter,
    record::Field,
    schema::types::Type,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Count,
    Number,
    Usd,
    Time,
    Bytes,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Whether every row has a value of it.
    pub(super) is_there: bool,
}

/// The schema of rows of these columns.
pub(super) fn schema<'a>(name: &str, columns: impl IntoIterator<Item = Column<'a>>) -> Result<Type> {
    let fields = columns.into_iter().map(|column| Ok(Arc::new(column.field()?)));
    Type::group_type_builder(name).with_fields(fields.collect::<Result<_>>()?).build()
}

/// Writes a group of rows; a cell that is not of its column's kind is left out of it.
pub(super) fn write_group<'a>(
    writer: &mut SerializedFileWriter<impl Write + Send>,
    columns: impl IntoIterator<Item = Column<'a>>,
    rows: &[impl AsRef<[Field]>],
) -> Result<()> {
    let mut group = writer.next_row_group()?;
    for (at, column) in columns.into_iter().enumerate() {
        let cells = || rows.iter().map(|row| &row.as_ref()[at]);
        let levels: Vec<i16> = cells().map(|cell| i16::from(*cell != Field::Null)).collect();
        let levels = (!column.is_there).then_some(&*levels);
        let Some(mut into) = group.next_column()? else { break };
        match column.kind {
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
            Kind::Number | Kind::Usd => {
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

impl Column<'_> {
    fn field(self) -> Result<Type> {
        let (physical, logical) = match self.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Count => (Physical::INT64, None),
            Kind::Number | Kind::Usd => (Physical::DOUBLE, None),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
            Kind::Bytes => (Physical::BYTE_ARRAY, None),
        };
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(if self.is_there { Repetition::REQUIRED } else { Repetition::OPTIONAL })
            .with_logical_type(logical)
            .build()
    }
}
