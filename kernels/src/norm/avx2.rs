//! Eight values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::simd::{load_f32x8, sum_f32x8};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<8>();
    let mut sum = _mm256_setzero_ps();
    for x in body {
        let x = load_f32x8(x);
        sum = _mm256_fmadd_ps(x, x, sum);
    }
    sum_f32x8(sum) + scalar::sum_of_squares(tail)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<8>();
    let mut sum = _mm256_setzero_ps();
    for x in body {
        sum = _mm256_add_ps(sum, load_f32x8(x));
    }
    sum_f32x8(sum) + scalar::sum(tail)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn squares_around(x: &[f32], mean: f32) -> f32 {
    let (body, tail) = x.as_chunks::<8>();
    let mut sum = _mm256_setzero_ps();
    for x in body {
        let off = _mm256_sub_ps(load_f32x8(x), _mm256_set1_ps(mean));
        sum = _mm256_fmadd_ps(off, off, sum);
    }
    sum_f32x8(sum) + scalar::squares_around(tail, mean)
}
