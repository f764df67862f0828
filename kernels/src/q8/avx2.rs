//! Thirty-two values at a time, in four registers.

use std::arch::x86_64::*;

use super::scale_of;
use crate::simd::{load_f32x8, max_f32x8, store_i8x32};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn group<const N: usize>(x: &[f32; N], q: &mut [i8; N]) -> f32 {
    let absolute = _mm256_set1_ps(f32::from_bits(0x7fff_ffff));
    let mut largest = _mm256_setzero_ps();
    for x in x.as_chunks::<8>().0 {
        largest = _mm256_max_ps(largest, _mm256_and_ps(absolute, load_f32x8(x)));
    }
    let (scale, inverse) = scale_of(max_f32x8(largest));
    let inverse = _mm256_set1_ps(inverse);
    let bounds = _mm256_set1_epi8(-127);
    // Packing works on halves of registers: this order puts the eight groups of four back in line.
    let in_line = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (x, q) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0) {
        let (parts, _) = x.as_chunks::<8>();
        let whole = |part: &[f32; 8]| _mm256_cvtps_epi32(_mm256_mul_ps(load_f32x8(part), inverse));
        let low = _mm256_packs_epi32(whole(&parts[0]), whole(&parts[1]));
        let high = _mm256_packs_epi32(whole(&parts[2]), whole(&parts[3]));
        let packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), in_line);
        store_i8x32(q, _mm256_max_epi8(packed, bounds));
    }
    scale
}
