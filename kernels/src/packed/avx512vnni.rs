//! The same vectors; four products of bytes, or two of 16 bits, are added to a sum by one instruction.

use std::arch::x86_64::*;

use super::{
    avx512::{
        Bytes, Floats, Ints, add, add_product, add_scaled, and, bytes, floats, halves, load, lookup, mul, none, or,
        or_where, pairs, shift, singles, splat, store, take_product, two, upper_halves, zero,
    },
    tile::{F16, F32, element_bytes, tiles},
};

tiles!(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]);

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products<P: Packing>(sum: Ints, w: Bytes, x: [i8; 4]) -> Ints {
    _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(i32::from_le_bytes(x.map(|x| x as u8))))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn start<P: Packing>(start: i32) -> Ints {
    if const { P::LAYOUT.centred() } { _mm512_set1_epi32(start) } else { none() }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn add_pairs(sum: Ints, pairs: Ints, x: [i16; 2]) -> Ints {
    _mm512_dpwssd_epi32(sum, pairs, two(x))
}
