//! Sixteen channels at once.

use std::arch::x86_64::*;

use super::{CHANNELS, Scan, sixteens};
use crate::{
    exp::avx512::exp,
    simd::{load_f32x16, store_f32x16},
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn scan(read: Scan<'_>, state: &mut [[f32; CHANNELS]], out: &mut [f32]) {
    for part in sixteens(read, state, out) {
        let step = load_f32x16(part.step);
        let taken = _mm512_mul_ps(step, load_f32x16(part.x));
        let mut sum = _mm512_setzero_ps();
        let numbers = part.state.iter_mut().zip(part.decay).zip(read.input.iter().zip(read.output));
        for ((state, decay), (input, output)) in numbers {
            let kept = exp(_mm512_mul_ps(step, load_f32x16(decay)));
            let next = _mm512_fmadd_ps(load_f32x16(state), kept, _mm512_mul_ps(_mm512_set1_ps(*input), taken));
            store_f32x16(state, next);
            sum = _mm512_fmadd_ps(next, _mm512_set1_ps(*output), sum);
        }
        store_f32x16(part.out, sum);
    }
}
