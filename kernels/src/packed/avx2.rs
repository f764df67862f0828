//! A vector is two registers: the first eight rows and the last.

use std::arch::x86_64::*;

use super::tile::{F16, F32, element_bytes, tiles};
use crate::simd::{load_16, load_32, load_f16x8, load_two_32 as load, store_f32x8};

pub(super) type Bytes = [__m256i; 2];
pub(super) type Ints = [__m256i; 2];
pub(super) type Floats = [__m256; 2];

tiles!(#[target_feature(enable = "avx2,fma,f16c")]);

/// As in the version for AVX-512.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products<P: Packing>(sum: Ints, w: Bytes, x: [i8; 4]) -> Ints {
    let x = _mm256_set1_epi32(i32::from_le_bytes(x.map(|x| x as u8)));
    let add = |sum, w| {
        let (size, x) = if const { P::LAYOUT.centred() } {
            let w = _mm256_xor_si256(w, _mm256_set1_epi8(i8::MIN));
            (_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
        } else {
            (w, x)
        };
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(size, x), _mm256_set1_epi16(1)))
    };
    [add(sum[0], w[0]), add(sum[1], w[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn start<P: Packing>(_: i32) -> Ints {
    none()
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_pairs(sum: Ints, pairs: Ints, x: [i16; 2]) -> Ints {
    let x = two(x);
    let add = |sum, pairs| _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, x));
    [add(sum[0], pairs[0]), add(sum[1], pairs[1])]
}

/// Two numbers of 16 bits for each row.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn two(x: [i16; 2]) -> __m256i {
    _mm256_set1_epi32(i32::from(x[0]) & 0xffff | i32::from(x[1]) << 16)
}

/// Shifts 16 bits at a time: what passes from byte to byte is masked off by the caller.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift(v: Bytes, by: i32) -> Bytes {
    let left = |v| _mm256_sll_epi16(v, _mm_cvtsi32_si128(by));
    let right = |v| _mm256_srl_epi16(v, _mm_cvtsi32_si128(-by));
    if by >= 0 { [left(v[0]), left(v[1])] } else { [right(v[0]), right(v[1])] }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn and(v: Bytes, mask: u8) -> Bytes {
    let mask = _mm256_set1_epi8(mask as i8);
    [_mm256_and_si256(v[0], mask), _mm256_and_si256(v[1], mask)]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn or(a: Bytes, b: Bytes) -> Bytes {
    [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn or_where(v: Bytes, mask: u64, bit: u8) -> Bytes {
    // Each byte takes the byte of the mask that has its bit, and keeps that bit alone.
    let own = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
    let places = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let or = |v, mask: u32| {
        let mask = _mm256_shuffle_epi8(_mm256_set1_epi32(mask as i32), places);
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(mask, own), own);
        _mm256_or_si256(v, _mm256_and_si256(set, _mm256_set1_epi8(bit as i8)))
    };
    [or(v[0], mask as u32), or(v[1], (mask >> 32) as u32)]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lookup(table: &[u8; 16], v: Bytes) -> Bytes {
    let table = _mm256_broadcastsi128_si256(load_16(table));
    [_mm256_shuffle_epi8(table, v[0]), _mm256_shuffle_epi8(table, v[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn none() -> Ints {
    [_mm256_setzero_si256(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bytes(from: &[u8; 16]) -> Ints {
    let from = load_16(from);
    [_mm256_cvtepi8_epi32(from), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(from))]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_scaled(sum: Ints, a: Ints, b: Ints) -> Ints {
    let add = |sum, a, b| _mm256_add_epi32(sum, _mm256_mullo_epi32(a, b));
    [add(sum[0], a[0], b[0]), add(sum[1], a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pairs(from: &[u8; 32]) -> Ints {
    let (halves, _) = from.as_chunks::<16>();
    [_mm256_cvtepu8_epi16(load_16(&halves[0])), _mm256_cvtepu8_epi16(load_16(&halves[1]))]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn floats(v: Ints) -> Floats {
    [_mm256_cvtepi32_ps(v[0]), _mm256_cvtepi32_ps(v[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn zero() -> Floats {
    [_mm256_setzero_ps(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(x: f32) -> Floats {
    [_mm256_set1_ps(x); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn singles(from: &[u8; 64]) -> Floats {
    let (halves, _) = from.as_chunks::<32>();
    [_mm256_castsi256_ps(load_32(&halves[0])), _mm256_castsi256_ps(load_32(&halves[1]))]
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves(from: &[u8; 32]) -> Floats {
    let (halves, _) = from.as_chunks::<16>();
    [load_f16x8(&halves[0]), load_f16x8(&halves[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn upper_halves(from: &[u8; 32]) -> Floats {
    let (halves, _) = from.as_chunks::<16>();
    let widen = |from| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load_16(from))));
    [widen(&halves[0]), widen(&halves[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add(a: Floats, b: Floats) -> Floats {
    [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn mul(a: Floats, b: Floats) -> Floats {
    [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    [_mm256_fmadd_ps(a[0], b[0], sum[0]), _mm256_fmadd_ps(a[1], b[1], sum[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn take_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    [_mm256_fnmadd_ps(a[0], b[0], sum[0]), _mm256_fnmadd_ps(a[1], b[1], sum[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(v: Floats, to: &mut [f32; 16]) {
    let (halves, _) = to.as_chunks_mut::<8>();
    store_f32x8(&mut halves[0], v[0]);
    store_f32x8(&mut halves[1], v[1]);
}
