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
