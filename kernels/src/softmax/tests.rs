use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(x: &[f32], scale: f32) {
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = scale * most;
    let exponent = |x: f32| f64::from(scale) * f64::from(x) - f64::from(shift);
    let widest = x.iter().map(|&x| f64::from(scale * x).abs()).fold(0.0, f64::max);
    // The exponent is off by at most three roundings of numbers up to twice the widest, which is as much again in the
    // result; ten for exp (two units of two roundings each, twice) and the other steps. The sum of positive numbers has one
    // rounding more for each.
    let relative = ROUNDING * (6.0 * widest + 10.0);
    for isa in Isa::available() {
        assert_eq!(largest(isa, x), most, "{}", isa.name());
        let mut its_sum = 0.0;
        let out = guarded(x.len(), |out| {
            out.copy_from_slice(x);
            its_sum = f64::from(exponentials(isa, out, scale, shift));
        });
        let mut sum = 0.0;
        for (&x, out) in x.iter().zip(out) {
            let expected = exponent(x).exp();
            sum += expected;
            // Below e^-87 a version may answer e^-87 or zero: both are nothing beside the largest.
            let off = (f64::from(out) - expected).abs();
            assert!(off <= relative * expected + 1e-37, "{}: {out}, expected {expected}", isa.name());
        }
        let off = (relative + ROUNDING * x.len() as f64) * sum;
        assert!((its_sum - sum).abs() <= off, "{}: a sum of {its_sum}, expected {sum}", isa.name());
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_any_scores(x in vec(-200f32..200.0, 1..600), scale in 0.015625f32..1.0, skip in 0..8usize) {
        check_every_tier(&x[skip.min(x.len() - 1)..], scale);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    let mut numbers = Numbers::from(6);
    for len in (1..=34).chain([63, 64, 65, 255, 256, 257]) {
        check_every_tier(&numbers.floats(len), 0.125);
    }
}

#[test]
fn large_scores_do_not_overflow_and_of_nothing_there_is_no_largest() {
    for isa in Isa::available() {
        let mut x = [3e38, 3e38, -3e38];
        assert_eq!(exponentials(isa, &mut x, 1.0, 3e38), 2.0);
        assert_eq!(x, [1.0, 1.0, x[2]]);
        assert!(x[2] < 1e-37);
        assert_eq!(largest(isa, &[]), f32::NEG_INFINITY);
        assert_eq!(exponentials(isa, &mut [], 1.0, 0.0), 0.0);
    }
}
