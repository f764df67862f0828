//! Every tier against a sum in `f64` of what was written.
//!
//! The bound on a page's sum: a value is off by half a step of its scale, a 254th of its position's largest; a product of
//! weight and scale by half a step, a 32,766th of the largest one, times at most 127; and a few roundings. The numbers are
//! the same on every tier but for whether a product is rounded before it is added.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

/// A page with its first positions written, what lies behind filled with what must not count.
fn page(len: usize, values: &[Vec<f32>]) -> Vec<u8> {
    let mut page = vec![0xff; Values::bytes(len)];
    for (position, values) in values.iter().enumerate() {
        put_values(values, position, &mut page);
    }
    page
}

fn check_every_tier(len: usize, values: &[Vec<f32>], columns: &[Vec<f32>]) {
    let page = page(len, values);
    let weights: Vec<f32> = columns.concat();
    let before: Vec<f32> = Numbers::from(9).floats(columns.len() * len);
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::available() {
        let out = guarded(columns.len() * len, |out| {
            out.copy_from_slice(&before);
            mix(isa, Values::of(len, &page), values.len(), &weights, out);
        });
        for (c, weights) in columns.iter().enumerate() {
            let largest = |values: &[f32]| values.iter().fold(0.0f64, |largest, &x| largest.max(f64::from(x.abs())));
            let product = |(weight, values): (&f32, &Vec<f32>)| f64::from(*weight) * largest(values);
            let products: Vec<f64> = weights.iter().zip(values).map(product).collect();
            let most = products.iter().copied().fold(0.0, f64::max);
            let off = products.iter().sum::<f64>() / 254.0 + most * values.len() as f64 / 32_766.0;
            for i in 0..len {
                let term = |(weight, values): (&f32, &Vec<f32>)| f64::from(*weight) * f64::from(values[i]);
                let expected: f64 = weights.iter().zip(values).map(term).sum::<f64>() + f64::from(before[c * len + i]);
                let bound = off * 1.001 + 4.0 * ROUNDING * (products.iter().sum::<f64>() + 1.0);
                let found = f64::from(out[c * len + i]);
                assert!((found - expected).abs() <= bound, "{}: {found}, expected {expected} +- {bound}", isa.name());
            }
        }
        let first = first.get_or_insert_with(|| out.clone());
        for (one, other) in first.iter().zip(&out) {
            // The same whole numbers; a product is rounded before it is added, or not.
            let size = one.abs().max(1.0) * (values.len() * columns.len()) as f32;
            assert!((one - other).abs() <= 4.0 * ROUNDING as f32 * size, "{}: {other}, scalar {one}", isa.name());
        }
    }
}

/// Values of any size, and the weights that a softmax gives: from one to nearly nothing.
fn numbers(len: usize, positions: usize, columns: usize, numbers: &mut Numbers) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut sized = || {
        let size = (4.0 * numbers.float()).exp();
        numbers.floats(len).into_iter().map(|x| x * size).collect()
    };
    let values = (0..positions).map(|_| sized()).collect();
    let mut weigh = || numbers.floats(positions).into_iter().map(|x| (6.0 * x - 6.0).exp()).collect();
    (values, (0..columns).map(|_| weigh()).collect())
}

proptest! {
    #[test]
    fn every_tier_is_the_sum_of_what_was_written(
        seed in any::<u64>(), len in 1..150usize, positions in 1..=POSITIONS, columns in 1..20usize,
    ) {
        let (values, columns) = numbers(len, positions, columns, &mut Numbers::from(seed));
        check_every_tier(len, &values, &columns);
    }

    #[test]
    fn a_column_does_not_depend_on_those_beside_it(seed in any::<u64>(), columns in vec(0..13usize, 1..20)) {
        let (values, all) = numbers(72, 61, 13, &mut Numbers::from(seed));
        let page = page(72, &values);
        let together: Vec<f32> = columns.iter().flat_map(|&c| all[c].clone()).collect();
        for isa in Isa::available() {
            let mut sums = vec![0.5; columns.len() * 72];
            mix(isa, Values::of(72, &page), 61, &together, &mut sums);
            for (&c, sums) in columns.iter().zip(sums.chunks(72)) {
                let mut alone = vec![0.5; 72];
                mix(isa, Values::of(72, &page), 61, &all[c], &mut alone);
                prop_assert_eq!(&alone, sums);
            }
        }
    }
}

/// Nothing saturates: with every weight and value at its largest, the sum of a page is exact.
#[test]
fn the_largest_numbers_come_out_exactly() {
    for sign in [1.0, -1.0] {
        let values = vec![vec![127.0 * sign; 33]; POSITIONS];
        let page = page(33, &values);
        for isa in Isa::available() {
            let mut sums = vec![0.0; 33];
            mix(isa, Values::of(33, &page), POSITIONS, &[LARGEST; POSITIONS], &mut sums);
            let exact = 127.0 * 64.0 * LARGEST * sign;
            assert!(sums.iter().all(|&sum| sum == exact), "{}: {sums:?}, expected {exact}", isa.name());
        }
    }
}

/// Weights that are whole numbers of a step, as scales of one leave them, are kept as they are.
#[test]
fn weights_within_the_planes_are_not_rounded() {
    let mut numbers = Numbers::from(3);
    let mut values: Vec<Vec<f32>> =
        (0..POSITIONS).map(|_| (0..16).map(|_| (numbers.bits() % 255) as f32 - 127.0).collect()).collect();
    values.iter_mut().for_each(|values| values[0] = 127.0);
    let mut weights: Vec<f32> = (0..POSITIONS).map(|_| (numbers.bits() % 16_384) as f32).collect();
    weights[5] = LARGEST;
    let page = page(16, &values);
    for isa in Isa::available() {
        let mut sums = vec![0.0; 16];
        mix(isa, Values::of(16, &page), POSITIONS, &weights, &mut sums);
        for (i, sum) in sums.into_iter().enumerate() {
            let exact: f64 = weights.iter().zip(&values).map(|(&w, x)| f64::from(w) * f64::from(x[i])).sum();
            assert_eq!(sum, exact as f32, "{} value {i}", isa.name());
        }
    }
}

#[test]
fn positions_are_copied_without_those_behind() {
    for positions in 1..=POSITIONS {
        let (values, columns) = numbers(40, POSITIONS, 3, &mut Numbers::from(positions as u64));
        let (from, mut to) = (page(40, &values), vec![0xff; Values::bytes(40)]);
        copy_values(40, positions, &from, &mut to);
        let weights: Vec<f32> = columns.iter().flat_map(|column| column[..positions].to_vec()).collect();
        let mix = |page: &[u8]| {
            let mut sums = vec![0.0; 3 * 40];
            mix(Isa::best(), Values::of(40, page), positions, &weights, &mut sums);
            sums
        };
        assert_eq!(mix(&from), mix(&to), "{positions} positions");
    }
}

#[test]
fn what_is_no_number_stays_with_its_position() {
    let mut page = page(16, &[vec![1.0; 16], vec![f32::NAN; 16], vec![f32::INFINITY; 16]]);
    for isa in Isa::available() {
        let mut sums = vec![0.0; 16];
        mix(isa, Values::of(16, &page), 1, &[1.0], &mut sums);
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-3), "{}: {sums:?}", isa.name());
        mix(isa, Values::of(16, &page), 3, &[1.0; 3], &mut sums);
    }
    put_values(&[2.0; 16], 1, &mut page);
}

#[test]
#[should_panic(expected = "mix: 7 weights of 3 positions and 16 sums of 16")]
fn weights_of_no_whole_column_are_named() {
    mix(Isa::best(), Values::of(16, &[0; Values::bytes(16)]), 3, &[1.0; 7], &mut [0.0; 16]);
}
