//! What a weighted sum of rows means. Also takes the ends of rows for the other versions.

use half::f16;

pub(super) fn weighted_sum(weights: &[f32], rows: &[u8], out: &mut [f32]) {
    for (weight, row) in weights.iter().zip(rows.chunks_exact(2 * out.len())) {
        add(*weight, row, out);
    }
}

pub(super) fn add(weight: f32, row: &[u8], out: &mut [f32]) {
    for (half, out) in row.as_chunks::<2>().0.iter().zip(out) {
        *out += weight * f16::from_le_bytes(*half).to_f32();
    }
}
