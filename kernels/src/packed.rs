//! Weights times activations, `y[c][r] = sum of w[r][i] * x[c][i]`: where nearly all time goes.
//!
//! One layout for one column and for many: sixteen rows side by side, four elements of each at a time (`layout`), as the
//! instructions that add four products of bytes want them. A panel of sixteen rows is unpacked once for each tile of up
//! to [`TILE`] columns, and panels are taken in blocks that stay in the cache while all columns pass.
//! A row's result depends on that row and its column alone, not on the tile or block it was in, so callers may split
//! panels and columns as they like. Quantised formats multiply integers exactly within a unit and add units in `f32`.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2vnni;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod layout;
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
mod tile;
mod written;

use std::{fmt, io, ops::Range, sync::Arc};

use half::{bf16, f16};
pub(crate) use layout::Layout;
use layout::{ROWS, panel_bytes};
pub use written::pack_q8_0_row;

use crate::{
    ahead::AHEAD,
    format::Format,
    isa::{Isa, Tier, dispatch},
    memory::{Mapped, Memory},
    q8::Q8,
};

/// The layout of packed bytes, for who keeps them: of another number they are other bytes. Raised whenever what packing
/// writes changes (a test holds both together); the same for every instruction set.
pub const LAYOUT: u32 = 1;

/// The most columns that share the unpacking of a panel.
const TILE: usize = 8;
/// Bytes of panels that stay in the second-level cache while columns pass.
const BLOCK_BYTES: usize = 256 << 10;

/// What a quantised format is at compile time, as `$packing` in `$then`.
macro_rules! with_packing {
    ($format:expr, $packing:ident => $then:expr) => {
        with_packing!($format, $packing => $then; Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS)
    };
    ($format:expr, $packing:ident => $then:expr; $($name:ident),*) => {
        match $format {
            Format::F32 | Format::F16 | Format::BF16 => unreachable!("floats have no packing"),
            $(Format::$name => {
                type $packing = tile::$name;
                $then
            })*
        }
    };
}

/// A matrix of weights in panels of sixteen rows, in memory of its own or in a file's.
pub struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    memory: Memory,
}

impl Packed {
    /// A matrix of zeros, to be filled by its [`Packed::parts`].
    ///
    /// # Errors
    /// When the system has not the memory.
    pub fn zeroed(format: Format, rows: usize, cols: usize) -> io::Result<Self> {
        let bytes = Packed::size(format, rows, cols).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Packed { format, rows, cols, memory: Memory::zeroed(bytes)? })
    }

    /// Bytes of such a matrix; none if its rows are no whole blocks, or no memory holds it.
    pub fn size(format: Format, rows: usize, cols: usize) -> Option<usize> {
        // A panel is its rows, and at most as much again to end with a line of the cache.
        format.row_bytes(cols)?.checked_mul(2 * ROWS)?;
        rows.div_ceil(ROWS).checked_mul(panel_bytes(format, cols))
    }

    /// One that lies in a file from byte `at` on, as [`Packed::bytes`] gave it; none if it would leave the file. What the
    /// bytes are is not looked at: of other ones products are other numbers, and nothing else.
    pub fn mapped(format: Format, rows: usize, cols: usize, file: &Arc<Mapped>, at: usize) -> Option<Self> {
        let memory = Memory::shared(file, at, Packed::size(format, rows, cols)?)?;
        Some(Packed { format, rows, cols, memory })
    }

    /// Packs `rows` rows of `cols` elements that lie in `data` as GGUF has them.
    ///
    /// # Errors
    /// When the system has not the memory.
    ///
    /// # Panics
    /// If `data` is not that.
    pub fn new(format: Format, rows: usize, cols: usize, data: &[u8]) -> io::Result<Self> {
        let mut packed = Packed::zeroed(format, rows, cols)?;
        packed.parts(data, 1).into_iter().for_each(Part::pack);
        Ok(packed)
    }

    /// Its filling from `data`, where it lies as GGUF has it, in `count` parts at most: one for each thread.
    ///
    /// # Panics
    /// If `data` has not the bytes of the matrix, or it lies in a file.
    pub fn parts<'a>(&'a mut self, data: &'a [u8], count: usize) -> Vec<Part<'a>> {
        let (format, rows, cols) = (self.format, self.rows, self.cols);
        let row = format.row_bytes(cols);
        assert!(
            row.and_then(|row| row.checked_mul(rows)) == Some(data.len()),
            "Packed::parts: {} bytes for {rows} rows of {cols} {}",
            data.len(),
            format.name()
        );
        let panels = rows.div_ceil(ROWS).div_ceil(count.max(1));
        let from = data.chunks((panels * ROWS * row.unwrap_or(0)).max(1));
        let to = self.memory.bytes_mut().expect("what lies in a file is not filled");
        let to = to.chunks_mut((panels * panel_bytes(format, cols)).max(1));
        from.zip(to).map(|(from, to)| Part { format, cols, from, to }).collect()
    }

    /// The matrix.
    pub fn panels(&self) -> Panels<'_> {
        let stride = panel_bytes(self.format, self.cols);
        Panels { format: self.format, rows: self.rows, cols: self.cols, stride, data: self.bytes() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }
}

/// Some panels that wait to be filled.
pub struct Part<'a> {
    format: Format,
    cols: usize,
    from: &'a [u8],
    to: &'a mut [u8],
}

impl Part<'_> {
    /// Fills them.
    pub fn pack(self) {
        let row = self.format.row_bytes(self.cols).expect("checked for the whole");
        let rows: Vec<&[u8]> = self.from.chunks_exact(row).collect();
        for (panel, rows) in self.to.chunks_exact_mut(panel_bytes(self.format, self.cols)).zip(rows.chunks(ROWS)) {
            pack::panel(self.format, self.cols, rows, panel);
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {} {}", self.rows, self.cols, self.format.name())
    }
}

/// A packed matrix, or some panels of one, wherever it lies.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    format: Format,
    rows: usize,
    cols: usize,
    /// Bytes from one panel to the next.
    stride: usize,
    data: &'a [u8],
}

impl<'a> Panels<'a> {
    /// A matrix of halves in memory of the caller, whose panels begin `stride` bytes after each other: element `i` of
    /// row `r` at `r / 16 * stride + 32 * i + 2 * (r % 16)`.
    ///
    /// # Panics
    /// If a panel is longer than the stride, or the last one leaves `data`.
    pub fn f16(rows: usize, cols: usize, stride: usize, data: &'a [u8]) -> Self {
        let (panel, panels) = (panel_bytes(Format::F16, cols), rows.div_ceil(ROWS));
        assert!(
            panel <= stride && panels.saturating_sub(1) * stride + panel <= data.len(),
            "Panels::f16: {} bytes for {rows} rows of {cols} with a stride of {stride}",
            data.len()
        );
        Panels { format: Format::F16, rows, cols, stride, data }
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
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Number of panels: the unit by which work is split.
    pub fn count(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// The rows of some panels.
    pub fn rows_of(&self, panels: Range<usize>) -> Range<usize> {
        panels.start * ROWS..(panels.end * ROWS).min(self.rows)
    }

    /// Some panels alone.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    pub fn slice(&self, panels: Range<usize>) -> Self {
        assert!(panels.end <= self.count(), "Panels::slice: {panels:?} of {}", self.count());
        let rows = self.rows_of(panels.clone()).len();
        Panels { rows, data: &self.data[panels.start * self.stride..], ..*self }
    }

    /// Writes the values of a row.
    ///
    /// # Panics
    /// If there is no such row, or `out` has not its length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.cols, "Panels::row: row {row} of {}", self.rows);
        let panel = self.panel(row / ROWS);
        let row = row % ROWS;
        match self.format {
            Format::F32 => each(panel, row, out, f32::from_le_bytes),
            Format::F16 => each(panel, row, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Format::BF16 => each(panel, row, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            quantised => {
                let layout = Layout::of(quantised);
                for (col, out) in out.iter_mut().enumerate() {
                    *out = pack::element(layout, panel, self.cols, row, col);
                }
            }
        }
    }

    fn panel(&self, panel: usize) -> &'a [u8] {
        &self.data[panel * self.stride..][..panel_bytes(self.format, self.cols)]
    }
}

impl fmt::Debug for Panels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {} {}", self.rows, self.cols, self.format.name())
    }
}

fn each<const N: usize>(panel: &[u8], row: usize, out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (out, group) in out.iter_mut().zip(panel.chunks_exact(ROWS * N)) {
        *out = read(group.as_chunks::<N>().0[row]);
    }
}

/// Writes `x`, rounded to halves, as row `row` of a matrix that [`Panels::f16`] will read with the same stride.
///
/// # Panics
/// If the row leaves `data`.
pub fn pack_f16_row(x: &[f32], row: usize, stride: usize, data: &mut [u8]) {
    let panel = &mut data[row / ROWS * stride..][..2 * ROWS * x.len()];
    for (x, group) in x.iter().zip(panel.chunks_exact_mut(2 * ROWS)) {
        group[2 * (row % ROWS)..][..2].copy_from_slice(&f16::from_f32(*x).to_le_bytes());
    }
}

/// Writes `x`, rounded to halves, as column `col` of such a matrix.
///
/// # Panics
/// If the column leaves `data`.
pub fn pack_f16_column(x: &[f32], col: usize, stride: usize, data: &mut [u8]) {
    for (panel, x) in x.chunks(ROWS).enumerate() {
        let group = &mut data[panel * stride + 2 * ROWS * col..][..2 * x.len()];
        for (x, half) in x.iter().zip(group.as_chunks_mut::<2>().0) {
            *half = f16::from_f32(*x).to_le_bytes();
        }
    }
}

/// Columns of activations, in the form that the weights ask for ([`Format::is_float`]).
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// For weights that are floats.
    Floats(&'a [&'a [f32]]),
    /// The same, where they lie one behind the other and each has the length of a row.
    Dense(&'a [f32]),
    /// For quantised weights: [`crate::quantize`] makes them, in the group of the weights' format ([`Format::group`]).
    Quantized(&'a [&'a [Q8]]),
}

impl Columns<'_> {
    /// How many there are, for rows of `cols` elements.
    pub fn count(&self, cols: usize) -> usize {
        match self {
            Columns::Floats(columns) => columns.len(),
            Columns::Dense(numbers) => numbers.len() / cols.max(1),
            Columns::Quantized(columns) => columns.len(),
        }
    }
}

/// Writes the product of every row with every column: `y[c * rows + r]`.
///
/// # Panics
/// If a column has not the length of a row or not the form that the weights ask for, or `y` has not one place for each
/// result.
pub fn matmul(isa: Isa, weights: Panels<'_>, x: Columns<'_>, y: &mut [f32]) {
    let (rows, cols, count) = (weights.rows, weights.cols, x.count(weights.cols));
    let format = weights.format;
    match x {
        Columns::Floats(columns) => {
            assert!(format.is_float(), "matmul: floats for {}", format.name());
            let wrong = columns.iter().find(|column| column.len() != cols);
            assert!(
                wrong.is_none(),
                "matmul: rows of {cols} and a column of {}",
                wrong.map_or(0, |column| column.len())
            );
        }
        Columns::Dense(numbers) => {
            assert!(format.is_float(), "matmul: floats for {}", format.name());
            assert!(numbers.len() == count * cols, "matmul: rows of {cols} and {} numbers", numbers.len());
        }
        Columns::Quantized(columns) => {
            assert!(!format.is_float(), "matmul: quantised columns for {}", format.name());
            let wrong = columns.iter().find(|column| column.len() != Q8::blocks(cols));
            let found = wrong.map_or(0, |column| column.len());
            assert!(wrong.is_none(), "matmul: rows of {} blocks and a column of {found}", Q8::blocks(cols));
            let group = columns.iter().filter_map(|column| column.first()).find(|x| Some(x.group) != format.group());
            assert!(group.is_none(), "matmul: columns of the wrong group for {}", format.name());
        }
    }
    assert!(y.len() == rows * count, "matmul: {} results for {rows} rows and {count} columns", y.len());
    // Tiles have no shape for no columns.
    if y.is_empty() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if let Columns::Quantized(columns) = x
        && isa.tier() == Tier::Amx
        && count >= amx::least(format)
    {
        return tiles(isa, weights, columns, y);
    }
    #[cfg(target_arch = "x86_64")]
    if isa.tier() == Tier::Amx && matches!(format, Format::F16 | Format::BF16) && cols > 0 {
        return match x {
            Columns::Floats(columns) => float_tiles(isa, weights, columns.iter().copied(), y),
            Columns::Dense(numbers) => float_tiles(isa, weights, numbers.chunks_exact(cols), y),
            Columns::Quantized(_) => unreachable!("the form was checked"),
        };
    }
    let block = (BLOCK_BYTES / weights.stride.max(1)).max(1);
    for first in (0..weights.count()).step_by(block) {
        let panels = first..weights.count().min(first + block);
        let mut column = 0;
        while column < count {
            let y = &mut y[column * rows..];
            column += match count - column {
                1 => tile::<1>(isa, weights, panels.clone(), x, column, y),
                2 | 3 => tile::<2>(isa, weights, panels.clone(), x, column, y),
                4..TILE => tile::<4>(isa, weights, panels.clone(), x, column, y),
                _ => tile::<TILE>(isa, weights, panels.clone(), x, column, y),
            };
        }
    }
}

/// Some panels times `C` columns.
fn tile<const C: usize>(
    isa: Isa,
    weights: Panels<'_>,
    panels: Range<usize>,
    x: Columns<'_>,
    first: usize,
    y: &mut [f32],
) -> usize {
    // The last columns that pass ask for what comes: within the panels where they are the only ones, else for the next block.
    let ahead = match x.count(weights.cols) {
        count if first + C < count => 0,
        count if count > C => panels.len() * weights.stride,
        _ => AHEAD,
    };
    for panel in panels {
        let mut out = [[0.0; ROWS]; C];
        match x {
            Columns::Floats(columns) => dense(isa, weights, panel, part(columns, first), &mut out),
            Columns::Dense(numbers) => dense(isa, weights, panel, stretch(numbers, weights.cols, first), &mut out),
            Columns::Quantized(columns) => quantised(isa, weights, panel, part(columns, first), ahead, &mut out),
        }
        let rows = weights.rows_of(panel..panel + 1);
        for (out, y) in out.iter().zip(y.chunks_exact_mut(weights.rows)) {
            y[rows.clone()].copy_from_slice(&out[..rows.len()]);
        }
    }
    C
}

fn part<'a, T, const C: usize>(columns: &[&'a [T]], first: usize) -> [&'a [T]; C] {
    *columns[first..].first_chunk().expect("a tile of columns")
}

fn stretch<const C: usize>(numbers: &[f32], len: usize, first: usize) -> [&[f32]; C] {
    std::array::from_fn(|c| &numbers[(first + c) * len..][..len])
}

fn dense<const C: usize>(isa: Isa, weights: Panels<'_>, panel: usize, x: [&[f32]; C], out: &mut [[f32; ROWS]; C]) {
    let panel = weights.panel(panel);
    match weights.format {
        Format::F32 => dispatch!(isa, dense::<{ tile::F32 }, C>(panel, x, out)),
        Format::F16 => dispatch!(isa, dense::<{ tile::F16 }, C>(panel, x, out)),
        _ => dispatch!(isa, dense::<{ tile::BF16 }, C>(panel, x, out)),
    }
}

fn quantised<const C: usize>(
    isa: Isa,
    weights: Panels<'_>,
    panel: usize,
    x: [&[Q8]; C],
    ahead: usize,
    out: &mut [[f32; ROWS]; C],
) {
    let (panel, cols) = (weights.panel(panel), weights.cols);
    with_packing!(weights.format, P => dispatch!(isa, quantised::<P, C>(panel, cols, x, ahead, out)))
}

/// A quantised matrix times many columns, on a CPU that multiplies tiles.
#[cfg(target_arch = "x86_64")]
fn tiles(isa: Isa, weights: Panels<'_>, columns: &[&[Q8]], y: &mut [f32]) {
    assert_eq!(isa.tier(), Tier::Amx);
    // SAFETY: an `Isa` of this tier exists only on a CPU with all that the function asks for, and with tiles.
    with_packing!(weights.format, P => unsafe { amx::product::<P>(weights, columns, y) })
}

/// A matrix of halves times columns, on such a CPU.
#[cfg(target_arch = "x86_64")]
fn float_tiles<'x>(isa: Isa, weights: Panels<'_>, columns: impl ExactSizeIterator<Item = &'x [f32]>, y: &mut [f32]) {
    assert_eq!(isa.tier(), Tier::Amx);
    // SAFETY: as for tiles of bytes.
    unsafe {
        match weights.format {
            Format::F16 => amx::floats::product::<{ tile::F16 }>(weights, columns, y),
            _ => amx::floats::product::<{ tile::BF16 }>(weights, columns, y),
        }
    }
}
