//! Where the parts of a panel lie, for each format.
//!
//! A panel is sixteen rows side by side, so that one vector holds the same four elements of each: byte `4 * r + j` of a
//! vector belongs to row `r` and element `4 * g + j` of group `g`. A quantised panel goes by blocks of 256 columns, the
//! last of fewer where rows end: first its codes, then its scales, so that a panel is read from its first byte to its
//! last, which is what memory is fastest at. Blocks are whole lines of the cache.
//!
//! Codes go by steps of 32 columns (eight groups). Their low bits: vectors of 64 bytes, each with `8 / low` groups one
//! above the other. Then their top bits: two vectors with four groups each (two bits), or a mask of 64 for each group
//! (one). Scales go by units. Where a unit is 32: `d` of each row, then `m`. Where it is 256: for each run a byte of
//! each row; the minimums, two runs of a row side by side; `d` of each row, then `m`.
//!
//! Floats: element by element, sixteen rows each.
//!
//! A code that stands for numbers on both sides of zero is read shifted to the top of its byte, so that its zero is 128
//! in every such format: what multiplying by unsigned bytes adds is then 128 times the sum of the activations, which
//! they bring along ([`crate::Q8`]).

use crate::{codes::TABLE, format::Format};

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Columns of a step.
pub(crate) const STEP: usize = 32;
/// Bytes of a vector: a group of four columns for each row.
pub(crate) const VECTOR: usize = 4 * ROWS;

/// How a quantised format is packed.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Columns that share a `d`: 32 or 256.
    pub(crate) unit: usize,
    /// Columns that share a scale: 16 or 32.
    pub(crate) run: usize,
    /// Low bits of a code: 2, 4 or 8.
    pub(crate) low: usize,
    /// Top bits of a code: 0, 1 or 2.
    pub(crate) high: usize,
    /// Whether something is taken off each run; else codes stand for numbers on both sides of zero.
    pub(crate) mins: bool,
    /// Whether codes choose from [`TABLE`].
    pub(crate) table: bool,
}

impl Layout {
    pub(crate) const fn of(format: Format) -> Self {
        match format {
            Format::F32 | Format::F16 | Format::BF16 => panic!("floats have no codes"),
            Format::Q8_0 => Layout::new(32, 32, 8, 0),
            Format::Q4_0 => Layout::new(32, 32, 4, 0),
            Format::Q4_1 => Layout::new(32, 32, 4, 0).with_mins(),
            Format::Q5_0 => Layout::new(32, 32, 4, 1),
            Format::Q5_1 => Layout::new(32, 32, 4, 1).with_mins(),
            Format::IQ4_NL => Layout::new(32, 32, 4, 0).with_table(),
            Format::Q2_K => Layout::new(256, 16, 2, 0).with_mins(),
            Format::Q3_K => Layout::new(256, 16, 2, 1),
            Format::Q4_K => Layout::new(256, 32, 4, 0).with_mins(),
            Format::Q5_K => Layout::new(256, 32, 4, 1).with_mins(),
            Format::Q6_K => Layout::new(256, 16, 4, 2),
            Format::IQ4_XS => Layout::new(256, 32, 4, 0).with_table(),
        }
    }

    const fn new(unit: usize, run: usize, low: usize, high: usize) -> Self {
        Layout { unit, run, low, high, mins: false, table: false }
    }

    const fn with_mins(self) -> Self {
        Layout { mins: true, ..self }
    }

    const fn with_table(self) -> Self {
        Layout { table: true, ..self }
    }

    /// Whether the zero of what is multiplied is 128.
    pub(crate) const fn centred(self) -> bool {
        !self.mins
    }

    /// By how much a code is shifted when it is read.
    pub(crate) const fn shift(self) -> usize {
        if self.mins || self.table { 0 } else { 8 - self.low - self.high }
    }

    /// What undoes the shift.
    pub(crate) const fn factor(self) -> f32 {
        1.0 / (1 << self.shift()) as f32
    }

    /// The code of zero.
    pub(crate) const fn centre(self) -> u8 {
        if self.mins { 0 } else { 128 >> self.shift() }
    }

    /// Bytes of the low bits of a step.
    pub(crate) const fn low_bytes(self) -> usize {
        VECTOR * self.low
    }

    /// Bytes of the codes of a step.
    pub(crate) const fn step_bytes(self) -> usize {
        VECTOR * (self.low + self.high)
    }

    /// Runs of a unit.
    pub(crate) const fn runs(self) -> usize {
        self.unit / self.run
    }

    /// Where the minimums of a unit begin among its scales.
    pub(crate) const fn mins_at(self) -> usize {
        ROWS * self.runs()
    }

    /// Where `d` begins among the scales of a unit; `m` is next to it.
    pub(crate) const fn d_at(self) -> usize {
        match self.unit {
            256 => ROWS * self.runs() * (1 + self.mins as usize),
            _ => 0,
        }
    }

    /// Bytes of the scales of a unit.
    pub(crate) const fn unit_bytes(self) -> usize {
        self.d_at() + 2 * ROWS * (1 + self.mins as usize)
    }
}

/// The table as bytes whose zero is 128.
pub(crate) const UNSIGNED_TABLE: [u8; 16] = {
    let (mut table, mut i) = ([0; 16], 0);
    while i < 16 {
        table[i] = (TABLE[i] as u8) ^ 0x80;
        i += 1;
    }
    table
};

/// Columns of a block.
pub(crate) const BLOCK: usize = 256;

impl Layout {
    /// Bytes of a block with `cols` columns.
    pub(crate) const fn block_bytes(self, cols: usize) -> usize {
        (cols / STEP * self.step_bytes() + cols / self.unit * self.unit_bytes()).next_multiple_of(64)
    }
}

/// Bytes of a panel with rows of `cols`.
pub(crate) const fn panel_bytes(format: Format, cols: usize) -> usize {
    match format {
        Format::F32 => 4 * ROWS * cols,
        Format::F16 | Format::BF16 => 2 * ROWS * cols,
        quantised => {
            let layout = Layout::of(quantised);
            cols / BLOCK * layout.block_bytes(BLOCK) + layout.block_bytes(cols % BLOCK)
        }
    }
}
