//! Eight values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx2::exp,
    simd::{load_f32x8, max_f32x8, store_f32x8, sum_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exponentials(x: &mut [f32], scale: f32, shift: f32) -> f32 {
    let (body, tail) = x.as_chunks_mut::<8>();
    let (factor, away) = (_mm256_set1_ps(scale), _mm256_set1_ps(shift));
    let mut sum = _mm256_setzero_ps();
    for x in body {
        let e = exp(_mm256_sub_ps(_mm256_mul_ps(load_f32x8(x), factor), away));
        store_f32x8(x, e);
        sum = _mm256_add_ps(sum, e);
    }
    sum_f32x8(sum) + scalar::exponentials(tail, scale, shift)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn largest(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<8>();
    // Two chains, as a maximum waits for the one before.
    let mut largest = [_mm256_set1_ps(f32::NEG_INFINITY); 2];
    for (i, x) in body.iter().enumerate() {
        largest[i % 2] = _mm256_max_ps(largest[i % 2], load_f32x8(x));
    }
    max_f32x8(_mm256_max_ps(largest[0], largest[1])).max(scalar::largest(tail))
}
