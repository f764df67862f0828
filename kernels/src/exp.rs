//! `e^x` for eight or sixteen numbers at once, shared by `softmax` and `gate`. No operation by itself.
//!
//! `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then `2^n` times the Taylor sum of `e^r` up to `r^7 / 7!`. What is cut off
//! is below `0.3466^8 / 8! < 2^-27` of the result, so rounding in the last steps decides: within 2 units in the last
//! place (held by a test). `x` is clamped to -87..=88, where the result is neither subnormal nor infinite.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

/// Where `x` is clamped.
#[cfg(target_arch = "x86_64")]
const RANGE: (f32, f32) = (-87.0, 88.0);
/// `ln 2` in two parts: the first has trailing zeros, so that its product with a small integer is exact.
#[cfg(target_arch = "x86_64")]
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// `1 / 7!` down to `1 / 2!`, then the two ones: for Horner's rule.
#[cfg(target_arch = "x86_64")]
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
