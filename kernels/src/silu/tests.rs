use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(gate: &[f32], up: &[f32]) {
    for isa in Isa::available() {
        let out = guarded(gate.len(), |out| {
            out.copy_from_slice(gate);
            silu_mul(isa, out, up);
        });
        for ((&gate, &up), out) in gate.iter().zip(up).zip(out) {
            let expected = f64::from(gate) / (1.0 + (-f64::from(gate)).exp()) * f64::from(up);
            let off = (f64::from(out) - expected).abs();
            // Two units in the last place for exp (four roundings), and one for each of the other steps. Below -87 the
            // exact value is at most 1e-36 of `up`, and a version may clamp.
            let bound = ROUNDING * 8.0 * expected.abs() + 1e-35 * f64::from(up.abs());
            assert!(off <= bound, "{}: silu({gate}) * {up} = {out}, expected {expected}", isa.name());
        }
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_any_gate(rows in vec((-100f32..100.0, -50f32..50.0), 1..300), skip in 0..8usize) {
        let (gate, up): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
        let skip = skip.min(gate.len() - 1);
        check_every_tier(&gate[skip..], &up[skip..]);
    }
}

#[test]
fn every_tier_agrees_one_off_each_width() {
    let mut numbers = Numbers::from(8);
    for len in 1..=66 {
        check_every_tier(&numbers.floats(len), &numbers.floats(len));
    }
}
