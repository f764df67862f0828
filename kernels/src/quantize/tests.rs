use proptest::{collection::vec, prelude::*};

use super::*;

fn check_every_tier(x: &[f32], group: usize) {
    let scalar = Isa::at_most(crate::Tier::Scalar);
    let run = |isa: Isa| {
        // Guards on both sides, and an odd offset for the bytes.
        let mut q = vec![77i8; x.len() + 66];
        let mut scales = vec![f32::NAN; x.len() / group];
        let mut sums = vec![i16::MIN; x.len() / 16];
        let inner = &mut q[33..33 + x.len()];
        match group {
            32 => quantize_q8x32(isa, x, inner, &mut scales),
            _ => quantize_q8x256(isa, x, inner, &mut scales, &mut sums),
        }
        assert!(q[..33].iter().chain(&q[33 + x.len()..]).all(|&guard| guard == 77), "{} wrote beyond", isa.name());
        (q[33..33 + x.len()].to_vec(), scales, sums)
    };
    let (q, scales, sums) = run(scalar);
    for isa in Isa::available() {
        assert_eq!(run(isa), (q.clone(), scales.clone(), sums.clone()), "{}", isa.name());
    }
    for (i, (&x, &q)) in x.iter().zip(&q).enumerate() {
        let scale = f64::from(scales[i / group]);
        // Half a step, and three roundings of values of up to 127 steps.
        let bound = scale * (0.5 + 127.0 * 3.0 * crate::testing::ROUNDING);
        let off = (f64::from(x) - scale * f64::from(q)).abs();
        assert!(off <= bound.max(f64::from(f32::MIN_POSITIVE)), "value {i}: {x} became {q} x {scale}");
        assert!(q != i8::MIN);
    }
    if group == 256 {
        for (i, q) in q.chunks(16).enumerate() {
            assert_eq!(i32::from(sums[i]), q.iter().map(|&q| i32::from(q)).sum::<i32>());
        }
    }
}

proptest! {
    #[test]
    fn every_tier_quantises_to_the_same_bits(x in vec(-1e6f32..1e6, 32..2_000), small in vec(-1e-3f32..1e-3, 256)) {
        check_every_tier(&x[..x.len() / 32 * 32], 32);
        let whole: Vec<f32> = small.into_iter().chain(x).collect();
        check_every_tier(&whole[..whole.len() / 256 * 256], 256);
    }
}

#[test]
fn zeros_ties_and_tiny_values_have_one_answer() {
    check_every_tier(&[0.0; 256], 32);
    check_every_tier(&[0.0; 512], 256);
    check_every_tier(&[f32::MIN_POSITIVE / 8.0; 32], 32);
    // A largest value of 127 makes the scale one, so halves are ties.
    let ties: Vec<f32> = (0..32).map(|i| if i == 0 { 127.0 } else { i as f32 - 16.5 }).collect();
    check_every_tier(&ties, 32);
}

#[test]
fn values_that_are_no_numbers_do_not_panic_and_stay_in_range() {
    for isa in Isa::available() {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let (mut q, mut scales) = ([0; 32], [0.0]);
            quantize_q8x32(isa, &[x; 32], &mut q, &mut scales);
            assert!(q.iter().all(|&q| q >= -127), "{} {x}: {q:?}", isa.name());
        }
    }
}
