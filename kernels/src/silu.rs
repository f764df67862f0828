//! The gate of a SwiGLU block: `gate[i] = gate[i] / (1 + e^-gate[i]) * up[i]`.

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

/// Replaces `gate` by `silu(gate) * up`.
///
/// # Panics
/// If the slices differ in length.
pub fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    assert!(gate.len() == up.len(), "silu_mul: {} gates and {} values", gate.len(), up.len());
    dispatch!(isa, silu_mul(gate, up))
}
