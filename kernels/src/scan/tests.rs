use proptest::prelude::*;

use super::*;
use crate::testing::{Numbers, ROUNDING, guarded};

/// Some steps of one state on every tier, with that of `f64` beside it.
fn check_every_tier(sixteens: usize, numbers: usize, steps: usize, seed: u64) {
    let channels = CHANNELS * sixteens;
    let lanes = |random: &mut Numbers, scale: f32| -> Vec<[f32; CHANNELS]> {
        (0..sixteens * numbers).map(|_| std::array::from_fn(|_| random.float() * scale)).collect()
    };
    for isa in Isa::available() {
        let mut random = Numbers::from(seed);
        // What decays does so by up to a power of three; some grows.
        let decay: Vec<_> = lanes(&mut random, 2.0).into_iter().map(|lane| lane.map(|x| x - 1.0)).collect();
        let mut state = lanes(&mut random, 1.0);
        let mut exact: Vec<[f64; CHANNELS]> = state.iter().map(|lane| lane.map(f64::from)).collect();
        // How far off each number may be.
        let mut off = vec![[0.0f64; CHANNELS]; exact.len()];
        for _ in 0..steps {
            let (input, output) = (random.floats(numbers), random.floats(numbers));
            let step: Vec<f32> = random.floats(channels).into_iter().map(f32::abs).collect();
            let x = random.floats(channels);
            let read = Scan { decay: &decay, input: &input, output: &output, step: &step, x: &x };
            let out = guarded(channels, |out| scan(isa, read, &mut state, out));
            for channel in 0..channels {
                let (mut sum, mut may) = (0.0, 0.0);
                for n in 0..numbers {
                    let (lane, at) = (channel / CHANNELS * numbers + n, channel % CHANNELS);
                    let step = f64::from(step[channel]);
                    let kept = (step * f64::from(decay[lane][at])).exp();
                    let taken = f64::from(input[n]) * step * f64::from(x[channel]);
                    let before = exact[lane][at];
                    exact[lane][at] = before * kept + taken;
                    // Of what is kept: two units of the exponential, which are four roundings, one of its exponent, which is at
                    // most three, and of the product; two products of what is taken in; and of the sum.
                    let rounded = ROUNDING * (8.0 * (before * kept).abs() + 2.0 * taken.abs() + exact[lane][at].abs());
                    off[lane][at] = 1.001 * (off[lane][at] * kept + rounded);
                    assert!((f64::from(state[lane][at]) - exact[lane][at]).abs() <= off[lane][at], "{}", isa.name());
                    let given = exact[lane][at] * f64::from(output[n]);
                    sum += given;
                    may += off[lane][at] * f64::from(output[n]).abs() + ROUNDING * (numbers + 1) as f64 * given.abs();
                }
                let found = f64::from(out[channel]);
                assert!((found - sum).abs() <= 1.001 * may, "{}: channel {channel}: {found}, {sum}", isa.name());
            }
        }
    }
}

proptest! {
    #[test]
    fn every_tier_agrees_on_any_steps(sixteens in 0..4usize, numbers in 1..34usize, steps in 1..6usize, seed: u64) {
        check_every_tier(sixteens, numbers, steps, seed);
    }
}

/// As long as in real models, and long enough that what is off would add up if it did.
#[test]
fn every_tier_agrees_on_many_steps() {
    check_every_tier(2, 16, 100, 7);
}

#[test]
fn a_channel_depends_on_itself_alone() {
    for isa in Isa::available() {
        let mut random = Numbers::from(3);
        let decay: Vec<[f32; CHANNELS]> = (0..6).map(|_| std::array::from_fn(|_| -random.float().abs())).collect();
        let [input, output] = [random.floats(3), random.floats(3)];
        let (step, x) = (vec![0.5; 32], random.floats(32));
        let run = |decay: &[[f32; CHANNELS]], step: &[f32], x: &[f32]| {
            let (mut state, mut out) = (vec![[1.0; CHANNELS]; decay.len()], vec![0.0; x.len()]);
            let read = Scan { decay, input: &input, output: &output, step, x };
            scan(isa, read, &mut state, &mut out);
            out
        };
        let both = run(&decay, &step, &x);
        let apart = [run(&decay[..3], &step[..16], &x[..16]), run(&decay[3..], &step[16..], &x[16..])].concat();
        assert_eq!(both, apart, "{}", isa.name());
    }
}

#[test]
#[should_panic(expected = "scan: 16 channels of 2 numbers, 2 and 1 of them, 16 steps, 16 values, 2 outputs")]
fn states_of_another_size_are_refused() {
    let read = Scan { decay: &[[0.0; 16]; 2], input: &[0.0; 2], output: &[0.0; 2], step: &[0.0; 16], x: &[0.0; 16] };
    scan(Isa::best(), read, &mut [[0.0; 16]; 1], &mut [0.0; 16]);
}
