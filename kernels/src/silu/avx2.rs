//! Eight values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx2::exp,
    simd::{load_f32x8, store_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, gates_tail) = gate.as_chunks_mut::<8>();
    let (ups, ups_tail) = up.as_chunks::<8>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let g = load_f32x8(gate);
        let below = _mm256_add_ps(_mm256_set1_ps(1.0), exp(_mm256_sub_ps(_mm256_setzero_ps(), g)));
        store_f32x8(gate, _mm256_mul_ps(_mm256_div_ps(g, below), load_f32x8(up)));
    }
    scalar::silu_mul(gates_tail, ups_tail);
}
