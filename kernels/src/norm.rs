//! RMS norm: `out[i] = x[i] / sqrt(mean of squares + eps) * weight[i]`.
//! Layer norm: `out[i] = (x[i] - mean) / sqrt(mean of squares of those + eps) * weight[i] + bias[i]`.

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

/// Writes the layer norm of `x`.
///
/// # Panics
/// If the four slices differ in length.
pub fn layer_norm(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    assert!(
        x.len() == weight.len() && x.len() == bias.len() && x.len() == out.len(),
        "layer_norm: {} values, {} weights, {} biases, {} results",
        x.len(),
        weight.len(),
        bias.len(),
        out.len()
    );
    let mean = dispatch!(isa, sum(x)) / x.len() as f32;
    let variance = dispatch!(isa, squares_around(x, mean)) / x.len() as f32;
    let scale = 1.0 / (variance + eps).sqrt();
    for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
        *out = (x - mean) * scale * weight + bias;
    }
}
