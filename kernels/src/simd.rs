//! The loads, stores and sums that the x86 versions share: the only place where they touch memory by
//! address, but for tiles (`tiles`, `packed::amx` and `peak::amx`).
//!
//! Each takes a reference to an array of the very size it moves, so it is safe for every caller that has the
//! instructions. None asks for alignment.

use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_16(from: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; the load is unaligned.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_32(from: &[u8; 32]) -> __m256i {
    // SAFETY: 32 readable bytes; the load is unaligned.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// A vector of 64 bytes, in two registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_two_32(from: &[u8; 64]) -> [__m256i; 2] {
    let (halves, _) = from.as_chunks::<32>();
    [load_32(&halves[0]), load_32(&halves[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_f32x8(from: &[f32; 8]) -> __m256 {
    // SAFETY: 32 readable bytes; the load is unaligned.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_f32x8(to: &mut [f32; 8], value: __m256) {
    // SAFETY: 32 writable bytes; the store is unaligned.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_i8x32(to: &mut [i8; 32], value: __m256i) {
    // SAFETY: 32 writable bytes; the store is unaligned.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_u8x32(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: 32 writable bytes; the store is unaligned.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Eight halves, widened.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn load_f16x8(from: &[u8; 16]) -> __m256 {
    _mm256_cvtph_ps(load_16(from))
}

/// The sum of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sum_f32x8(value: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The largest of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn max_f32x8(value: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_64(from: &[u8; 64]) -> __m512i {
    // SAFETY: 64 readable bytes; the load is unaligned.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_f32x16(from: &[f32; 16]) -> __m512 {
    // SAFETY: 64 readable bytes; the load is unaligned.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_f32x16(to: &mut [f32; 16], value: __m512) {
    // SAFETY: 64 writable bytes; the store is unaligned.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_i8x16(to: &mut [i8; 16], value: __m128i) {
    // SAFETY: 16 writable bytes; the store is unaligned.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_64(to: &mut [u8; 64], value: __m512i) {
    // SAFETY: 64 writable bytes; the store is unaligned.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_u8x16(to: &mut [u8; 16], value: __m128i) {
    // SAFETY: 16 writable bytes; the store is unaligned.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_i32x16(from: &[i32; 16]) -> __m512i {
    // SAFETY: 64 readable bytes; the load is unaligned.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Sixteen halves, widened.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_f16x16(from: &[u8; 32]) -> __m512 {
    // SAFETY: 32 readable bytes; the load is unaligned.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
}
