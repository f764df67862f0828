//! Weights times activations, `y[c][r] = sum of w[r][i] * x[c][i]`: where nearly all time goes.
//!
//! Weights are read from memory once for all columns: rows are taken in blocks that stay in the cache while every
//! column passes over them, up to `TILE` columns at a time against each decoded weight. A row's result depends on that
//! row and its column alone, not on the block or tile it was in, so callers may split rows and columns as they like.
//! Quantised formats multiply integers exactly within a block and add the blocks in `f32`; versions differ only in
//! the order of those additions.

mod block32;
mod dense;
pub(crate) mod q4_k;
pub(crate) mod q6_k;
#[cfg(test)]
mod tests;

use crate::{columns::Columns, format::Format, isa::Isa};

/// The most columns that share one pass over a row.
const TILE: usize = 4;
/// The most rows whose results wait in a local buffer.
const BLOCK_ROWS: usize = 32;

/// A matrix of weights: `rows` rows of `cols` elements, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    format: Format,
    rows: usize,
    cols: usize,
    data: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// The matrix that lies in `data`.
    ///
    /// # Panics
    /// If `data` is not `rows` rows of `cols` elements of `format`.
    pub fn new(format: Format, rows: usize, cols: usize, data: &'a [u8]) -> Self {
        let bytes = format.row_bytes(cols).and_then(|row| row.checked_mul(rows));
        assert!(
            bytes == Some(data.len()),
            "Matrix::new: {} bytes for {rows} rows of {cols} {}",
            data.len(),
            format.name()
        );
        Matrix { format, rows, cols, data }
    }

    /// The format of its elements.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Its bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The rows of a range alone.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let row = self.row_bytes();
        Matrix { rows: rows.len(), data: &self.data[rows.start * row..rows.end * row], ..*self }
    }

    fn row_bytes(&self) -> usize {
        self.cols / self.format.block_len() * self.format.block_bytes()
    }
}

/// Writes the product of every row with every column: `y[c * rows + r]`.
///
/// # Panics
/// If columns are not as long as rows, are not in the form [`Format::activation`] asks for, or `y` has not one place
/// for each result.
pub fn matmul(isa: Isa, weights: Matrix<'_>, x: Columns<'_>, y: &mut [f32]) {
    let (rows, format) = (weights.rows, weights.format);
    assert!(x.len() == weights.cols, "matmul: rows of {} and columns of {}", weights.cols, x.len());
    assert!(x.activation() == format.activation(), "matmul: {:?} columns for {}", x.activation(), format.name());
    assert!(y.len() == rows * x.count(), "matmul: {} results for {rows} rows and {} columns", y.len(), x.count());
    let mut from = 0;
    while from < rows {
        let block = weights.slice(from..rows.min(from + BLOCK_ROWS));
        let mut column = 0;
        while column < x.count() {
            let y = &mut y[column * rows + from..];
            column += match x.count() - column {
                1 => tile::<1>(isa, block, x, column, y, rows),
                2 | 3 => tile::<2>(isa, block, x, column, y, rows),
                _ => tile::<TILE>(isa, block, x, column, y, rows),
            };
        }
        from += block.rows;
    }
}

/// A block of rows times `N` columns; results of a column lie `stride` apart from the next one's.
fn tile<const N: usize>(isa: Isa, w: Matrix<'_>, x: Columns<'_>, first: usize, y: &mut [f32], stride: usize) -> usize {
    let mut out = [[0.0f32; N]; BLOCK_ROWS];
    let out = &mut out[..w.rows];
    match w.format {
        Format::F32 => dense::rows::<false, N>(isa, w.data, x.f32_tile(first), out),
        Format::F16 => dense::rows::<true, N>(isa, w.data, x.f32_tile(first), out),
        Format::Q8_0 => block32::rows::<false, 34, N>(isa, w.data, x.q8x32_tile(first), out),
        Format::Q4_0 => block32::rows::<true, 18, N>(isa, w.data, x.q8x32_tile(first), out),
        Format::Q4K => q4_k::rows::<N>(isa, w.data, x.q8x256_tile(first), out),
        Format::Q6K => q6_k::rows::<N>(isa, w.data, x.q8x256_tile(first), out),
    }
    for (column, y) in y.chunks_mut(stride).take(N).enumerate() {
        for (y, out) in y.iter_mut().zip(out.iter()) {
            *y = out[column];
        }
    }
    N
}
