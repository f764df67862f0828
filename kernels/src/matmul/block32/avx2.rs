//! One block a step.

use std::arch::x86_64::*;

use crate::{
    columns::Q8x32,
    simd::{f16, load_16, load_32, load_i8x32, sum_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows<const NIBBLES: bool, const BYTES: usize, const N: usize>(
    weights: &[u8],
    x: [Q8x32<'_>; N],
    out: &mut [[f32; N]],
) {
    let columns = x.map(|x| (x.q.as_chunks::<32>().0, x.scales));
    let (blocks, _) = weights.as_chunks::<BYTES>();
    let ones = _mm256_set1_epi16(1);
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        let mut sums = [_mm256_setzero_ps(); N];
        for (i, block) in row.iter().enumerate() {
            let d = f16([block[0], block[1]]);
            let w = integers::<NIBBLES, BYTES>(block);
            let size = _mm256_abs_epi8(w);
            for (sum, (q, scales)) in sums.iter_mut().zip(columns) {
                let signed = _mm256_sign_epi8(load_i8x32(&q[i]), w);
                let dot = _mm256_madd_epi16(_mm256_maddubs_epi16(size, signed), ones);
                *sum = _mm256_fmadd_ps(_mm256_set1_ps(d * scales[i]), _mm256_cvtepi32_ps(dot), *sum);
            }
        }
        *out = sums.map(|sum| sum_f32x8(sum));
    }
}

/// The 32 weights of a block as signed bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn integers<const NIBBLES: bool, const BYTES: usize>(block: &[u8; BYTES]) -> __m256i {
    if NIBBLES {
        let bytes = load_16(block.last_chunk().expect("16 bytes after the scale"));
        let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
        _mm256_sub_epi8(_mm256_and_si256(both, _mm256_set1_epi8(15)), _mm256_set1_epi8(8))
    } else {
        load_32(block.last_chunk().expect("32 bytes after the scale"))
    }
}
