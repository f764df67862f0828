//! RMS norm: `out[i] = x[i] / sqrt(mean of squares + eps) * weight[i]`.

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

/// Writes the norm of `x`.
///
/// # Panics
/// If the three slices differ in length.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(
        x.len() == weight.len() && x.len() == out.len(),
        "rms_norm: {} values, {} weights, {} results",
        x.len(),
        weight.len(),
        out.len()
    );
    let mean = dispatch!(isa, sum_of_squares(x)) / x.len() as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}
