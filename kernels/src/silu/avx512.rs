//! Sixteen values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx512::exp,
    simd::{load_f32x16, store_f32x16},
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let (gates, gates_tail) = gate.as_chunks_mut::<16>();
    let (ups, ups_tail) = up.as_chunks::<16>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let g = load_f32x16(gate);
        let below = _mm512_add_ps(_mm512_set1_ps(1.0), exp(_mm512_sub_ps(_mm512_setzero_ps(), g)));
        store_f32x16(gate, _mm512_mul_ps(_mm512_div_ps(g, below), load_f32x16(up)));
    }
    scalar::silu_mul(gates_tail, ups_tail);
}
