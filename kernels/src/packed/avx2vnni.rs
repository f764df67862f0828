//! The same vectors as AVX2 has; four products of bytes, or two of 16 bits, are added to a sum by one instruction.

use std::arch::x86_64::*;

use super::{
    avx2::{
        Bytes, Floats, Ints, add, add_product, add_scaled, and, bytes, floats, halves, lookup, mul, none, or, or_where,
        pairs, shift, singles, splat, store, take_product, two, upper_halves, zero,
    },
    tile::{F16, F32, element_bytes, tiles},
};
use crate::simd::load_two_32 as load;

tiles!(#[target_feature(enable = "avxvnni,avx2,fma,f16c")]);

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_products<P: Packing>(sum: Ints, w: Bytes, x: [i8; 4]) -> Ints {
    let x = _mm256_set1_epi32(i32::from_le_bytes(x.map(|x| x as u8)));
    [_mm256_dpbusd_avx_epi32(sum[0], w[0], x), _mm256_dpbusd_avx_epi32(sum[1], w[1], x)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn start<P: Packing>(start: i32) -> Ints {
    if const { P::LAYOUT.centred() } { [_mm256_set1_epi32(start); 2] } else { none() }
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_pairs(sum: Ints, pairs: Ints, x: [i16; 2]) -> Ints {
    let x = two(x);
    [_mm256_dpwssd_avx_epi32(sum[0], pairs[0], x), _mm256_dpwssd_avx_epi32(sum[1], pairs[1], x)]
}
