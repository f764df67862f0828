//! Sixty-four weights a step; the scale is multiplied in as 16-bit integers.
//!
//! The VNNI version differs in how a product with the scale is added: one instruction instead of two.

use std::arch::x86_64::*;

use super::{BYTES, Parts, parts};
use crate::{
    columns::Q8x256,
    simd::{add_products_i16, add_products_i16_vnni, f16, join_32, load_16, load_32, load_64, load_i8x64, load_i16x16},
};

macro_rules! version {
    ($visible:vis, $features:literal, $add_products:ident) => {
        #[target_feature(enable = $features)]
        $visible fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
            let columns = x.map(|x| (x.q.as_chunks::<256>().0, x.scales, x.sums.as_chunks::<16>().0));
            let (blocks, _) = weights.as_chunks::<BYTES>();
            for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
                let mut sums = [_mm512_setzero_ps(); N];
                for (i, block) in row.iter().enumerate() {
                    let Parts { halves, scales, d } = parts(block);
                    let d = f16(d);
                    let scales = _mm256_cvtepi8_epi16(load_16(scales));
                    let lanes = scale_lanes(scales);
                    let mut dots = [_mm512_setzero_si512(); N];
                    for (half, (low, high)) in halves.into_iter().enumerate() {
                        for (quarter, w) in six_bits(low, high).into_iter().enumerate() {
                            let at = 2 * half + quarter;
                            for (dot, (q, ..)) in dots.iter_mut().zip(columns) {
                                let q = load_i8x64(&q[i].as_chunks::<64>().0[at]);
                                *dot = $add_products(*dot, _mm512_maddubs_epi16(w, q), lanes[at]);
                            }
                        }
                    }
                    for ((sum, dot), (_, x_scales, x_sums)) in sums.iter_mut().zip(dots).zip(columns) {
                        let offset = _mm256_slli_epi32::<5>(_mm256_madd_epi16(scales, load_i16x16(&x_sums[i])));
                        let dot = _mm512_sub_epi32(dot, _mm512_zextsi256_si512(offset));
                        *sum = _mm512_fmadd_ps(_mm512_set1_ps(d * x_scales[i]), _mm512_cvtepi32_ps(dot), *sum);
                    }
                }
                *out = sums.map(|sum| _mm512_reduce_add_ps(sum));
            }
        }
    };
}

version!(pub(super), "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", add_products_i16);

pub(super) mod vnni {
    use super::*;

    version!(pub(in super::super), "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c", add_products_i16_vnni);
}

/// The 128 weights of a half, in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx2")]
fn six_bits(low: &[u8; 64], high: &[u8; 32]) -> [__m512i; 2] {
    let (low, top) = (load_64(low), load_32(high));
    let (nibble, bits) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
    // Shifts of 16-bit lanes carry bits from byte to byte; the masks drop them.
    let join = |low: __m512i, top: __m512i| _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(top, bits));
    [
        join(low, join_32(_mm256_slli_epi16::<4>(top), _mm256_slli_epi16::<2>(top))),
        join(_mm512_srli_epi16::<4>(low), join_32(top, _mm256_srli_epi16::<2>(top))),
    ]
}

/// For each 64 weights the four scales of their sixteens, eight lanes each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scale_lanes(scales: __m256i) -> [__m512i; 4] {
    let scales = _mm512_castsi256_si512(scales);
    // Lanes 0..8 take scale 0, lanes 8..16 scale 1, and so on: two 64-bit lanes share a number.
    let first = _mm512_set_epi64(
        0x0003_0003_0003_0003,
        0x0003_0003_0003_0003,
        0x0002_0002_0002_0002,
        0x0002_0002_0002_0002,
        0x0001_0001_0001_0001,
        0x0001_0001_0001_0001,
        0,
        0,
    );
    let four = _mm512_set1_epi16(4);
    let second = _mm512_add_epi16(first, four);
    let third = _mm512_add_epi16(second, four);
    [first, second, third, _mm512_add_epi16(third, four)].map(|lanes| _mm512_permutexvar_epi16(lanes, scales))
}
