//! What the gate means. Also takes the ends of rows for the other versions.

use super::GELU;

pub(super) fn gate_mul<const IS_GELU: bool>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let g = *gate;
        let t = if IS_GELU { g * (GELU[0] + GELU[1] * g * g) } else { g };
        *gate = g / (1.0 + (-t).exp()) * up;
    }
}
