use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(x: &[f32], weight: &[f32], eps: f32) {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let scale = 1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt();
    // Squares are positive: at most one rounding for each, halved by the root; eight for the other steps.
    let roundings = x.len() as f64 / 2.0 + 8.0;
    for isa in Isa::available() {
        let out = guarded(x.len(), |out| rms_norm(isa, x, weight, eps, out));
        for ((out, &x), &weight) in out.into_iter().zip(x).zip(weight) {
            let expected = f64::from(x) * scale * f64::from(weight);
            let off = (f64::from(out) - expected).abs();
            assert!(off <= ROUNDING * roundings * expected.abs(), "{}: {out}, expected {expected}", isa.name());
        }
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_any_row(rows in vec((-1e3f32..1e3, -4f32..4.0), 1..700), skip in 0..8usize) {
        let (x, weight): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
        let skip = skip.min(x.len() - 1);
        check_every_tier(&x[skip..], &weight[skip..], 1e-5);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    let mut numbers = Numbers::from(5);
    for len in (1..=34).chain([63, 64, 65, 2047, 2048, 2049]) {
        check_every_tier(&numbers.floats(len), &numbers.floats(len), 1e-6);
    }
}

#[test]
fn a_row_of_zeros_stays_zero() {
    for isa in Isa::available() {
        assert_eq!(guarded(40, |out| rms_norm(isa, &[0.0; 40], &[1.0; 40], 1e-5, out)), [0.0; 40]);
    }
}

fn check_layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) {
    let len = x.len() as f64;
    let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mean = exact.iter().sum::<f64>() / len;
    let variance = exact.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / len;
    let below = variance + f64::from(eps);
    let largest = exact.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    // The mean has a rounding for each number, of its size at most, and the difference from it two.
    let off = ROUNDING * (exact.iter().map(|x| x.abs()).sum::<f64>() + 3.0 * largest);
    // The mean of squares is off by the products with that, by its square, and by a rounding for each, as they are positive.
    let deviation = variance.sqrt();
    let squares = 2.0 * off * deviation + off * off + ROUNDING * (len + 4.0) * variance;
    // By what is below the root a result is divided: half of its share, and a little where that is no small one.
    let share = if squares < below / 2.0 { squares / below } else { f64::INFINITY };
    for isa in Isa::available() {
        let out = guarded(x.len(), |out| layer_norm(isa, x, weight, bias, eps, out));
        for (((out, x), &weight), &bias) in out.into_iter().zip(&exact).zip(weight).zip(bias) {
            let (weight, bias) = (f64::from(weight), f64::from(bias));
            let scaled = (x - mean) / below.sqrt() * weight;
            let bound = (off / below.sqrt() * weight).abs() * 2.0
                + scaled.abs() * (share + 8.0 * ROUNDING)
                + ROUNDING * 2.0 * (scaled.abs() + bias.abs());
            let expected = scaled + bias;
            let found = (f64::from(out) - expected).abs();
            assert!(found <= bound, "{}: {out}, expected {expected}, off {found:e} of {bound:e}", isa.name());
        }
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_the_layer_norm_of_any_row(
        rows in vec((-1e3f32..1e3, -4f32..4.0, -4f32..4.0), 2..700), skip in 0..8usize
    ) {
        let (x, (weight, bias)): (Vec<f32>, (Vec<f32>, Vec<f32>)) = rows.into_iter().map(|(x, w, b)| (x, (w, b))).unzip();
        let skip = skip.min(x.len() - 2);
        check_layer_norm(&x[skip..], &weight[skip..], &bias[skip..], 1e-12);
    }
}

#[test]
fn every_tier_agrees_on_layer_norms_one_off_each_width() {
    let mut numbers = Numbers::from(9);
    for len in (2..=34).chain([63, 64, 65, 767, 768, 769]) {
        check_layer_norm(&numbers.floats(len), &numbers.floats(len), &numbers.floats(len), 1e-12);
    }
}

#[test]
fn a_layer_norm_does_not_see_how_far_from_zero_a_row_lies_and_leaves_the_bias_of_one_that_is_all_alike() {
    for isa in Isa::available() {
        let x: Vec<f32> = (0..48).map(|i| (i % 5) as f32).collect();
        let far: Vec<f32> = x.iter().map(|x| x + 4096.0).collect();
        let (weight, bias) = (vec![2.0; 48], vec![0.5; 48]);
        let near = guarded(48, |out| layer_norm(isa, &x, &weight, &bias, 1e-12, out));
        let far = guarded(48, |out| layer_norm(isa, &far, &weight, &bias, 1e-12, out));
        assert!(near.iter().zip(&far).all(|(a, b)| (a - b).abs() < 1e-2), "{}", isa.name());
        assert_eq!(guarded(48, |out| layer_norm(isa, &[7.0; 48], &weight, &bias, 1e-5, out)), [0.5; 48]);
    }
}
