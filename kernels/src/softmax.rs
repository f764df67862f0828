//! The parts of a softmax, for who takes it over pieces: `e^(x[i] - largest)`, so that none overflows, and the sum of those.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use {avx2 as avx2vnni, avx512 as avx512vnni};

use crate::isa::{Isa, dispatch};

/// The largest of some numbers; of none, negative infinity.
pub fn largest(isa: Isa, x: &[f32]) -> f32 {
    dispatch!(isa, largest(x))
}

/// Turns `x` into `e^(scale * x - shift)`, and answers with the sum of those.
pub fn exponentials(isa: Isa, x: &mut [f32], scale: f32, shift: f32) -> f32 {
    dispatch!(isa, exponentials(x, scale, shift))
}
