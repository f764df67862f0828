//! A step of a selective scan: a state of some numbers for each channel decays, takes in what a token brings, and gives.
//!
//! `state[n] = state[n] * e^(step * decay[n]) + input[n] * step * x`, and the channel gives the sum of `state[n] * output[n]`.
//! `decay`, `step` and `x` are a channel's own; `input` and `output` are a token's, for all channels.
//!
//! Sixteen channels lie side by side, number after number of their states, so that a vector is the same number of each and no
//! version adds up across one. Numbers of a state are added in their order.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use {avx2 as avx2vnni, avx512 as avx512vnni};

use crate::isa::{Isa, dispatch};

/// Channels that lie side by side.
const CHANNELS: usize = 16;

/// What a step of a scan reads.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Of sixteen channels after the other, number after number.
    pub decay: &'a [[f32; CHANNELS]],
    /// What each number takes in.
    pub input: &'a [f32],
    /// What each number gives.
    pub output: &'a [f32],
    /// Of each channel, how long the step is.
    pub step: &'a [f32],
    /// Of each channel.
    pub x: &'a [f32],
}

/// Takes a step: the states of all channels become the next, and `out` is what each gives.
///
/// # Panics
/// If channels are no whole sixteens, or the slices are of different numbers of them or of numbers of a state.
pub fn scan(isa: Isa, read: Scan<'_>, state: &mut [[f32; CHANNELS]], out: &mut [f32]) {
    let (numbers, channels) = (read.input.len(), out.len());
    assert!(
        channels.is_multiple_of(CHANNELS)
            && read.output.len() == numbers
            && [read.step.len(), read.x.len()] == [channels; 2]
            && [read.decay.len(), state.len()] == [channels / CHANNELS * numbers; 2],
        "scan: {channels} channels of {numbers} numbers, {} and {} of them, {} steps, {} values, {} outputs",
        read.decay.len(),
        state.len(),
        read.step.len(),
        read.x.len(),
        read.output.len()
    );
    if numbers == 0 {
        return out.fill(0.0);
    }
    dispatch!(isa, scan(read, state, out))
}

/// Sixteen channels of a step.
struct Sixteen<'a> {
    decay: &'a [[f32; CHANNELS]],
    step: &'a [f32; CHANNELS],
    x: &'a [f32; CHANNELS],
    state: &'a mut [[f32; CHANNELS]],
    out: &'a mut [f32; CHANNELS],
}

/// The parts of a step that hang together.
fn sixteens<'a>(
    read: Scan<'a>,
    state: &'a mut [[f32; CHANNELS]],
    out: &'a mut [f32],
) -> impl Iterator<Item = Sixteen<'a>> {
    let numbers = read.input.len();
    let reads = read.decay.chunks_exact(numbers).zip(read.step.as_chunks().0).zip(read.x.as_chunks().0);
    let writes = state.chunks_exact_mut(numbers).zip(out.as_chunks_mut().0);
    reads.zip(writes).map(|(((decay, step), x), (state, out))| Sixteen { decay, step, x, state, out })
}
