//! Rows of Q8_0 or Q4_0 (`NIBBLES`) blocks times columns of Q8x32: 32 integers a scale on both sides.
//!
//! Weights become signed bytes. Instructions that multiply bytes take one unsigned side, so the sign of a weight moves
//! to the activation: `w * x = |w| * (sign(w) * x)`. With `|x| <= 127` two products add up to 2 * 128 * 127 = 32,512,
//! which fits 16 bits: nothing saturates, also for a weight of -128.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
use avx512::vnni as avx512vnni;

use crate::{
    columns::Q8x32,
    isa::{Isa, dispatch},
};

/// One row of `weights` for each place of `out`; `BYTES` is the block size that belongs to `NIBBLES`.
pub(super) fn rows<const NIBBLES: bool, const BYTES: usize, const N: usize>(
    isa: Isa,
    weights: &[u8],
    x: [Q8x32<'_>; N],
    out: &mut [[f32; N]],
) {
    dispatch!(isa, rows::<NIBBLES, BYTES, N>(weights, x, out))
}
