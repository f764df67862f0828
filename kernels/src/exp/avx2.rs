//! Eight at once.

use std::arch::x86_64::*;

use super::{LN_2, RANGE, TAYLOR};

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn exp(x: __m256) -> __m256 {
    let x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(RANGE.0)), _mm256_set1_ps(RANGE.1));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(std::f32::consts::LOG2_E),
    ));
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2.0), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2.1), r);
    let mut sum = _mm256_set1_ps(TAYLOR[0]);
    for factor in &TAYLOR[1..] {
        sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(*factor));
    }
    // Adding n to the exponent multiplies by 2^n; the clamp keeps the exponent in range.
    let n = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), n))
}
