//! Rows of floats, F32 or F16 (`HALF`), times columns of floats.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
use avx512 as avx512vnni;

use crate::isa::{Isa, dispatch};

/// One row of `weights` for each place of `out`.
pub(super) fn rows<const HALF: bool, const N: usize>(isa: Isa, weights: &[u8], x: [&[f32]; N], out: &mut [[f32; N]]) {
    dispatch!(isa, rows::<HALF, N>(weights, x, out))
}

/// Bytes of an element.
const fn element(half: bool) -> usize {
    if half { 2 } else { 4 }
}
