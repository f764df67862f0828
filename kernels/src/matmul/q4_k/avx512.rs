//! Sixty-four weights a step; the scale is multiplied in as 16-bit integers.
//!
//! The VNNI version differs in how a product with the scale is added: one instruction instead of two.

use std::arch::x86_64::*;

use super::{BYTES, avx2::minimums, scales_and_mins};
use crate::{
    columns::Q8x256,
    simd::{add_products_i16, add_products_i16_vnni, f16, join_32, load_32, load_i8x64, load_i16x16},
};

macro_rules! version {
    ($visible:vis, $features:literal, $add_products:ident) => {
        #[target_feature(enable = $features)]
        $visible fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
            let columns = x.map(|x| (x.q.as_chunks::<256>().0, x.scales, x.sums.as_chunks::<16>().0));
            let (blocks, _) = weights.as_chunks::<BYTES>();
            let nibble = _mm512_set1_epi8(15);
            for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
                let mut sums = [_mm512_setzero_ps(); N];
                let mut unders = [_mm256_setzero_ps(); N];
                for (i, block) in row.iter().enumerate() {
                    let (d, dmin) = (f16([block[0], block[1]]), f16([block[2], block[3]]));
                    let (scales, mins) = scales_and_mins(block);
                    let scales = scale_lanes(scales);
                    let mut dots = [_mm512_setzero_si512(); N];
                    for (run, n) in block[16..].as_chunks::<32>().0.iter().enumerate() {
                        let n = load_32(n);
                        let w = _mm512_and_si512(join_32(n, _mm256_srli_epi16::<4>(n)), nibble);
                        for (dot, (q, ..)) in dots.iter_mut().zip(columns) {
                            let q = load_i8x64(&q[i].as_chunks::<64>().0[run]);
                            *dot = $add_products(*dot, _mm512_maddubs_epi16(w, q), scales[run]);
                        }
                    }
                    let mins = minimums(mins);
                    for (column, (_, scales, x_sums)) in columns.iter().enumerate() {
                        let (sum, under) = (&mut sums[column], &mut unders[column]);
                        let below = _mm256_cvtepi32_ps(_mm256_madd_epi16(mins, load_i16x16(&x_sums[i])));
                        let above = _mm512_cvtepi32_ps(dots[column]);
                        *sum = _mm512_fmadd_ps(_mm512_set1_ps(d * scales[i]), above, *sum);
                        *under = _mm256_fmadd_ps(_mm256_set1_ps(dmin * scales[i]), below, *under);
                    }
                }
                for ((out, sum), under) in out.iter_mut().zip(sums).zip(unders) {
                    *out = _mm512_reduce_add_ps(_mm512_sub_ps(sum, _mm512_zextps256_ps512(under)));
                }
            }
        }
    };
}

version!(pub(super), "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", add_products_i16);

pub(super) mod vnni {
    use super::*;

    version!(pub(in super::super), "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c", add_products_i16_vnni);
}

/// For each run of 64 weights the scale of its first 32 in 16 lanes, then that of its last 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
fn scale_lanes(scales: [u8; 8]) -> [__m512i; 4] {
    let scales = _mm512_castsi128_si512(_mm_cvtepu8_epi16(_mm_cvtsi64_si128(i64::from_le_bytes(scales))));
    let first = join_32(_mm256_setzero_si256(), _mm256_set1_epi16(1));
    let two = _mm512_set1_epi16(2);
    let second = _mm512_add_epi16(first, two);
    let third = _mm512_add_epi16(second, two);
    [first, second, third, _mm512_add_epi16(third, two)].map(|lanes| _mm512_permutexvar_epi16(lanes, scales))
}
