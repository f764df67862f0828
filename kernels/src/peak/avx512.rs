use std::{arch::x86_64::*, hint::black_box};

use super::{LEFT, NOTHING, Products, RIGHT, scalar};
use crate::simd::load_64;

/// Chains: with a factor each, all fit into the registers.
const CHAINS: usize = 12;

#[target_feature(enable = "avx512f")]
pub(super) fn read(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<512>();
    let mut all = [_mm512_setzero_si512(); 8];
    for chunk in chunks {
        for (all, part) in all.iter_mut().zip(chunk.as_chunks::<64>().0) {
            *all = _mm512_xor_si512(*all, load_64(part));
        }
    }
    let all = all.into_iter().fold(_mm512_setzero_si512(), |one, other| _mm512_xor_si512(one, other));
    let halves = [_mm512_extracti64x4_epi64::<0>(all), _mm512_extracti64x4_epi64::<1>(all)];
    let half = _mm256_xor_si256(halves[0], halves[1]);
    let quarter = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    let words = [_mm_cvtsi128_si64(quarter), _mm_extract_epi64::<1>(quarter)];
    scalar::read(rest) ^ words[0].cast_unsigned() ^ words[1].cast_unsigned()
}

/// Three instructions for 64 products, as with half the width.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn multiply(steps: u32) -> Products {
    let rights: [__m512i; CHAINS] = std::array::from_fn(|_| _mm512_set1_epi8(black_box(RIGHT)));
    let (ones, change) = (_mm512_set1_epi16(1), _mm512_set1_epi32(black_box(NOTHING)));
    let mut left = _mm512_set1_epi8(LEFT.cast_signed());
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..steps {
        left = _mm512_xor_si512(left, change);
        for (sum, right) in sums.iter_mut().zip(rights) {
            let pairs = _mm512_maddubs_epi16(left, right);
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(pairs, ones));
        }
    }
    let sum = sums.into_iter().fold(0, |all: i32, sum| all.wrapping_add(_mm512_reduce_add_epi32(sum)));
    Products { count: u64::from(steps) * (CHAINS * 64) as u64, sum }
}
