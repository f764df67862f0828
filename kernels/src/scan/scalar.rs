//! What a step means.

use super::{CHANNELS, Scan, sixteens};

pub(super) fn scan(read: Scan<'_>, state: &mut [[f32; CHANNELS]], out: &mut [f32]) {
    for part in sixteens(read, state, out) {
        part.out.fill(0.0);
        for (n, (state, decay)) in part.state.iter_mut().zip(part.decay).enumerate() {
            for channel in 0..CHANNELS {
                let step = part.step[channel];
                let kept = state[channel] * (step * decay[channel]).exp();
                state[channel] = kept + read.input[n] * (step * part.x[channel]);
                part.out[channel] += state[channel] * read.output[n];
            }
        }
    }
}
