//! A table as a Parquet file; all of its cells may be null.

use std::sync::Arc;

use parquet::{
    basic::Compression,
    errors::Result,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    record::Field,
};

use super::{
    super::columnar::{self, Column, Kind},
    Cell, Table,
};

/// The bytes of the file.
pub(super) fn file(table: &Table) -> anyhow::Result<Vec<u8>> {
    Ok(written(table)?)
}

fn written(table: &Table) -> Result<Vec<u8>> {
    let kinds: Vec<Kind> = (0..table.columns.len()).map(|column| kind_of(table, column)).collect();
    let columns = || table.columns.iter().zip(&kinds).map(|(name, kind)| Column { name, kind: *kind, is_there: false });
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut bytes = Vec::new();
    let schema = columnar::schema(table.name, columns())?;
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let fields = |row: &Vec<Cell>| row.iter().zip(&kinds).map(|(cell, kind)| field(cell, *kind)).collect::<Vec<_>>();
    columnar::write_group(&mut writer, columns(), &table.rows.iter().map(fields).collect::<Vec<_>>())?;
    writer.close()?;
    Ok(bytes)
}

/// What all cells of a column are; one of several kinds is text.
fn kind_of(table: &Table, column: usize) -> Kind {
    let mut kinds = table.rows.iter().filter_map(|row| match row[column] {
        Cell::None => None,
        Cell::Text(_) => Some(Kind::Text),
        Cell::Count(_) => Some(Kind::Count),
        Cell::Number(_) => Some(Kind::Number),
        Cell::Usd(_) => Some(Kind::Usd),
        Cell::Time(_) => Some(Kind::Time),
    });
    let first = kinds.next().unwrap_or(Kind::Text);
    if kinds.all(|kind| kind == first) { first } else { Kind::Text }
}

/// A cell in a column of this kind.
fn field(cell: &Cell, kind: Kind) -> Field {
    match (kind, cell) {
        (_, Cell::None) => Field::Null,
        (Kind::Text, cell) => Field::Str(cell.shown()),
        (_, Cell::Count(number) | Cell::Time(number)) => Field::Long(i64::try_from(*number).unwrap_or(i64::MAX)),
        (_, Cell::Number(number) | Cell::Usd(number)) => Field::Double(*number),
        (_, Cell::Text(text)) => Field::Str(text.clone()),
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
