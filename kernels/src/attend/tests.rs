use half::f16;
use proptest::prelude::*;

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(positions: usize, len: usize, skip: usize, seed: u64) {
    let mut numbers = Numbers::from(seed);
    let weights = numbers.floats(positions);
    let values = numbers.floats(positions * len);
    let mut rows = vec![0; skip + 2 * values.len()];
    crate::encode_f16(&values, &mut rows[skip..]);
    let value = |p: usize, i: usize| f16::from_f32(values[p * len + i]).to_f64();
    for isa in Isa::available() {
        let out = guarded(len, |out| weighted_sum_f16(isa, &weights, &rows[skip..], out));
        for (i, out) in out.into_iter().enumerate() {
            let terms = || weights.iter().enumerate().map(|(p, &w)| f64::from(w) * value(p, i));
            let (expected, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
            // One rounding for each addition after a term, one for its product.
            let bound = 1.01 * ROUNDING * (positions + 1) as f64 * size;
            let off = (f64::from(out) - expected).abs();
            assert!(off <= bound, "{}: place {i} of {len}: {out}, expected {expected}", isa.name());
        }
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_any_rows(positions in 1..90usize, len in 1..200usize, skip in 0..33usize, seed: u64) {
        check_every_tier(positions, len, skip, seed);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    for len in (1..=34).chain([63, 64, 65, 127, 128, 129]) {
        check_every_tier(5, len, 1, 9);
    }
}

#[test]
fn no_rows_add_up_to_zero() {
    for isa in Isa::available() {
        assert_eq!(guarded(5, |out| weighted_sum_f16(isa, &[], &[], out)), [0.0; 5]);
    }
}

#[test]
#[should_panic(expected = "weighted_sum_f16: 10 bytes for 2 rows of 3")]
fn rows_that_do_not_fit_are_named() {
    weighted_sum_f16(Isa::best(), &[1.0; 2], &[0; 10], &mut [0.0; 3]);
}
