//! Sixteen elements a step, in two chains for each column so that additions need not wait for each other.

use std::arch::x86_64::*;

use super::{element, scalar};
use crate::simd::{load_64, load_f16x16, load_f32x16};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn rows<const HALF: bool, const N: usize>(weights: &[u8], x: [&[f32]; N], out: &mut [[f32; N]]) {
    let bodies = x.map(|x| x.as_chunks::<32>().0);
    let body = bodies[0].len() * 32;
    for (row, out) in weights.chunks_exact(x[0].len() * element(HALF)).zip(out) {
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        let (row, tail) = row.split_at(body * element(HALF));
        for (step, w) in row.chunks_exact(32 * element(HALF)).enumerate() {
            let (low, high) = w.split_at(16 * element(HALF));
            let (low, high) = (sixteen::<HALF>(low), sixteen::<HALF>(high));
            for (sums, x) in sums.iter_mut().zip(bodies) {
                let (x, _) = x[step].as_chunks::<16>();
                sums[0] = _mm512_fmadd_ps(low, load_f32x16(&x[0]), sums[0]);
                sums[1] = _mm512_fmadd_ps(high, load_f32x16(&x[1]), sums[1]);
            }
        }
        for ((out, sums), x) in out.iter_mut().zip(sums).zip(x) {
            let whole = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
            *out = whole + scalar::dot::<HALF>(tail, &x[body..]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen<const HALF: bool>(bytes: &[u8]) -> __m512 {
    if HALF {
        load_f16x16(bytes.first_chunk().expect("sixteen halves"))
    } else {
        _mm512_castsi512_ps(load_64(bytes.first_chunk().expect("sixteen floats")))
    }
}
