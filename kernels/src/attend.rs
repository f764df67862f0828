//! The second half of attention: `out[i] = sum of weights[p] * rows[p][i]` over rows of halves.
//!
//! The first half, queries times keys, is `matmul` with the keys as an F16 matrix.

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

/// Writes the weighted sum of the rows, which lie one after the other as halves.
///
/// # Panics
/// If `rows` is not one row of `out.len()` halves for each weight.
pub fn weighted_sum_f16(isa: Isa, weights: &[f32], rows: &[u8], out: &mut [f32]) {
    assert!(
        weights.len().checked_mul(2 * out.len()) == Some(rows.len()),
        "weighted_sum_f16: {} bytes for {} rows of {}",
        rows.len(),
        weights.len(),
        out.len()
    );
    out.fill(0.0);
    if !out.is_empty() {
        dispatch!(isa, weighted_sum(weights, rows, out))
    }
}
