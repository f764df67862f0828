//! The same vectors; four products of bytes are added to a sum by one instruction.

use std::arch::x86_64::*;

pub(super) use super::avx512::planes;
use super::{
    avx512::{Bytes, Ints, add, load, none},
    tile::mixes,
};

mixes!(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]);

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products(sum: Ints, weights: [u8; 4], values: Bytes) -> Ints {
    _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(i32::from_le_bytes(weights)), values)
}
