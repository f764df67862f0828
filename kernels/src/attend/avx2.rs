//! Up to 32 places at a time stay in registers while all rows pass.

use std::arch::x86_64::*;

use super::scalar;
use crate::simd::{load_f16x8, load_f32x8, store_f32x8};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn weighted_sum(weights: &[f32], rows: &[u8], out: &mut [f32]) {
    let row = 2 * out.len();
    let mut at = 0;
    let (wide, rest) = out.as_chunks_mut::<32>();
    for out in wide {
        band(weights, rows, row, at, out.as_chunks_mut::<8>().0.first_chunk_mut::<4>().expect("four eights"));
        at += 32;
    }
    let (narrow, tail) = rest.as_chunks_mut::<8>();
    for out in narrow {
        band(weights, rows, row, at, std::array::from_mut(out));
        at += 8;
    }
    if !tail.is_empty() {
        for (weight, row) in weights.iter().zip(rows.chunks_exact(row)) {
            scalar::add(*weight, &row[2 * at..], tail);
        }
    }
}

/// Places `at..at + 8 * N` of every row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn band<const N: usize>(weights: &[f32], rows: &[u8], row: usize, at: usize, out: &mut [[f32; 8]; N]) {
    let mut sums = [_mm256_setzero_ps(); N];
    for (sum, out) in sums.iter_mut().zip(out.iter()) {
        *sum = load_f32x8(out);
    }
    for (weight, row) in weights.iter().zip(rows.chunks_exact(row)) {
        let weight = _mm256_set1_ps(*weight);
        for (sum, halves) in sums.iter_mut().zip(row[2 * at..][..16 * N].as_chunks::<16>().0) {
            *sum = _mm256_fmadd_ps(weight, load_f16x8(halves), *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        store_f32x8(out, sum);
    }
}
