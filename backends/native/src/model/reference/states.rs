//! The same of layers that keep a state.

use kernels::{Gate, Packed};

use super::{Rounding, add, dot, norm, passed, product, row};
use crate::model::{Model, cache::PANEL, shape::Channels, weights::StateLayer};

/// What a layer keeps.
struct Kept {
    /// The last values of all channels, oldest first.
    last: Vec<Vec<f64>>,
    /// Of each channel.
    states: Vec<Vec<f64>>,
}

/// What logits are computed from, after each token.
pub(super) fn rows(model: &Model, sizes: Channels, tokens: &[u32], rounding: Rounding) -> Vec<Vec<f64>> {
    let (shape, layers) = (model.shape(), &model.weights.states);
    let kept = || Kept {
        last: vec![vec![0.0; sizes.count]; sizes.window - 1],
        states: vec![vec![0.0; sizes.state]; sizes.count],
    };
    let mut all: Vec<Kept> = layers.iter().map(|_| kept()).collect();
    let after = |&token: &u32| {
        let mut x = row(&model.weights.embedding, token as usize);
        for (weights, kept) in layers.iter().zip(&mut all) {
            let input = norm(&x, &weights.norm, shape.eps);
            add(&mut x, &layer(weights, sizes, kept, &input, shape.eps, rounding));
        }
        norm(&x, &model.weights.norm, shape.eps)
    };
    tokens.iter().map(after).collect()
}

fn layer(
    weights: &StateLayer<Packed>,
    sizes: Channels,
    kept: &mut Kept,
    input: &[f64],
    eps: f32,
    rounding: Rounding,
) -> Vec<f64> {
    let Channels { count, state, rank, normed, .. } = sizes;
    kept.last.push(product(&weights.channels, input, rounding));
    let mixed = |channel: usize| {
        let values = kept.last.iter().map(|values| values[channel]).collect::<Vec<_>>();
        let window = weights.window.iter().skip(channel).step_by(count).map(|&x| f64::from(x)).collect::<Vec<_>>();
        passed(Gate::Silu, dot(&values, &window) + f64::from(weights.window_bias[channel]))
    };
    let channels: Vec<f64> = (0..count).map(mixed).collect();
    kept.last.remove(0);
    let read = product(&weights.read, &channels, rounding);
    let part = |first: usize, len: usize| {
        let part = &read[first..first + len];
        if normed { norm(part, &weights.ones[..len], eps) } else { part.to_vec() }
    };
    let (taken, given) = (part(rank, state), part(rank + state, state));
    let steps = product(&weights.steps, &part(0, rank), rounding);
    let gates = product(&weights.gate, input, rounding);
    let out = |channel: usize| {
        let step = (steps[channel] + f64::from(weights.steps_bias[channel])).exp().ln_1p();
        for (n, number) in kept.states[channel].iter_mut().enumerate() {
            let decay = f64::from(weights.decay[channel / PANEL * state + n][channel % PANEL]);
            *number = *number * (step * decay).exp() + taken[n] * step * channels[channel];
        }
        let out = dot(&kept.states[channel], &given) + channels[channel] * f64::from(weights.passed[channel]);
        out * passed(Gate::Silu, gates[channel])
    };
    product(&weights.output, &(0..count).map(out).collect::<Vec<_>>(), rounding)
}
