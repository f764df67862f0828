//! A vector is one register.

use std::arch::x86_64::*;

use super::{LARGEST, POSITIONS, scale_of, tile::mixes};
use crate::simd::{load_64, load_f32x16, store_f32x16, store_u8x16};

pub(super) type Bytes = __m512i;
pub(super) type Ints = __m512i;

mixes!(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]);

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn planes(weights: &[f32; POSITIONS], scales: &[f32; POSITIONS], planes: &mut Planes) {
    let (weights, scales) = (weights.as_chunks::<16>().0, scales.as_chunks::<16>().0);
    let mut products = [_mm512_setzero_ps(); POSITIONS / 16];
    let mut largest = _mm512_setzero_ps();
    for i in 0..POSITIONS / 16 {
        products[i] = _mm512_mul_ps(load_f32x16(&weights[i]), load_f32x16(&scales[i]));
        largest = _mm512_max_ps(largest, products[i]);
    }
    let (scale, inverse) = scale_of(_mm512_reduce_max_ps(largest), LARGEST);
    planes.scale = scale;
    let inverse = _mm512_set1_ps(inverse);
    let (high, low) = (planes.high.as_chunks_mut().0, planes.low.as_chunks_mut().0);
    for i in 0..POSITIONS / 16 {
        let whole = _mm512_cvtps_epi32(_mm512_mul_ps(products[i], inverse));
        store_u8x16(&mut high[i], _mm512_cvtepi32_epi8(_mm512_srli_epi32::<7>(whole)));
        store_u8x16(&mut low[i], _mm512_cvtepi32_epi8(_mm512_and_si512(whole, _mm512_set1_epi32(127))));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[u8; 64]) -> Bytes {
    load_64(from)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn none() -> Ints {
    _mm512_setzero_si512()
}

/// As in the version for AVX2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_products(sum: Ints, weights: [u8; 4], values: Bytes) -> Ints {
    let pairs = _mm512_maddubs_epi16(_mm512_set1_epi32(i32::from_le_bytes(weights)), values);
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add(sums: &mut [f32; 16], high: Ints, low: Ints, scale: f32) {
    let whole = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<7>(high), low));
    store_f32x16(sums, _mm512_fmadd_ps(whole, _mm512_set1_ps(scale), load_f32x16(sums)));
}
