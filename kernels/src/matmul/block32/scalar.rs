//! What a product with blocks of 32 means.

use half::f16;

use crate::columns::Q8x32;

pub(super) fn rows<const NIBBLES: bool, const BYTES: usize, const N: usize>(
    weights: &[u8],
    x: [Q8x32<'_>; N],
    out: &mut [[f32; N]],
) {
    let (blocks, _) = weights.as_chunks::<BYTES>();
    for (row, out) in blocks.chunks_exact(x[0].scales.len()).zip(out) {
        *out = [0.0; N];
        for (i, block) in row.iter().enumerate() {
            let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let w = integers::<NIBBLES>(&block[2..]);
            for (x, out) in x.iter().zip(out.iter_mut()) {
                let q = &x.q[32 * i..][..32];
                let dot: i32 = w.iter().zip(q).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                *out += d * x.scales[i] * dot as f32;
            }
        }
    }
}

fn integers<const NIBBLES: bool>(bytes: &[u8]) -> [i8; 32] {
    std::array::from_fn(|i| match NIBBLES {
        false => bytes[i] as i8,
        true => (bytes[i % 16] >> (4 * (i / 16)) & 15) as i8 - 8,
    })
}
