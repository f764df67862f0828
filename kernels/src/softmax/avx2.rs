//! Eight values a step.

use std::arch::x86_64::*;

use super::scalar;
use crate::{
    exp::avx2::exp,
    simd::{load_f32x8, store_f32x8, sum_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp_and_sum(x: &mut [f32], scale: f32, largest: f32) -> f32 {
    let (body, tail) = x.as_chunks_mut::<8>();
    let (factor, shift) = (_mm256_set1_ps(scale), _mm256_set1_ps(largest));
    let mut sum = _mm256_setzero_ps();
    for x in body {
        let e = exp(_mm256_sub_ps(_mm256_mul_ps(load_f32x8(x), factor), shift));
        store_f32x8(x, e);
        sum = _mm256_add_ps(sum, e);
    }
    sum_f32x8(sum) + scalar::exp_and_sum(tail, scale, largest)
}
