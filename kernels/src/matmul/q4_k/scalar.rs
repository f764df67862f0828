//! What a product with Q4_K means.

use half::f16;

use super::{BYTES, scales_and_mins};
use crate::columns::Q8x256;

pub(super) fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    let (blocks, _) = weights.as_chunks::<BYTES>();
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        *out = [0.0; N];
        for (i, block) in row.iter().enumerate() {
            let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let dmin = f16::from_le_bytes([block[2], block[3]]).to_f32();
            let (scales, mins) = scales_and_mins(block);
            for (x, out) in x.iter().zip(out.iter_mut()) {
                let (q, sums) = (&x.q[256 * i..][..256], &x.sums[16 * i..][..16]);
                let mut dot = 0;
                for (run, n) in block[16..].as_chunks::<32>().0.iter().enumerate() {
                    let (low, high) = q[64 * run..][..64].split_at(32);
                    let low: i32 = n.iter().zip(low).map(|(n, &x)| i32::from(n & 15) * i32::from(x)).sum();
                    let high: i32 = n.iter().zip(high).map(|(n, &x)| i32::from(n >> 4) * i32::from(x)).sum();
                    dot += i32::from(scales[2 * run]) * low + i32::from(scales[2 * run + 1]) * high;
                }
                let below: i32 = sums.iter().enumerate().map(|(j, &s)| i32::from(mins[j / 2]) * i32::from(s)).sum();
                *out += x.scales[i] * (d * dot as f32 - dmin * below as f32);
            }
        }
    }
}
