//! Sixteen values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx512::exp,
    simd::{load_f32x16, store_f32x16},
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn exponentials(x: &mut [f32], scale: f32, shift: f32) -> f32 {
    let (body, tail) = x.as_chunks_mut::<16>();
    let (factor, away) = (_mm512_set1_ps(scale), _mm512_set1_ps(shift));
    let mut sum = _mm512_setzero_ps();
    for x in body {
        let e = exp(_mm512_sub_ps(_mm512_mul_ps(load_f32x16(x), factor), away));
        store_f32x16(x, e);
        sum = _mm512_add_ps(sum, e);
    }
    _mm512_reduce_add_ps(sum) + scalar::exponentials(tail, scale, shift)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn largest(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    // Two chains, as a maximum waits for the one before.
    let mut largest = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    for (i, x) in body.iter().enumerate() {
        largest[i % 2] = _mm512_max_ps(largest[i % 2], load_f32x16(x));
    }
    _mm512_reduce_max_ps(_mm512_max_ps(largest[0], largest[1])).max(scalar::largest(tail))
}
