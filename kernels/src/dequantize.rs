//! Weights back to floats, one row: the embedding lookup, and what tests compare the products with.
//!
//! One version: a lookup reads one row per token, next to the whole matrix that a product reads.

#[cfg(test)]
mod tests;

use half::{bf16, f16};

use crate::{
    codes::{Codes, TABLE},
    format::Format,
    packed::Layout,
};

/// Writes the values of a row.
///
/// # Panics
/// If `row` has not the length of `out.len()` elements of `format`.
pub fn dequantize_row(format: Format, row: &[u8], out: &mut [f32]) {
    assert!(
        format.row_bytes(out.len()) == Some(row.len()),
        "dequantize_row: {} bytes of {} for {} values",
        row.len(),
        format.name(),
        out.len()
    );
    match format {
        Format::F32 => each(row, out, f32::from_le_bytes),
        Format::F16 => each(row, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Format::BF16 => each(row, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        quantised => {
            let layout = Layout::of(quantised);
            let blocks = row.chunks_exact(quantised.block_bytes());
            for (block, out) in blocks.zip(out.chunks_exact_mut(quantised.block_len())) {
                let parts = Codes::of(quantised, block);
                for (i, out) in out.iter_mut().enumerate() {
                    let run = i / layout.run;
                    *out = value(layout, parts.d, parts.m, parts.scales[run], parts.mins[run], parts.codes[i]);
                }
            }
        }
    }
}

/// What a code with its scales stands for.
pub(crate) fn value(layout: Layout, d: f16, m: f16, scale: i8, min: u8, code: u8) -> f32 {
    let whole = match layout.table {
        true => f32::from(TABLE[usize::from(code)]),
        false => f32::from(code) - f32::from(layout.centre()),
    };
    d.to_f32() * f32::from(scale) * whole - m.to_f32() * f32::from(min)
}

fn each<const N: usize>(row: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (bytes, out) in row.as_chunks::<N>().0.iter().zip(out) {
        *out = read(*bytes);
    }
}
