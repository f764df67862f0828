//! What a product with Q6_K means.

use half::f16;

use super::{BYTES, Parts, parts};
use crate::columns::Q8x256;

pub(super) fn rows<const N: usize>(weights: &[u8], x: [Q8x256<'_>; N], out: &mut [[f32; N]]) {
    let (blocks, _) = weights.as_chunks::<BYTES>();
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        *out = [0.0; N];
        for (i, block) in row.iter().enumerate() {
            let (w, scales, d) = integers(block);
            for (x, out) in x.iter().zip(out.iter_mut()) {
                let mut dot = 0;
                for ((w, q), &scale) in w.as_chunks::<16>().0.iter().zip(x.q[256 * i..].chunks(16)).zip(scales) {
                    let group: i32 = w.iter().zip(q).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                    dot += i32::from(scale as i8) * group;
                }
                *out += d * x.scales[i] * dot as f32;
            }
        }
    }
}

fn integers(block: &[u8; BYTES]) -> ([i8; 256], &[u8; 16], f32) {
    let Parts { halves, scales, d } = parts(block);
    let w = std::array::from_fn(|i| {
        let ((low, high), within) = (halves[i / 128], i % 128);
        let low = low[within % 64] >> (4 * (within / 64)) & 15;
        let high = high[within % 32] >> (2 * (within / 32)) & 3;
        (low | high << 4) as i8 - 32
    });
    (w, scales, f16::from_le_bytes(d).to_f32())
}
