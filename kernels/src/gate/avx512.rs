//! Sixteen values a step.

use std::arch::x86_64::*;

use super::{GELU, scalar};
use crate::{
    exp::avx512::exp,
    simd::{load_f32x16, store_f32x16},
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn gate_mul<const IS_GELU: bool>(gate: &mut [f32], up: &[f32]) {
    let (gates, gates_tail) = gate.as_chunks_mut::<16>();
    let (ups, ups_tail) = up.as_chunks::<16>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let g = load_f32x16(gate);
        let t = if IS_GELU {
            let square = _mm512_mul_ps(g, g);
            _mm512_mul_ps(g, _mm512_fmadd_ps(_mm512_set1_ps(GELU[1]), square, _mm512_set1_ps(GELU[0])))
        } else {
            g
        };
        let below = _mm512_add_ps(_mm512_set1_ps(1.0), exp(_mm512_sub_ps(_mm512_setzero_ps(), t)));
        store_f32x16(gate, _mm512_mul_ps(_mm512_div_ps(g, below), load_f32x16(up)));
    }
    scalar::gate_mul::<IS_GELU>(gates_tail, ups_tail);
}
