//! Eight values a step.

use std::arch::x86_64::*;

use super::{GELU, scalar};
use crate::{
    exp::avx2::exp,
    simd::{load_f32x8, store_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gate_mul<const IS_GELU: bool>(gate: &mut [f32], up: &[f32]) {
    let (gates, gates_tail) = gate.as_chunks_mut::<8>();
    let (ups, ups_tail) = up.as_chunks::<8>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let g = load_f32x8(gate);
        let t = if IS_GELU {
            let square = _mm256_mul_ps(g, g);
            _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_set1_ps(GELU[1]), square, _mm256_set1_ps(GELU[0])))
        } else {
            g
        };
        let below = _mm256_add_ps(_mm256_set1_ps(1.0), exp(_mm256_sub_ps(_mm256_setzero_ps(), t)));
        store_f32x8(gate, _mm256_mul_ps(_mm256_div_ps(g, below), load_f32x8(up)));
    }
    scalar::gate_mul::<IS_GELU>(gates_tail, ups_tail);
}
