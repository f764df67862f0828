//! A vector is two registers: the first eight rows and the last.

use std::arch::x86_64::*;

use super::{LARGEST, POSITIONS, scale_of, tile::mixes};
use crate::simd::{load_f32x8, load_two_32 as load, max_f32x8, store_f32x8, store_u8x32};

pub(super) type Bytes = [__m256i; 2];
pub(super) type Ints = [__m256i; 2];

mixes!(#[target_feature(enable = "avx2,fma,f16c")]);

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn planes(weights: &[f32; POSITIONS], scales: &[f32; POSITIONS], planes: &mut Planes) {
    let (weights, scales) = (weights.as_chunks::<8>().0, scales.as_chunks::<8>().0);
    let mut products = [_mm256_setzero_ps(); POSITIONS / 8];
    let mut largest = _mm256_setzero_ps();
    for i in 0..POSITIONS / 8 {
        products[i] = _mm256_mul_ps(load_f32x8(&weights[i]), load_f32x8(&scales[i]));
        largest = _mm256_max_ps(largest, products[i]);
    }
    let (scale, inverse) = scale_of(max_f32x8(largest), LARGEST);
    planes.scale = scale;
    let inverse = _mm256_set1_ps(inverse);
    // Packing works within halves of a register: this puts fours back in their order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let pack = |v: [__m256i; 4]| {
        let pairs = _mm256_packus_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        _mm256_permutevar8x32_epi32(pairs, order)
    };
    let halves = planes.high.as_chunks_mut::<32>().0.iter_mut().zip(planes.low.as_chunks_mut::<32>().0);
    for (half, (high, low)) in halves.enumerate() {
        let (mut highs, mut lows) = ([_mm256_setzero_si256(); 4], [_mm256_setzero_si256(); 4]);
        for i in 0..4 {
            let whole = _mm256_cvtps_epi32(_mm256_mul_ps(products[4 * half + i], inverse));
            highs[i] = _mm256_srli_epi32::<7>(whole);
            lows[i] = _mm256_and_si256(whole, _mm256_set1_epi32(127));
        }
        store_u8x32(high, pack(highs));
        store_u8x32(low, pack(lows));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn none() -> Ints {
    [_mm256_setzero_si256(); 2]
}

/// Two products of seven bits and eight add up to 2 * 127 * 127 = 32,258 at most, which 16 bits hold.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sum: Ints, weights: [u8; 4], values: Bytes) -> Ints {
    let weights = _mm256_set1_epi32(i32::from_le_bytes(weights));
    let add = |sum, values| {
        let pairs = _mm256_maddubs_epi16(weights, values);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    };
    [add(sum[0], values[0]), add(sum[1], values[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add(sums: &mut [f32; 16], high: Ints, low: Ints, scale: f32) {
    let scale = _mm256_set1_ps(scale);
    for (i, sums) in sums.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let whole = _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_slli_epi32::<7>(high[i]), low[i]));
        store_f32x8(sums, _mm256_fmadd_ps(whole, scale, load_f32x8(sums)));
    }
}
