//! Thirty-two weights a step; the scale is multiplied in as 16-bit integers.

use std::arch::x86_64::*;

use super::{BYTES, Parts, parts};
use crate::{
    columns::Q8x256,
    simd::{f16, load_16, load_32, load_i8x32, load_i16x16, sum_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    let columns = x.map(|x| (x.q.as_chunks::<256>().0, x.scales, x.sums.as_chunks::<16>().0));
    let (blocks, _) = weights.as_chunks::<BYTES>();
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        let mut sums = [_mm256_setzero_ps(); N];
        for (i, block) in row.iter().enumerate() {
            let Parts { halves, scales, d } = parts(block);
            let d = f16(d);
            let mut dots = [_mm256_setzero_si256(); N];
            for (half, (low, high)) in halves.into_iter().enumerate() {
                let w = six_bits(low, high);
                for (quarter, w) in w.into_iter().enumerate() {
                    let at = 4 * half + quarter;
                    let scale = pair(scales[2 * at] as i8, scales[2 * at + 1] as i8);
                    for (dot, (q, ..)) in dots.iter_mut().zip(columns) {
                        let products = _mm256_maddubs_epi16(w, load_i8x32(&q[i].as_chunks::<32>().0[at]));
                        *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(products, scale));
                    }
                }
            }
            let scales = _mm256_cvtepi8_epi16(load_16(scales));
            for ((sum, dot), (_, x_scales, x_sums)) in sums.iter_mut().zip(dots).zip(columns) {
                let offset = _mm256_slli_epi32::<5>(_mm256_madd_epi16(scales, load_i16x16(&x_sums[i])));
                let dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dot, offset));
                *sum = _mm256_fmadd_ps(_mm256_set1_ps(d * x_scales[i]), dot, *sum);
            }
        }
        *out = sums.map(|sum| sum_f32x8(sum));
    }
}

/// The 128 weights of a half, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn six_bits(low: &[u8; 64], high: &[u8; 32]) -> [__m256i; 4] {
    let (low, _) = low.as_chunks::<32>();
    let (a, b, top) = (load_32(&low[0]), load_32(&low[1]), load_32(high));
    let (nibble, bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    // Shifts of 16-bit lanes carry bits from byte to byte; the masks drop them.
    let join = |low: __m256i, top: __m256i| _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(top, bits));
    [
        join(a, _mm256_slli_epi16::<4>(top)),
        join(b, _mm256_slli_epi16::<2>(top)),
        join(_mm256_srli_epi16::<4>(a), top),
        join(_mm256_srli_epi16::<4>(b), _mm256_srli_epi16::<2>(top)),
    ]
}

/// Eight lanes of `low`, then eight of `high`.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(low: i8, high: i8) -> __m256i {
    _mm256_set_m128i(_mm_set1_epi16(i16::from(high)), _mm_set1_epi16(i16::from(low)))
}
