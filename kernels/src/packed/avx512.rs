//! A vector is one register.

use std::arch::x86_64::*;

use super::tile::{F16, F32, element_bytes, tiles};
use crate::simd::{load_16, load_32, load_64, load_f16x16, store_f32x16};

pub(super) type Bytes = __m512i;
pub(super) type Ints = __m512i;
pub(super) type Floats = __m512;

tiles!(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]);

/// Instructions that multiply bytes take one unsigned side, and add two products in 16 bits. For codes that may be 255
/// the sign of what they stand for moves to the activation, `w * x = |w| * (sign(w) * x)`: with `|x| <= 127` two add up
/// to 2 * 128 * 127 = 32,512. Other codes are at most 31.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_products<P: Packing>(sum: Ints, w: Bytes, x: [i8; 4]) -> Ints {
    let x = _mm512_set1_epi32(i32::from_le_bytes(x.map(|x| x as u8)));
    let (size, x) = if const { P::LAYOUT.centred() } {
        let w = _mm512_xor_si512(w, _mm512_set1_epi8(i8::MIN));
        (_mm512_abs_epi8(w), _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x))
    } else {
        (w, x)
    };
    _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(size, x), _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn start<P: Packing>(_: i32) -> Ints {
    none()
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_pairs(sum: Ints, pairs: Ints, x: [i16; 2]) -> Ints {
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, two(x)))
}

/// Two numbers of 16 bits for each row.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn two(x: [i16; 2]) -> Ints {
    _mm512_set1_epi32(i32::from(x[0]) & 0xffff | i32::from(x[1]) << 16)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[u8; 64]) -> Bytes {
    load_64(from)
}

/// Shifts 16 bits at a time: what passes from byte to byte is masked off by the caller.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn shift(v: Bytes, by: i32) -> Bytes {
    if by >= 0 { _mm512_sll_epi16(v, _mm_cvtsi32_si128(by)) } else { _mm512_srl_epi16(v, _mm_cvtsi32_si128(-by)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn and(v: Bytes, mask: u8) -> Bytes {
    _mm512_and_si512(v, _mm512_set1_epi8(mask as i8))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn or(a: Bytes, b: Bytes) -> Bytes {
    _mm512_or_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn or_where(v: Bytes, mask: u64, bit: u8) -> Bytes {
    // The bit is not set yet.
    _mm512_mask_add_epi8(v, mask, v, _mm512_set1_epi8(bit as i8))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn lookup(table: &[u8; 16], v: Bytes) -> Bytes {
    _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_16(table)), v)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn none() -> Ints {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn bytes(from: &[u8; 16]) -> Ints {
    _mm512_cvtepi8_epi32(load_16(from))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_scaled(sum: Ints, a: Ints, b: Ints) -> Ints {
    _mm512_add_epi32(sum, _mm512_mullo_epi32(a, b))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pairs(from: &[u8; 32]) -> Ints {
    _mm512_cvtepu8_epi16(load_32(from))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn floats(v: Ints) -> Floats {
    _mm512_cvtepi32_ps(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn zero() -> Floats {
    _mm512_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(x: f32) -> Floats {
    _mm512_set1_ps(x)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn singles(from: &[u8; 64]) -> Floats {
    _mm512_castsi512_ps(load_64(from))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves(from: &[u8; 32]) -> Floats {
    load_f16x16(from)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn upper_halves(from: &[u8; 32]) -> Floats {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(load_32(from))))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add(a: Floats, b: Floats) -> Floats {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn mul(a: Floats, b: Floats) -> Floats {
    _mm512_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    _mm512_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn take_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    _mm512_fnmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(v: Floats, to: &mut [f32; 16]) {
    store_f32x16(to, v);
}
