//! Thirty-two weights a step; the scale is multiplied in as 16-bit integers.

use std::arch::x86_64::*;

use super::{BYTES, scales_and_mins};
use crate::{
    columns::Q8x256,
    simd::{f16, load_32, load_i8x32, load_i16x16, sum_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    let columns = x.map(|x| (x.q.as_chunks::<256>().0, x.scales, x.sums.as_chunks::<16>().0));
    let (blocks, _) = weights.as_chunks::<BYTES>();
    let nibble = _mm256_set1_epi8(15);
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        let mut sums = [_mm256_setzero_ps(); N];
        for (i, block) in row.iter().enumerate() {
            let (d, dmin) = (f16([block[0], block[1]]), f16([block[2], block[3]]));
            let (scales, mins) = scales_and_mins(block);
            let mut dots = [_mm256_setzero_si256(); N];
            for (run, n) in block[16..].as_chunks::<32>().0.iter().enumerate() {
                let n = load_32(n);
                let low = _mm256_and_si256(n, nibble);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(n), nibble);
                let low_scale = _mm256_set1_epi16(i16::from(scales[2 * run]));
                let high_scale = _mm256_set1_epi16(i16::from(scales[2 * run + 1]));
                for (dot, (q, ..)) in dots.iter_mut().zip(columns) {
                    let (q, _) = q[i].as_chunks::<32>();
                    let low = _mm256_maddubs_epi16(low, load_i8x32(&q[2 * run]));
                    let high = _mm256_maddubs_epi16(high, load_i8x32(&q[2 * run + 1]));
                    *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(low, low_scale));
                    *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(high, high_scale));
                }
            }
            let mins = minimums(mins);
            for ((sum, dot), (_, scales, x_sums)) in sums.iter_mut().zip(dots).zip(columns) {
                let below = _mm256_madd_epi16(mins, load_i16x16(&x_sums[i]));
                let (above, under) = (_mm256_set1_ps(d * scales[i]), _mm256_set1_ps(dmin * scales[i]));
                *sum = _mm256_fmadd_ps(above, _mm256_cvtepi32_ps(dot), *sum);
                *sum = _mm256_fnmadd_ps(under, _mm256_cvtepi32_ps(below), *sum);
            }
        }
        *out = sums.map(|sum| sum_f32x8(sum));
    }
}

/// Each minimum twice, as the sums of activations come in sixteens.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn minimums(mins: [u8; 8]) -> __m256i {
    let mins = _mm_cvtsi64_si128(i64::from_le_bytes(mins));
    _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(mins, mins))
}
