//! Weights back to floats, one row: the embedding lookup, and what tests compare the products with.
//!
//! One version: a lookup reads one row per token, next to the whole matrix that a product reads.

#[cfg(test)]
mod tests;

use half::f16;

use crate::{format::Format, matmul::q4_k::scales_and_mins};

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
        Format::F32 => each(row, out, |bytes: &[u8; 4], out: &mut [f32; 1]| out[0] = f32::from_le_bytes(*bytes)),
        Format::F16 => each(row, out, |bytes: &[u8; 2], out: &mut [f32; 1]| out[0] = half(*bytes)),
        Format::Q8_0 => each(row, out, q8_0),
        Format::Q4_0 => each(row, out, q4_0),
        Format::Q4K => each(row, out, q4_k),
        Format::Q6K => each(row, out, q6_k),
    }
}

/// Writes `x` as halves, rounded to the nearest (ties to even): the form in which keys and values are kept.
///
/// # Panics
/// If `out` has not two bytes for each value.
pub fn encode_f16(x: &[f32], out: &mut [u8]) {
    assert!(out.len() == 2 * x.len(), "encode_f16: {} values into {} bytes", x.len(), out.len());
    for (x, out) in x.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = f16::from_f32(*x).to_le_bytes();
    }
}

fn each<const BYTES: usize, const LEN: usize>(row: &[u8], out: &mut [f32], block: fn(&[u8; BYTES], &mut [f32; LEN])) {
    for (bytes, out) in row.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        block(bytes, out);
    }
}

fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half([block[0], block[1]]);
    for (out, &q) in out.iter_mut().zip(&block[2..]) {
        *out = d * f32::from(q as i8);
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half([block[0], block[1]]);
    for (i, &n) in block[2..].iter().enumerate() {
        out[i] = d * (f32::from(n & 15) - 8.0);
        out[i + 16] = d * (f32::from(n >> 4) - 8.0);
    }
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half([block[0], block[1]]), half([block[2], block[3]]));
    let (scales, mins) = scales_and_mins(block);
    for (i, out) in out.iter_mut().enumerate() {
        let (run, within) = (i / 64, i % 64);
        let byte = block[16 + 32 * run + within % 32];
        let nibble = if within < 32 { byte & 15 } else { byte >> 4 };
        *out = d * f32::from(scales[i / 32]) * f32::from(nibble) - dmin * f32::from(mins[i / 32]);
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half([block[208], block[209]]);
    for (i, out) in out.iter_mut().enumerate() {
        let (half, within) = (i / 128, i % 128);
        let low = block[64 * half + within % 64] >> (4 * (within / 64)) & 15;
        let high = block[128 + 32 * half + within % 32] >> (2 * (within / 32)) & 3;
        let scale = block[192 + i / 16] as i8;
        *out = d * f32::from(scale) * (f32::from(low | high << 4) - 32.0);
    }
}
