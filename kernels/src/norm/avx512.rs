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
