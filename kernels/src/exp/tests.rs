use std::arch::x86_64::*;

use super::{RANGE, avx2, avx512};
use crate::{
    isa::{Isa, Tier},
    simd::{load_f32x8, load_f32x16, store_f32x8, store_f32x16},
};

#[target_feature(enable = "avx2,fma")]
fn eight(x: &mut [f32; 16]) {
    for x in x.as_chunks_mut::<8>().0 {
        let e: __m256 = avx2::exp(load_f32x8(x));
        store_f32x8(x, e);
    }
}

#[target_feature(enable = "avx512f")]
fn sixteen(x: &mut [f32; 16]) {
    let e: __m512 = avx512::exp(load_f32x16(x));
    store_f32x16(x, e);
}

#[test]
fn results_are_within_two_units_in_the_last_place() {
    for isa in Isa::available().filter(|isa| isa.tier() >= Tier::Avx2) {
        let steps = 200_000;
        for step in (0..steps).step_by(16) {
            let x: [f32; 16] =
                std::array::from_fn(|i| RANGE.0 + (RANGE.1 - RANGE.0) * (step + i) as f32 / steps as f32);
            let mut e = x;
            match isa.tier() {
                Tier::Scalar => unreachable!("filtered above"),
                // SAFETY: an `Isa` of this tier exists only on a CPU that reported its features.
                Tier::Avx2 | Tier::Avx2Vnni => unsafe { eight(&mut e) },
                // SAFETY: likewise.
                Tier::Avx512 | Tier::Avx512Vnni | Tier::Amx => unsafe { sixteen(&mut e) },
            }
            for (x, e) in x.into_iter().zip(e) {
                let exact = f64::from(x).exp();
                let unit = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
                let off = (f64::from(e) - exact).abs() / unit;
                assert!(off <= 2.0, "{}: exp({x}) = {e}, expected {exact}, off {off} units", isa.name());
            }
        }
    }
}
