//! Sixteen values at a time.

use std::arch::x86_64::*;

use super::scale_of;
use crate::simd::{load_f32x16, store_i8x16};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn group<const N: usize>(x: &[f32; N], q: &mut [i8; N]) -> f32 {
    let mut largest = _mm512_setzero_ps();
    for x in x.as_chunks::<16>().0 {
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load_f32x16(x)));
    }
    let (scale, inverse) = scale_of(_mm512_reduce_max_ps(largest));
    let inverse = _mm512_set1_ps(inverse);
    let bounds = _mm_set1_epi8(-127);
    for (x, q) in x.as_chunks::<16>().0.iter().zip(q.as_chunks_mut::<16>().0) {
        let whole = _mm512_cvtps_epi32(_mm512_mul_ps(load_f32x16(x), inverse));
        store_i8x16(q, _mm_max_epi8(_mm512_cvtsepi32_epi8(whole), bounds));
    }
    scale
}
