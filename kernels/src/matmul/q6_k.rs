//! Rows of Q6_K blocks times columns of Q8x256.
//!
//! Weights stay unsigned, 0..=63, and the offset of 32 is taken off once for each 16 from their sum of activations.
//! Within a block everything is integers: at most 128 * 63 * 127 * 256 < 2^28, and a product of two bytes and their
//! neighbour at most 2 * 63 * 127 = 16,002, so neither 32 nor 16 bits overflow.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
use avx512::vnni as avx512vnni;

use crate::{
    columns::Q8x256,
    isa::{Isa, dispatch},
};

/// Bytes of a block.
const BYTES: usize = 210;

/// One row of `weights` for each place of `out`.
pub(super) fn rows<const N: usize>(isa: Isa, weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    dispatch!(isa, rows::<N>(weights, x, out))
}

/// A block taken apart.
struct Parts<'a> {
    /// Low nibbles and top bits of each half.
    halves: [(&'a [u8; 64], &'a [u8; 32]); 2],
    scales: &'a [u8; 16],
    d: [u8; 2],
}

#[inline]
fn parts(block: &[u8; BYTES]) -> Parts<'_> {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let (low, high) = (low.as_chunks().0, high.as_chunks().0);
    let scales = scales.first_chunk().expect("16 bytes");
    Parts { halves: [(&low[0], &high[0]), (&low[1], &high[1])], scales, d: [d[0], d[1]] }
}
