//! Reads GGUF, the file format of quantised models: metadata and tensors, versions 2 and 3.
//!
//! A file is untrusted. [`File`] exists only after every count, length, offset, dimension and nesting was
//! checked, names are unique, and no two tensors share a byte; reading one costs memory in proportion to
//! its head, never to a number written in it. Weights stay where they are, mapped or built in.
//! Knows the container only: which tensors and keys a model needs is for engines and `crate::tokenizer` to say.

mod error;
mod kind;
mod read;
mod value;
#[cfg(any(test, feature = "generate"))]
mod write;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, path::Path};

use bytes::Bytes;

pub use error::Error;
pub use kind::TensorType;
pub use value::{Array, FromValue, Value, ValueType};
#[cfg(any(test, feature = "generate"))]
pub use write::{Header, Meta, padding};

use read::Cursor;

/// Where tensor data starts is a multiple of this if the file does not say otherwise.
const DEFAULT_ALIGNMENT: u32 = 32;
/// No file needs more; a huge one would only make sums overflow.
const MAX_ALIGNMENT: u32 = 1 << 20;
/// What the names of parts can count is more; a real model has far fewer.
const MAX_PARTS: u64 = 999;
/// The format's own limit.
const MAX_DIMS: u32 = 4;

/// A GGUF file whose structure has been checked.
pub struct File {
    bytes: Bytes,
    /// Where the data of tensors begins.
    data: usize,
    version: u32,
    metadata: HashMap<String, Value>,
    tensors: Vec<Info>,
    by_name: HashMap<String, usize>,
}

/// Where a tensor lies.
struct Info {
    name: String,
    kind: TensorType,
    dims: Vec<u64>,
    /// Absolute, inside the file.
    start: usize,
    end: usize,
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its elements are stored.
    pub kind: TensorType,
    /// One to four dimensions, none zero; the first is the length of a row, a whole number of blocks.
    pub dims: &'a [u64],
    /// Its bytes: exactly as many as kind and dimensions need. Shared, so it may outlive the [`File`].
    pub data: Bytes,
}

impl TensorView<'_> {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.dims.iter().product() // checked when the file was read
    }

    /// Whether it has no elements; never true of a tensor in a file.
    pub fn is_empty(&self) -> bool {
        self.dims.is_empty()
    }
}

impl File {
    /// Maps a file and checks it.
    ///
    /// The file must not be changed or cut while it is in use: replace a model by renaming another over it.
    ///
    /// # Errors
    /// When it cannot be opened, or is no valid GGUF.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("not a regular file")));
        }
        #[allow(unsafe_code, reason = "the one map of weights")]
        // SAFETY: the map is private and only ever read. Rust cannot see another process writing to the file;
        // that is excluded by the contract above, as for every program that maps its model.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
        Self::read(Bytes::from_owner(map))
    }

    /// The parts of a model behind this one, its first, that lie beside it by their names (`...-00001-of-00003.gguf`). Of one
    /// that is missing or damaged whoever loads it tells.
    pub fn parts_behind(&self, path: &Path) -> Vec<Self> {
        let count = self.get::<u64>("split.count").ok().flatten().unwrap_or(1).min(MAX_PARTS);
        let name = path.to_str().unwrap_or_default();
        let part = |number: u64| name.replace("-00001-of-", &format!("-{number:05}-of-"));
        (2..=count).map(part).filter(|part| part != name).filter_map(|part| Self::open(Path::new(&part)).ok()).collect()
    }

    /// Checks a file that is built into the program.
    ///
    /// # Errors
    /// When it is no valid GGUF.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, Error> {
        Self::read(Bytes::from_static(bytes))
    }

    /// Checks a file that lies in memory.
    ///
    /// # Errors
    /// When it is no valid GGUF.
    pub fn read(bytes: Bytes) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&bytes);
        let head = cursor.head()?;
        let alignment = alignment(&head.metadata)?;
        let mut tensors = Vec::new();
        let mut by_name = HashMap::new();
        for index in 0..head.tensors as usize {
            let at = cursor.offset();
            let info = info(&mut cursor, alignment)?;
            if by_name.insert(info.name.clone(), index).is_some() {
                let reason = format!("tensor `{}` stands there twice", info.name.escape_debug());
                return Err(Error::Malformed { offset: at, reason });
            }
            tensors.push(info);
        }
        let data = cursor.offset().next_multiple_of(alignment);
        place(&mut tensors, data, bytes.len() as u64)?;
        let data = usize::try_from(data).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Self { version: head.version, metadata: head.metadata, tensors, by_name, data, bytes })
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What stands before the data of tensors: metadata, and which tensors lie where.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.data]
    }

    /// What stands behind the head.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.data..]
    }

    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The value of a metadata key as a type, or `None` where the file does not have the key.
    ///
    /// # Errors
    /// When it is there and is of another type.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        T::from_value(value).map(Some).ok_or_else(|| wrong(key, T::EXPECTED, value.type_name()))
    }

    /// The value of a metadata key as a type.
    ///
    /// # Errors
    /// When it is not there or of another type.
    pub fn require<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, Error> {
        self.get(key)?.ok_or_else(|| Error::MissingKey { key: key.to_owned() })
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.by_name.get(name).map(|&index| self.view(&self.tensors[index]))
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|info| self.view(info))
    }

    fn view<'a>(&'a self, info: &'a Info) -> TensorView<'a> {
        let data = self.bytes.slice(info.start..info.end);
        TensorView { name: &info.name, kind: info.kind, dims: &info.dims, data }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GGUF v{}, {} keys, {} tensors", self.version, self.metadata.len(), self.tensors.len())
    }
}

/// An error about a metadata value, for readers of single keys.
pub(crate) fn wrong(key: &str, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::WrongValue { key: key.to_owned(), expected: expected.into(), found: found.into() }
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u64, Error> {
    const KEY: &str = "general.alignment";
    const EXPECTED: &str = "a power of two from 8 to 1048576";
    let Some(value) = metadata.get(KEY) else { return Ok(DEFAULT_ALIGNMENT.into()) };
    match u32::from_value(value) {
        Some(v) if v.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&v) => Ok(v.into()),
        Some(v) => Err(wrong(KEY, EXPECTED, v.to_string())),
        None => Err(wrong(KEY, EXPECTED, value.type_name())),
    }
}

/// Reads one tensor info. Its place is still relative to the start of the data.
fn info(cursor: &mut Cursor<'_>, alignment: u64) -> Result<Info, Error> {
    let at = cursor.offset();
    let name = cursor.name("a tensor name")?;
    let shown = name.escape_debug();
    let fail = |reason: String| Err(Error::Malformed { offset: at, reason: format!("tensor `{shown}`: {reason}") });
    let count = cursor.u32("the number of dimensions")?;
    if !(1..=MAX_DIMS).contains(&count) {
        return fail(format!("{count} dimensions, expected 1 to {MAX_DIMS}"));
    }
    let mut dims = Vec::with_capacity(count as usize);
    for _ in 0..count {
        dims.push(cursor.u64("a dimension")?);
    }
    let id = cursor.u32("a tensor type")?;
    let offset = cursor.u64("a tensor offset")?;
    let Some(kind) = TensorType::from_id(id) else {
        return fail(format!("unknown element type {id}"));
    };
    if dims.contains(&0) {
        return fail(format!("a dimension of zero in {dims:?}"));
    }
    if !dims[0].is_multiple_of(kind.block_len() as u64) {
        return fail(format!("rows of {} elements, and {kind} packs them by {}", dims[0], kind.block_len()));
    }
    // The product of all dimensions is checked too, so that whoever multiplies them later cannot overflow.
    let elements = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let rows = dims[1..].iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let bytes = kind.row_bytes(dims[0]).zip(rows).and_then(|(row, rows)| row.checked_mul(rows));
    let end = bytes.and_then(|bytes| offset.checked_add(bytes)).and_then(|end| usize::try_from(end).ok());
    let (Some(_), Some(end), Ok(start)) = (elements, end, usize::try_from(offset)) else {
        return fail(format!("dimensions {dims:?} at offset {offset} are larger than any file"));
    };
    if !offset.is_multiple_of(alignment) {
        return fail(format!("offset {offset} is no multiple of the alignment {alignment}"));
    }
    Ok(Info { name: name.to_owned(), kind, dims, start, end })
}

/// Makes the places absolute; refuses tensors that reach beyond the file or into each other.
fn place(tensors: &mut [Info], data: u64, size: u64) -> Result<(), Error> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&index| tensors[index].start);
    let mut before: Option<usize> = None;
    for index in order {
        let info = &tensors[index];
        let (start, end) = (data.checked_add(info.start as u64), data.checked_add(info.end as u64));
        let (Some(start), Some(end)) = (start, end.filter(|&end| end <= size)) else {
            let reason = format!(
                "tensor `{}` ends at {} bytes of data and the file has {}; is it cut short?",
                info.name.escape_debug(),
                info.end,
                size.saturating_sub(data)
            );
            return Err(Error::Malformed { offset: size, reason });
        };
        if let Some(before) = before.map(|before| &tensors[before]).filter(|before| before.end as u64 > start) {
            let reason = format!("tensors `{}` and `{}` overlap", before.name.escape_debug(), info.name.escape_debug());
            return Err(Error::Malformed { offset: start, reason });
        }
        // Both are at most `size`, the length of a slice.
        (tensors[index].start, tensors[index].end) = (start as usize, end as usize);
        before = Some(index);
    }
    Ok(())
}
