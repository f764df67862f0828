//! Eight channels at once.

use std::arch::x86_64::*;

use super::{CHANNELS, Scan, sixteens};
use crate::{
    exp::avx2::exp,
    simd::{load_f32x8, store_f32x8},
};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn scan(read: Scan<'_>, state: &mut [[f32; CHANNELS]], out: &mut [f32]) {
    for part in sixteens(read, state, out) {
        for half in 0..2 {
            let step = load_f32x8(&part.step.as_chunks().0[half]);
            let taken = _mm256_mul_ps(step, load_f32x8(&part.x.as_chunks().0[half]));
            let mut sum = _mm256_setzero_ps();
            let numbers = part.state.iter_mut().zip(part.decay).zip(read.input.iter().zip(read.output));
            for ((state, decay), (input, output)) in numbers {
                let state = &mut state.as_chunks_mut().0[half];
                let kept = exp(_mm256_mul_ps(step, load_f32x8(&decay.as_chunks().0[half])));
                let next = _mm256_fmadd_ps(load_f32x8(state), kept, _mm256_mul_ps(_mm256_set1_ps(*input), taken));
                store_f32x8(state, next);
                sum = _mm256_fmadd_ps(next, _mm256_set1_ps(*output), sum);
            }
            store_f32x8(&mut part.out.as_chunks_mut().0[half], sum);
        }
    }
}
