use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

fn check_every_tier(gate: &[f32], up: &[f32]) {
    for kind in [Gate::Silu, Gate::Gelu] {
        for isa in Isa::available() {
            let out = guarded(gate.len(), |out| {
                out.copy_from_slice(gate);
                gate_mul(isa, kind, out, up);
            });
            for ((&gate, &up), out) in gate.iter().zip(up).zip(out) {
                let g = f64::from(gate);
                let u = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g * g * g);
                let (through, before) = match kind {
                    Gate::Silu => (g / (1.0 + (-g).exp()), 0.0),
                    // The exact form has no digits left far below zero, where one over one and a power has.
                    Gate::Gelu => (if u < -5.0 { g / (1.0 + (-2.0 * u).exp()) } else { g * (1.0 + u.tanh()) / 2.0 }, u),
                };
                let expected = through * f64::from(up);
                let off = (f64::from(out) - expected).abs();
                // Two units in the last place for exp (four roundings), and one for each of the other steps; the
                // exponent of a gelu has six of its own (two constants among them), each of its size. Below -87 the exact
                // value is at most 1e-36 of `up`, and a version may clamp.
                let bound =
                    ROUNDING * (8.0 + 6.0 * (2.0 * before).abs()) * expected.abs() + 1e-35 * f64::from(up.abs());
                assert!(off <= bound, "{}: {kind:?} of {gate} * {up} = {out}, expected {expected}", isa.name());
            }
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

#[test]
fn a_gate_of_any_size_is_open_or_shut_and_never_no_number() {
    for isa in Isa::available() {
        for kind in [Gate::Silu, Gate::Gelu] {
            let mut gate = [1e13, -1e13, f32::MAX, f32::MIN].repeat(8);
            gate_mul(isa, kind, &mut gate, &[1.0; 32]);
            for gate in gate.chunks(4) {
                assert_eq!((gate[0], gate[2]), (1e13, f32::MAX), "{} {kind:?}", isa.name());
                assert!(gate[1].abs() < 1e-20 && gate[3].abs() < 10.0, "{} {kind:?}: {gate:?}", isa.name());
            }
        }
    }
}
