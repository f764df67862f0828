//! Softmax in place: `x[i] = e^(x[i] - max) / sum of those`, so no input overflows.

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

/// Turns `scale * x` into weights that add up to one. Nothing happens to an empty slice.
pub fn softmax(isa: Isa, x: &mut [f32], scale: f32) {
    let largest = x.iter().fold(f32::NEG_INFINITY, |largest, &x| largest.max(scale * x));
    let sum = dispatch!(isa, exp_and_sum(x, scale, largest));
    let inverse = 1.0 / sum;
    for x in x {
        *x *= inverse;
    }
}
