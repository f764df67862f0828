//! Sixteen values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx512::exp,
    simd::{load_f32x16, store_f32x16},
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn exp_and_sum(x: &mut [f32], scale: f32, largest: f32) -> f32 {
    let (body, tail) = x.as_chunks_mut::<16>();
    let (factor, shift) = (_mm512_set1_ps(scale), _mm512_set1_ps(largest));
    let mut sum = _mm512_setzero_ps();
    for x in body {
        let e = exp(_mm512_sub_ps(_mm512_mul_ps(load_f32x16(x), factor), shift));
        store_f32x16(x, e);
        sum = _mm512_add_ps(sum, e);
    }
    _mm512_reduce_add_ps(sum) + scalar::exp_and_sum(tail, scale, largest)
}
