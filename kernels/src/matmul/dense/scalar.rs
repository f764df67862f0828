//! What a product with floats means. Also takes the ends of rows for the other versions.

use half::f16;

use super::element;

pub(super) fn rows<const HALF: bool, const N: usize>(weights: &[u8], x: [&[f32]; N], out: &mut [[f32; N]]) {
    for (row, out) in weights.chunks_exact(x[0].len() * element(HALF)).zip(out) {
        for (x, out) in x.iter().zip(out) {
            *out = dot::<HALF>(row, x);
        }
    }
}

pub(super) fn dot<const HALF: bool>(row: &[u8], x: &[f32]) -> f32 {
    let weights = row.chunks_exact(element(HALF)).map(|w| match *w {
        [a, b] => f16::from_le_bytes([a, b]).to_f32(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        _ => unreachable!("elements of two or four bytes"),
    });
    weights.zip(x).map(|(w, x)| w * x).sum()
}
