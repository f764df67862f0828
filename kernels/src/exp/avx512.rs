//! Sixteen at once.

use std::arch::x86_64::*;

use super::{LN_2, RANGE, TAYLOR};

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn exp(x: __m512) -> __m512 {
    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(RANGE.0)), _mm512_set1_ps(RANGE.1));
    let n = _mm512_roundscale_ps::<0>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2.0), x);
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2.1), r);
    let mut sum = _mm512_set1_ps(TAYLOR[0]);
    for factor in &TAYLOR[1..] {
        sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(*factor));
    }
    _mm512_scalef_ps(sum, n)
}
