//! Sixteen values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::simd::load_f32x16;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut sum = _mm512_setzero_ps();
    for x in body {
        let x = load_f32x16(x);
        sum = _mm512_fmadd_ps(x, x, sum);
    }
    _mm512_reduce_add_ps(sum) + scalar::sum_of_squares(tail)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn sum(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut sum = _mm512_setzero_ps();
    for x in body {
        sum = _mm512_add_ps(sum, load_f32x16(x));
    }
    _mm512_reduce_add_ps(sum) + scalar::sum(tail)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn squares_around(x: &[f32], mean: f32) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut sum = _mm512_setzero_ps();
    for x in body {
        let off = _mm512_sub_ps(load_f32x16(x), _mm512_set1_ps(mean));
        sum = _mm512_fmadd_ps(off, off, sum);
    }
    _mm512_reduce_add_ps(sum) + scalar::squares_around(tail, mean)
}
