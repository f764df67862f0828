//! The gate of a feed-forward block: `gate[i] = gate[i] / (1 + e^-t) * up[i]`.
//!
//! With `t = g` that is SwiGLU; with `t = 2 sqrt(2 / pi) (g + 0.044715 g^3)` it is GeGLU in the form with a hyperbolic
//! tangent, as `(1 + tanh u) / 2 = 1 / (1 + e^-2u)`.

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

/// `2 sqrt(2 / pi)`, and the same times 0.044715.
const GELU: [f32; 2] = [1.595_769, 0.071_354_814];

/// What a gate is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `g / (1 + e^-g)`.
    Silu,
    /// `g (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))) / 2`.
    Gelu,
}

/// Replaces `gate` by what it lets through of `up`.
///
/// # Panics
/// If the slices differ in length.
pub fn gate_mul(isa: Isa, kind: Gate, gate: &mut [f32], up: &[f32]) {
    assert!(gate.len() == up.len(), "gate_mul: {} gates and {} values", gate.len(), up.len());
    match kind {
        Gate::Silu => dispatch!(isa, gate_mul::<false>(gate, up)),
        Gate::Gelu => dispatch!(isa, gate_mul::<true>(gate, up)),
    }
}
