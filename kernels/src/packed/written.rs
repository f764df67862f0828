//! A matrix of `Q8_0` in memory of the caller, to which rows are written one at a time: the keys of a cache.

use half::f16;

use super::{
    Panels,
    layout::{BLOCK, Layout, ROWS, STEP, VECTOR, panel_bytes},
};
use crate::format::Format;

const LAYOUT: Layout = Layout::of(Format::Q8_0);

impl<'a> Panels<'a> {
    /// Bytes of a matrix that [`Panels::q8_0`] reads.
    pub const fn q8_0_bytes(rows: usize, cols: usize) -> usize {
        rows.div_ceil(ROWS) * panel_bytes(Format::Q8_0, cols)
    }

    /// A matrix of `Q8_0` in memory of the caller, panel after panel, with the rows that [`pack_q8_0_row`] wrote.
    ///
    /// # Panics
    /// If rows are no whole blocks, or leave `data`.
    pub fn q8_0(rows: usize, cols: usize, data: &'a [u8]) -> Self {
        assert!(
            cols.is_multiple_of(STEP) && Self::q8_0_bytes(rows, cols) <= data.len(),
            "Panels::q8_0: {} bytes for {rows} rows of {cols}",
            data.len()
        );
        Panels { format: Format::Q8_0, rows, cols, stride: panel_bytes(Format::Q8_0, cols), data }
    }
}

/// Writes `x` as row `row` of a matrix that [`Panels::q8_0`] will read, with zeros behind it up to whole blocks.
///
/// Each block of 32 has a half for its scale, the largest absolute value over 127, and is rounded to the nearest multiples of
/// that half. What is no number, or too large for a half, gives no number worth having, but no panic.
///
/// # Panics
/// If the row leaves `data`.
pub fn pack_q8_0_row(x: &[f32], row: usize, data: &mut [u8]) {
    let cols = x.len().next_multiple_of(STEP);
    let bytes = panel_bytes(Format::Q8_0, cols);
    let (panel, row) = (&mut data[row / ROWS * bytes..][..bytes], row % ROWS);
    for (x, block) in x.chunks(BLOCK).zip(panel.chunks_mut(LAYOUT.block_bytes(BLOCK))) {
        let (codes, scales) = block.split_at_mut(x.len().div_ceil(STEP) * LAYOUT.step_bytes());
        let steps = codes.chunks_exact_mut(LAYOUT.step_bytes()).zip(scales.chunks_exact_mut(LAYOUT.unit_bytes()));
        for (x, (codes, scales)) in x.chunks(STEP).zip(steps) {
            let mut all = [0.0; STEP];
            all[..x.len()].copy_from_slice(x);
            let scale = f16::from_f32(all.iter().fold(0.0f32, |largest, x| largest.max(x.abs())) / 127.0);
            scales[2 * row..][..2].copy_from_slice(&scale.to_le_bytes());
            // So small that no half is as small: zeros.
            let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
            for (x, vector) in all.as_chunks::<4>().0.iter().zip(codes.chunks_exact_mut(VECTOR)) {
                let code = |x: f32| ((x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8) ^ 0x80;
                vector[4 * row..][..4].copy_from_slice(&x.map(code));
            }
        }
    }
}
