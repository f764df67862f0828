use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(x: &[f32], scale: f32) {
    let scaled = |x: f32| f64::from(scale) * f64::from(x);
    let largest = x.iter().map(|&x| scaled(x)).fold(f64::NEG_INFINITY, f64::max);
    let widest = x.iter().map(|&x| scaled(x).abs()).fold(0.0, f64::max);
    let sum: f64 = x.iter().map(|&x| (scaled(x) - largest).exp()).sum();
    // The exponent is off by at most three roundings of numbers up to twice the widest, which is as much again in the
    // result and in the sum; the sum of positive numbers has one rounding for each; ten for exp (two units of two
    // roundings each, twice) and the other steps.
    let relative = ROUNDING * (12.0 * widest + x.len() as f64 + 10.0);
    for isa in Isa::available() {
        let out = guarded(x.len(), |out| {
            out.copy_from_slice(x);
            softmax(isa, out, scale);
        });
        for (&x, out) in x.iter().zip(out) {
            let expected = (scaled(x) - largest).exp() / sum;
            // Below e^-87 a version may answer e^-87 or zero: both are nothing beside the largest.
            let off = (f64::from(out) - expected).abs();
            assert!(off <= relative * expected + 1e-37, "{}: {out}, expected {expected}", isa.name());
        }
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
fn large_scores_do_not_overflow_and_an_empty_slice_is_left_alone() {
    for isa in Isa::available() {
        let mut x = [3e38, 3e38, -3e38];
        softmax(isa, &mut x, 1.0);
        assert_eq!(x, [0.5, 0.5, x[2]]);
        assert!(x[2] < 1e-37);
        softmax(isa, &mut [], 1.0);
    }
}
