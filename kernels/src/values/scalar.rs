//! Vectors as arrays: what every other tier must agree with.

use super::{LARGEST, POSITIONS, scale_of, tile::mixes};

type Bytes = [u8; 64];
type Ints = [i32; 16];

mixes!();

pub(super) fn planes(weights: &[f32; POSITIONS], scales: &[f32; POSITIONS], planes: &mut Planes) {
    let products: [f32; POSITIONS] = std::array::from_fn(|i| weights[i] * scales[i]);
    let largest = products.iter().fold(0.0f32, |largest, &x| largest.max(x));
    let (scale, inverse) = scale_of(largest, LARGEST);
    planes.scale = scale;
    for (i, product) in products.into_iter().enumerate() {
        let whole = (product * inverse).round_ties_even() as i32;
        (planes.high[i], planes.low[i]) = ((whole >> 7) as u8, (whole & 127) as u8);
    }
}

fn load(from: &[u8; 64]) -> Bytes {
    *from
}

fn none() -> Ints {
    [0; 16]
}

/// Adds to each row the products of four weights and values.
fn add_products(sum: Ints, weights: [u8; 4], values: Bytes) -> Ints {
    let product = |r: usize, j: usize| i32::from(weights[j]) * i32::from(values[4 * r + j] as i8);
    std::array::from_fn(|r| sum[r] + (0..4).map(|j| product(r, j)).sum::<i32>())
}

/// Adds what two planes gave to some sums.
fn add(sums: &mut [f32; 16], high: Ints, low: Ints, scale: f32) {
    for (r, sum) in sums.iter_mut().enumerate() {
        *sum += (128 * high[r] + low[r]) as f32 * scale;
    }
}
