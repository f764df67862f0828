//! What a packed file begins with: everything that has to be as expected before a byte behind it is computed with.
//!
//! | bytes | what |
//! | --- | --- |
//! | 16 | `MAGIC` |
//! | 4, 4 | `VERSION` of this head, `kernels::LAYOUT` of what follows it |
//! | 8, 8 | bytes of the head, of the whole file |
//! | 4, as many | the path of the model |
//! | 32 | its key |
//! | 4, 40 each | the matrices: name of the format, rows, columns, place, bytes |
//! | 4 each | the sum (CRC-32) of each piece of `PIECE` bytes behind the head |
//! | 4 | the sum of all before |
//!
//! Numbers are little endian; zeros follow until the head ends with a page. All but the sums is known before a file is opened,
//! so a reader makes it and compares. Only the path of the model is ever read from a file ([`source`]): to tell whether that
//! is still there.

use std::{io::Read, path::PathBuf};

use kernels::{LAYOUT, Packed};

use crate::tensor::Form;

const MAGIC: &[u8; 16] = b"pointsman packed";
/// To be raised with any change of this head; the path of the model stays where it is.
const VERSION: u32 = 1;
/// Bytes that are summed up at once: a multiple of `ALIGN`.
pub(super) const PIECE: usize = 4 << 20;
/// Where matrices begin: with a line of the cache.
const ALIGN: usize = 64;
const PAGE: usize = 4 << 10;
/// The longest path of a model; no system has longer ones.
pub(super) const MAX_PATH: usize = 4 << 10;

/// The head of a certain file, but for its sums.
#[derive(Debug)]
pub(crate) struct Head {
    known: Vec<u8>,
    /// With their places in the file.
    matrices: Vec<(Form, usize)>,
    len: usize,
    end: usize,
}

impl Head {
    /// That of matrices which lie one after the other; none if no file holds them.
    pub(super) fn new(source: &str, key: [u8; 32], forms: impl Iterator<Item = Form>) -> Option<Self> {
        Self::placed(source, key, &forms.collect::<Vec<_>>())
    }

    fn placed(source: &str, key: [u8; 32], forms: &[Form]) -> Option<Self> {
        // Behind each other first, to know how long the head is.
        let mut matrices = Vec::with_capacity(forms.len());
        let mut body = 0usize;
        for &form in forms {
            let at = body.checked_next_multiple_of(ALIGN)?;
            body = at.checked_add(Packed::size(form.format, form.rows, form.cols)?)?;
            matrices.push((form, at));
        }
        let known = 16 + 8 + 16 + 4 + source.len() + 32 + 4 + 40 * forms.len();
        let len = (known + 4 * body.div_ceil(PIECE) + 4).next_multiple_of(PAGE);
        let end = body.checked_add(len)?;
        matrices.iter_mut().for_each(|(_, at)| *at += len);

        let mut head = Self { known: Vec::with_capacity(known), matrices, len, end };
        let mut put = |bytes: &[u8]| head.known.extend_from_slice(bytes);
        put(MAGIC);
        put(&VERSION.to_le_bytes());
        put(&LAYOUT.to_le_bytes());
        put(&(len as u64).to_le_bytes());
        put(&(end as u64).to_le_bytes());
        put(&u32::try_from(source.len()).ok()?.to_le_bytes());
        put(source.as_bytes());
        put(&key);
        put(&u32::try_from(forms.len()).ok()?.to_le_bytes());
        for (form, at) in &head.matrices {
            let mut name = [0; 8];
            name.get_mut(..form.format.name().len())?.copy_from_slice(form.format.name().as_bytes());
            put(&name);
            for number in [form.rows, form.cols, *at, Packed::size(form.format, form.rows, form.cols)?] {
                put(&(number as u64).to_le_bytes());
            }
        }
        Some(head)
    }

    /// Its bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the whole file.
    pub(super) fn end(&self) -> u64 {
        self.end as u64
    }

    /// The matrices, each with the place where it begins.
    pub(super) fn matrices(&self) -> impl Iterator<Item = (Form, usize)> {
        self.matrices.iter().copied()
    }

    /// Bytes of a matrix.
    pub(super) fn bytes(&self, index: usize) -> usize {
        let (form, _) = self.matrices[index];
        Packed::size(form.format, form.rows, form.cols).expect("counted before")
    }

    /// How many pieces lie behind it.
    pub(super) fn pieces(&self) -> usize {
        (self.end - self.len).div_ceil(PIECE)
    }

    /// It, whole.
    pub(super) fn with_sums(&self, sums: &[u32]) -> Vec<u8> {
        let mut bytes = self.known.clone();
        sums.iter().for_each(|sum| bytes.extend_from_slice(&sum.to_le_bytes()));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.resize(self.len, 0);
        bytes
    }

    /// The sums in what a file begins with, if that is this head.
    pub(super) fn sums_in(&self, begins: &[u8]) -> Option<Vec<u32>> {
        let sums = begins.get(self.known.len()..)?.as_chunks::<4>().0.get(..self.pieces())?;
        let sums: Vec<u32> = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        (self.with_sums(&sums) == begins).then_some(sums)
    }
}

/// The model that a packed file says it was made of; none if it is no packed file. One of another version does not say.
pub(super) fn source(mut file: impl Read) -> Option<Option<PathBuf>> {
    let mut begins = [0; 16 + 8 + 16 + 4];
    file.read_exact(&mut begins).ok()?;
    let (fixed, len) = begins.split_last_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if fixed[..16] != MAGIC[..] {
        return None;
    }
    if fixed[16..20] != VERSION.to_le_bytes() || len > MAX_PATH {
        return Some(None);
    }
    let mut path = vec![0; len];
    let read = file.read_exact(&mut path).ok().and_then(|()| String::from_utf8(path).ok());
    Some(read.map(PathBuf::from))
}
