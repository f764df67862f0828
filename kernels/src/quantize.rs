//! Activations to eight bits: what a product with quantised weights multiplies them by.
//!
//! Each group gets the scale `largest / 127`, and each value the nearest multiple of it (ties to even), so a value is
//! off by at most half a scale. Input must be finite; other input gives meaningless numbers, never a panic. Values
//! stay within -127..=127, which the products rely on. Every version returns the same numbers, bit for bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use avx512 as avx512vnni;

use crate::isa::{Isa, dispatch};

/// Quantises `x` in groups of 32.
///
/// # Panics
/// If `x` is no multiple of 32 or the outputs have not its length and a 32nd of it.
pub fn quantize_q8x32(isa: Isa, x: &[f32], q: &mut [i8], scales: &mut [f32]) {
    let groups = x.len() / 32;
    assert!(
        x.len().is_multiple_of(32) && q.len() == x.len() && scales.len() == groups,
        "quantize_q8x32: {} values into {} and {} scales",
        x.len(),
        q.len(),
        scales.len()
    );
    for ((x, q), scale) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0).zip(scales) {
        *scale = dispatch!(isa, group(x, q));
    }
}

/// Quantises `x` in groups of 256 and notes the sum of each 16 of the results.
///
/// # Panics
/// If `x` is no multiple of 256 or the outputs have not its length, a 256th and a 16th of it.
pub fn quantize_q8x256(isa: Isa, x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [i16]) {
    assert!(
        x.len().is_multiple_of(256)
            && q.len() == x.len()
            && scales.len() * 256 == x.len()
            && sums.len() * 16 == x.len(),
        "quantize_q8x256: {} values into {}, {} scales and {} sums",
        x.len(),
        q.len(),
        scales.len(),
        sums.len()
    );
    for ((x, q), scale) in x.as_chunks::<256>().0.iter().zip(q.as_chunks_mut::<256>().0).zip(scales) {
        *scale = dispatch!(isa, group(x, q));
    }
    for (q, sum) in q.as_chunks::<16>().0.iter().zip(sums) {
        *sum = q.iter().map(|&q| i16::from(q)).sum();
    }
}

/// The scale of a group and what to multiply its values by.
fn scale_of(largest: f32) -> (f32, f32) {
    // A group of zeros, or one so small that the inverse overflows, is a group of zeros.
    let inverse = 127.0 / largest;
    if inverse.is_finite() { (largest / 127.0, inverse) } else { (0.0, 0.0) }
}
