use std::{arch::x86_64::*, hint::black_box};

use super::{LEFT, NOTHING, Products, RIGHT, scalar};
use crate::simd::load_32;

/// Chains: with a factor each, all fit into the registers.
const CHAINS: usize = 6;

#[target_feature(enable = "avx2")]
pub(super) fn read(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<256>();
    let mut all = [_mm256_setzero_si256(); 8];
    for chunk in chunks {
        for (all, part) in all.iter_mut().zip(chunk.as_chunks::<32>().0) {
            *all = _mm256_xor_si256(*all, load_32(part));
        }
    }
    let all = all.into_iter().fold(_mm256_setzero_si256(), |one, other| _mm256_xor_si256(one, other));
    let half = _mm_xor_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let words = [_mm_cvtsi128_si64(half), _mm_extract_epi64::<1>(half)];
    scalar::read(rest) ^ words[0].cast_unsigned() ^ words[1].cast_unsigned()
}

/// Three instructions for 32 products: there is none that does it all.
#[target_feature(enable = "avx2")]
pub(super) fn multiply(steps: u32) -> Products {
    let rights: [__m256i; CHAINS] = std::array::from_fn(|_| _mm256_set1_epi8(black_box(RIGHT)));
    let (ones, change) = (_mm256_set1_epi16(1), _mm256_set1_epi32(black_box(NOTHING)));
    let mut left = _mm256_set1_epi8(LEFT.cast_signed());
    let mut sums = [_mm256_setzero_si256(); CHAINS];
    for _ in 0..steps {
        left = _mm256_xor_si256(left, change);
        for (sum, right) in sums.iter_mut().zip(rights) {
            let pairs = _mm256_maddubs_epi16(left, right);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
        }
    }
    Products { count: u64::from(steps) * (CHAINS * 32) as u64, sum: sum_i32x8(sums) }
}

/// The sum of all lanes, of which whole turns are lost.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_i32x8<const N: usize>(sums: [__m256i; N]) -> i32 {
    let all = sums.into_iter().fold(_mm256_setzero_si256(), |one, other| _mm256_add_epi32(one, other));
    let four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(two).wrapping_add(_mm_extract_epi32::<1>(two))
}
