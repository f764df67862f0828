//! The same vectors as AVX2 has; four products of bytes are added to a sum by one instruction.

use std::arch::x86_64::*;

pub(super) use super::avx2::planes;
use super::{
    avx2::{Bytes, Ints, add, none},
    tile::mixes,
};
use crate::simd::load_two_32 as load;

mixes!(#[target_feature(enable = "avxvnni,avx2,fma,f16c")]);

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_products(sum: Ints, weights: [u8; 4], values: Bytes) -> Ints {
    let weights = _mm256_set1_epi32(i32::from_le_bytes(weights));
    [_mm256_dpbusd_avx_epi32(sum[0], weights, values[0]), _mm256_dpbusd_avx_epi32(sum[1], weights, values[1])]
}
