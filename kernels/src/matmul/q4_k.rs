//! Rows of Q4_K blocks times columns of Q8x256.
//!
//! Within a block everything is integers: `sum of scale * nibble * x` and, from the sums of 16, `sum of min * x`. The
//! first is at most 63 * 15 * 127 * 256 < 2^25 and a product of two bytes and their neighbour at most
//! 2 * 15 * 127 = 3,810, so neither 32 nor 16 bits overflow.

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
const BYTES: usize = 144;

/// One row of `weights` for each place of `out`.
pub(super) fn rows<const N: usize>(isa: Isa, weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    dispatch!(isa, rows::<N>(weights, x, out))
}

/// The eight scales and eight minimums of a block, 0..=63 each.
///
/// Bytes 4..8 hold the first four scales and 8..12 the first four minimums in their low six bits. The last four of
/// both share bytes 12..16, scales in the low nibbles; their top two bits are the top two bits of bytes 4..8 and 8..12.
#[inline]
pub(crate) fn scales_and_mins(block: &[u8; BYTES]) -> ([u8; 8], [u8; 8]) {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (a, b, c) = (word(4), word(8), word(12));
    let six = 0x3f3f_3f3f;
    let (four, top) = (0x0f0f_0f0f, 0x3030_3030);
    let join = |first: u32, last: u32| (u64::from(first) | u64::from(last) << 32).to_le_bytes();
    (join(a & six, c & four | a >> 2 & top), join(b & six, c >> 4 & four | b >> 2 & top))
}
