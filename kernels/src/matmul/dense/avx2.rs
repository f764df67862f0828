//! Eight elements a step, in two chains for each column so that additions need not wait for each other.

use std::arch::x86_64::*;

use super::{element, scalar};
use crate::simd::{load_32, load_f16x8, load_f32x8, sum_f32x8};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows<const HALF: bool, const N: usize>(weights: &[u8], x: [&[f32]; N], out: &mut [[f32; N]]) {
    let bodies = x.map(|x| x.as_chunks::<16>().0);
    let body = bodies[0].len() * 16;
    for (row, out) in weights.chunks_exact(x[0].len() * element(HALF)).zip(out) {
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        let (row, tail) = row.split_at(body * element(HALF));
        for (step, w) in row.chunks_exact(16 * element(HALF)).enumerate() {
            let (low, high) = w.split_at(8 * element(HALF));
            let (low, high) = (eight::<HALF>(low), eight::<HALF>(high));
            for (sums, x) in sums.iter_mut().zip(bodies) {
                let (x, _) = x[step].as_chunks::<8>();
                sums[0] = _mm256_fmadd_ps(low, load_f32x8(&x[0]), sums[0]);
                sums[1] = _mm256_fmadd_ps(high, load_f32x8(&x[1]), sums[1]);
            }
        }
        for ((out, sums), x) in out.iter_mut().zip(sums).zip(x) {
            *out = sum_f32x8(_mm256_add_ps(sums[0], sums[1])) + scalar::dot::<HALF>(tail, &x[body..]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn eight<const HALF: bool>(bytes: &[u8]) -> __m256 {
    if HALF {
        load_f16x8(bytes.first_chunk().expect("eight halves"))
    } else {
        _mm256_castsi256_ps(load_32(bytes.first_chunk().expect("eight floats")))
    }
}
