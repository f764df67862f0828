//! Up to 64 places at a time stay in registers while all rows pass.

use std::arch::x86_64::*;

use super::scalar;
use crate::simd::{load_f16x16, load_f32x16, store_f32x16};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn weighted_sum(weights: &[f32], rows: &[u8], out: &mut [f32]) {
    let row = 2 * out.len();
    let mut at = 0;
    let (wide, rest) = out.as_chunks_mut::<64>();
    for out in wide {
        band(weights, rows, row, at, out.as_chunks_mut::<16>().0.first_chunk_mut::<4>().expect("four sixteens"));
        at += 64;
    }
    let (narrow, tail) = rest.as_chunks_mut::<16>();
    for out in narrow {
        band(weights, rows, row, at, std::array::from_mut(out));
        at += 16;
    }
    if !tail.is_empty() {
        for (weight, row) in weights.iter().zip(rows.chunks_exact(row)) {
            scalar::add(*weight, &row[2 * at..], tail);
        }
    }
}

/// Places `at..at + 16 * N` of every row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn band<const N: usize>(weights: &[f32], rows: &[u8], row: usize, at: usize, out: &mut [[f32; 16]; N]) {
    let mut sums = [_mm512_setzero_ps(); N];
    for (sum, out) in sums.iter_mut().zip(out.iter()) {
        *sum = load_f32x16(out);
    }
    for (weight, row) in weights.iter().zip(rows.chunks_exact(row)) {
        let weight = _mm512_set1_ps(*weight);
        for (sum, halves) in sums.iter_mut().zip(row[2 * at..][..32 * N].as_chunks::<32>().0) {
            *sum = _mm512_fmadd_ps(weight, load_f16x16(halves), *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        store_f32x16(out, sum);
    }
}
