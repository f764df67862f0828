use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::ROUNDING;

const GROUPS: [Group; 2] = [Group::Of32, Group::Of256];

fn run(isa: Isa, group: Group, x: &[f32]) -> Vec<Q8> {
    let mut blocks = vec![Q8::default(); Q8::blocks(x.len())];
    // What stood there before must not show.
    for block in &mut blocks {
        (block.q, block.scales, block.sums, block.half_starts) = ([77; 256], [f32::NAN; 8], [[9; 2]; 4], [9; 16]);
    }
    quantize(isa, group, x, &mut blocks);
    blocks
}

fn check_every_tier(x: &[f32]) {
    GROUPS.into_iter().for_each(|group| check(group, x));
}

fn check(group: Group, x: &[f32]) {
    let blocks = run(Isa::at_most(crate::Tier::Scalar), group, x);
    for isa in Isa::available() {
        assert_eq!(run(isa, group, x), blocks, "{}", isa.name());
    }
    let len = if group == Group::Of32 { 32 } else { LEN };
    let scales = blocks.iter().flat_map(|block| block.scales.as_chunks::<8>().0);
    let largest = |x: &[f32]| x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    for (x, scales) in x.chunks(LEN).zip(scales) {
        for (i, x) in x.chunks(len).enumerate() {
            let expected = scale_of(largest(x)).0;
            assert!(scales[i * len / 32..][..len / 32].iter().all(|&scale| scale == expected), "{scales:?}");
        }
    }
    for (x, block) in x.chunks(LEN).zip(&blocks) {
        for (i, (&x, &q)) in x.iter().zip(&block.q).enumerate() {
            let scale = f64::from(block.scales[i / 32]);
            // Half a step, and three roundings of values of up to 127 steps.
            let bound = scale * (0.5 + 127.0 * 3.0 * ROUNDING);
            let off = (f64::from(x) - scale * f64::from(q)).abs();
            assert!(off <= bound.max(f64::from(f32::MIN_POSITIVE)), "value {i}: {x} became {q} x {scale}");
            assert!(q != i8::MIN);
        }
        assert!(block.q[x.len()..].iter().all(|&q| q == 0), "zeros behind the last");
        let sum = |q: &[i8]| q.iter().map(|&q| i32::from(q)).sum::<i32>();
        for (i, q) in block.q.chunks(16).enumerate() {
            assert_eq!((i32::from(block.half_sums[i / 2][i % 2]), block.half_starts[i]), (sum(q), -128 * sum(q)));
        }
        for (i, q) in block.q.chunks(32).enumerate() {
            assert_eq!((i32::from(block.sums[i / 2][i % 2]), block.starts[i]), (sum(q), -128 * sum(q)));
        }
    }
}

proptest! {
    #[test]
    fn every_tier_quantises_to_the_same_bits(x in vec(-1e6f32..1e6, 1..2_000), small in vec(-1e-3f32..1e-3, 256)) {
        check_every_tier(&x);
        let whole: Vec<f32> = small.into_iter().chain(x).collect();
        check_every_tier(&whole);
    }
}

#[test]
fn zeros_ties_and_tiny_values_have_one_answer() {
    check_every_tier(&[0.0; 512]);
    check_every_tier(&[f32::MIN_POSITIVE / 8.0; 32]);
    // A largest value of 127 makes the scale one, so halves are ties.
    let ties: Vec<f32> = (0..32).map(|i| if i == 0 { 127.0 } else { i as f32 - 16.5 }).collect();
    check_every_tier(&ties);
}

#[test]
fn values_that_are_no_numbers_do_not_panic_and_stay_in_range() {
    for isa in Isa::available() {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            for group in GROUPS {
                let blocks = run(isa, group, &[x; 32]);
                assert!(blocks[0].q.iter().all(|&q| q >= -127), "{} {x}: {:?}", isa.name(), blocks[0].q);
            }
        }
    }
}

#[test]
#[should_panic(expected = "quantize: 257 values into 1 blocks")]
fn blocks_that_do_not_fit_are_named() {
    quantize(Isa::best(), Group::Of256, &[0.0; 257], &mut [Q8::default()]);
}
