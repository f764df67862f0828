//! Two blocks a step, and the odd one by itself.
//!
//! The VNNI version differs in how 64 products of bytes become 16 sums: one instruction instead of two.

use std::arch::x86_64::*;

use super::avx2::integers;
use crate::{
    columns::Q8x32,
    simd::{f16, join_32, load_i8x32, load_i8x64},
};

macro_rules! version {
    ($visible:vis, $features:literal, $products:ident) => {
        #[target_feature(enable = $features)]
        $visible fn rows<const NIBBLES: bool, const BYTES: usize, const N: usize>(
            weights: &[u8],
            x: [Q8x32<'_>; N],
            out: &mut [[f32; N]],
        ) {
            let columns = x.map(|x| (x.q.as_chunks::<64>().0, x.q.as_chunks::<32>().0, x.scales));
            let (blocks, _) = weights.as_chunks::<BYTES>();
            let zero = _mm512_setzero_si512();
            for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
                let mut sums = [_mm512_setzero_ps(); N];
                let (pairs, odd) = row.as_chunks::<2>();
                for (i, [a, b]) in pairs.iter().enumerate() {
                    let w = join_32(integers::<NIBBLES, BYTES>(a), integers::<NIBBLES, BYTES>(b));
                    let (size, negative) = (_mm512_abs_epi8(w), _mm512_movepi8_mask(w));
                    let d = halves(f16([a[0], a[1]]), f16([b[0], b[1]]));
                    for (sum, (q, _, scales)) in sums.iter_mut().zip(columns) {
                        let q = load_i8x64(&q[i]);
                        let dot = $products(size, _mm512_mask_sub_epi8(q, negative, zero, q));
                        let scale = _mm512_mul_ps(d, halves(scales[2 * i], scales[2 * i + 1]));
                        *sum = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), *sum);
                    }
                }
                if let [a] = odd {
                    let w = _mm512_zextsi256_si512(integers::<NIBBLES, BYTES>(a));
                    let (size, negative) = (_mm512_abs_epi8(w), _mm512_movepi8_mask(w));
                    for (sum, (_, q, scales)) in sums.iter_mut().zip(columns) {
                        let i = scales.len() - 1;
                        let q = _mm512_zextsi256_si512(load_i8x32(&q[i]));
                        let dot = $products(size, _mm512_mask_sub_epi8(q, negative, zero, q));
                        let scale = _mm512_set1_ps(f16([a[0], a[1]]) * scales[i]);
                        *sum = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), *sum);
                    }
                }
                *out = sums.map(|sum| _mm512_reduce_add_ps(sum));
            }
        }
    };
}

version!(pub(super), "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", products);

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn products(unsigned: __m512i, signed: __m512i) -> __m512i {
    _mm512_madd_epi16(_mm512_maddubs_epi16(unsigned, signed), _mm512_set1_epi16(1))
}

pub(super) mod vnni {
    use super::*;

    version!(pub(in super::super), "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c", products);

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn products(unsigned: __m512i, signed: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(_mm512_setzero_si512(), unsigned, signed)
    }
}

/// Eight lanes of `low`, then eight of `high`.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(low: f32, high: f32) -> __m512 {
    _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(low), _mm512_set1_ps(high))
}
