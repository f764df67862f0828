//! Holds a file of records against the key of their log: the checkpoint is signed, the records lead to its root, and every other column
//! says what the record does. Nothing in a file is trusted, and nothing beside it is asked.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use audit::{
    note::{Keys, VerifierKey, notes},
    range, tree,
    verify::Verdict,
};
use parquet::{
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        reader::{FileReader as _, SerializedFileReader},
    },
    record::{Field, Row},
    schema::types::SchemaDescriptor,
};

use super::{
    claims::Claims,
    file::{self, COLUMNS},
};

/// What came of a file.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) path: PathBuf,
    /// [`Verdict::Ok`], `Altered` or `Unreadable`.
    pub(super) verdict: Verdict,
    /// What is wrong.
    pub(super) why: Option<String>,
    /// The first record and how many there are, where all is well.
    pub(super) run: Option<(u64, u64)>,
}

/// Why a file is not good.
#[derive(Debug)]
enum Wrong {
    Altered(String),
    Unreadable(String),
}

impl From<ParquetError> for Wrong {
    fn from(error: ParquetError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Checks a file.
pub(super) fn file(path: &Path, key: &VerifierKey) -> Checked {
    // The library has assertions that a damaged file may meet.
    let verified = catch_unwind(AssertUnwindSafe(|| verified(path, key)));
    let verified = verified.unwrap_or_else(|_| Err(Wrong::Unreadable("it is damaged".to_owned())));
    let (verdict, why, run) = match verified {
        Ok(run) => (Verdict::Ok, None, Some(run)),
        Err(Wrong::Altered(why)) => (Verdict::Altered, Some(why), None),
        Err(Wrong::Unreadable(why)) => (Verdict::Unreadable, Some(why), None),
    };
    Checked { path: path.to_owned(), verdict, why, run }
}

/// What the metadata of a file says.
///
/// # Errors
/// It is no file of records, or cannot be read.
pub(super) fn claims(path: &Path) -> anyhow::Result<Claims> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let entries = reader.metadata().file_metadata().key_value_metadata();
    Claims::of(entries.map_or(&[], Vec::as_slice)).map_err(anyhow::Error::msg)
}

fn verified(path: &Path, key: &VerifierKey) -> Result<(u64, u64), Wrong> {
    let opened = File::open(path).map_err(|error| Wrong::Unreadable(error.to_string()))?;
    let reader = SerializedFileReader::new(opened)?;
    let metadata = reader.metadata();
    let altered = |why: &str| Wrong::Altered(why.to_owned());
    let entries = metadata.file_metadata().key_value_metadata();
    let claims = Claims::of(entries.map_or(&[], Vec::as_slice)).map_err(Wrong::Altered)?;
    let Claims { first, count, .. } = claims;
    if claims.origin != key.name() {
        return Err(altered("it is of another log than the key"));
    }
    let (rotations, torn) = notes(&claims.keys);
    if torn {
        return Err(altered("its rotations of the log's key are not whole"));
    }
    let keys = Keys::follow(key, &rotations).map_err(Wrong::Altered)?;
    let checkpoint = keys.checkpoint(&claims.checkpoint);
    let checkpoint = checkpoint.ok_or_else(|| altered("its checkpoint was not signed by the key"))?;
    if first.checked_add(count).is_none_or(|end| end > checkpoint.size) {
        return Err(altered("its checkpoint is not over all its records"));
    }
    if !is_plain(metadata)? {
        return Err(altered(
            "its columns are not those of an export, or it has statistics, by which rows may be passed over",
        ));
    }
    let rows = metadata.file_metadata().num_rows();
    if count == 0 || u64::try_from(rows).ok() != Some(count) {
        return Err(Wrong::Altered(format!("it says that it has {count} records, and has {rows} rows")));
    }
    let mut leaves = Vec::new();
    for (number, row) in (first..).zip(reader.get_row_iter(None)?) {
        leaves.push(leaf(number, &row?)?);
        if leaves.len() as u64 > count {
            break;
        }
    }
    let root = range::root(&leaves, first, checkpoint.size, &claims.around);
    match leaves.len() as u64 == count && root == Some(checkpoint.root) {
        true => Ok((first, count)),
        false => Err(altered("its records are not those that were signed")),
    }
}

/// The leaf of a row whose columns say what its record does.
fn leaf(number: u64, row: &Row) -> Result<tree::Hash, Wrong> {
    let found: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
    let Some(Field::Bytes(record)) = found.get(COLUMNS - 1) else {
        return Err(Wrong::Altered(format!("record {number} is not there")));
    };
    let cells = file::cells(number, record.data().to_vec());
    match cells.iter().zip(found).position(|(should, is)| should != is) {
        None => Ok(tree::leaf(record.data())),
        Some(column) => {
            let name = file::name(column);
            Err(Wrong::Altered(format!("`{name}` of record {number} is not what the record says")))
        }
    }
}

/// Whether a file has the columns of an export, and nothing by which a reader would pass over rows.
fn is_plain(metadata: &ParquetMetaData) -> Result<bool, Wrong> {
    let ours = SchemaDescriptor::new(Arc::new(file::schema()?));
    let theirs = metadata.file_metadata().schema_descr();
    let same = ours.columns().iter().zip(theirs.columns()).all(|(ours, theirs)| {
        ours.path() == theirs.path()
            && ours.physical_type() == theirs.physical_type()
            && ours.converted_type() == theirs.converted_type()
            && ours.logical_type_ref() == theirs.logical_type_ref()
            && ours.max_def_level() == theirs.max_def_level()
            && ours.max_rep_level() == theirs.max_rep_level()
    });
    let is_plain = |column: &ColumnChunkMetaData| {
        column.statistics().is_none()
            && column.bloom_filter_offset().is_none()
            && column.column_index_offset().is_none()
            && column.offset_index_offset().is_none()
    };
    let are_plain =
        |group: &RowGroupMetaData| group.sorting_columns().is_none() && group.columns().iter().all(is_plain);
    Ok(same && ours.num_columns() == theirs.num_columns() && metadata.row_groups().iter().all(are_plain))
}
