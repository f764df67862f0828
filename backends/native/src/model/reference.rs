//! The forward pass written only to be read, in `f64`, one token and one number at a time: what the engine is compared
//! with.
//!
//! Shares with the engine only the binding of tensors and the reading of single rows. It can also round where the
//! engine's contract says that it rounds (activations before a product with quantised weights, keys and values to
//! halves, or to bytes with what meets them); then the two differ only by the order of additions in `f32`.

mod states;

use std::ops::Range;

use engine::CacheType;
use half::f16;
use kernels::{Gate, Group, Packed, Pairs};

use super::{
    Model, Shape,
    cache::PAGE,
    rope::Rope,
    shape::Latent,
    weights::{self, Layer, Place},
};

/// What is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing.
    None,
    /// Activations and a cache of this type, as the engine's contract says.
    Contract(CacheType),
}

/// The logits after each token of a sequence, in a runner's context.
pub fn logits(model: &Model, context: usize, tokens: &[u32], rounding: Rounding) -> Vec<Vec<f64>> {
    let shape = model.shape();
    let logits = |row: Vec<f64>| {
        let logits = product(model.weights.output(), &row, rounding).into_iter();
        logits.map(|logit| bent(logit * f64::from(shape.logit_scale), shape.logit_cap)).collect()
    };
    rows(model, context, tokens, rounding).into_iter().map(logits).collect()
}

/// What logits are computed from, after each token.
pub fn rows(model: &Model, context: usize, tokens: &[u32], rounding: Rounding) -> Vec<Vec<f64>> {
    let shape = model.shape();
    if let Some(sizes) = shape.channels {
        return states::rows(model, sizes, tokens, rounding);
    }
    let mut keys: Vec<Vec<Vec<f64>>> = vec![Vec::new(); shape.layers];
    let mut values = keys.clone();
    let mut all = Vec::new();
    for (position, &token) in tokens.iter().enumerate() {
        let mut x = row(&model.weights.embedding, token as usize);
        x.iter_mut().for_each(|x| *x *= f64::from(shape.embedding_scale));
        for (index, layer) in model.weights.layers.iter().enumerate() {
            let input = layer.attention_norm.as_ref().map_or(x.clone(), |own| norm(&x, own, shape.eps));
            let window = shape.window(index);
            let rope = shape.ropes(context)[usize::from(window.is_some())];
            let [mut query, key, value] = match (shape.latent, layer.latent()) {
                (Some(sizes), Some(weights)) => shared(shape, sizes, weights, &input, (position, rope), rounding),
                _ => each(shape, layer, &input, (position, rope), rounding),
            };
            query = query.chunks(shape.head).flat_map(|head| asked(head, rounding)).collect();
            keys[index].push(key.chunks(shape.head).flat_map(|head| stored_key(head, rounding)).collect());
            values[index].push(value.chunks(shape.value).flat_map(|head| stored_value(head, rounding)).collect());
            let mut mixed = vec![0.0; shape.heads * shape.value];
            for head in 0..shape.heads {
                let kv = head / (shape.heads / shape.kv_heads);
                let key = kv * shape.head..(kv + 1) * shape.head;
                let value = kv * shape.value..(kv + 1) * shape.value;
                let own = head * shape.head..(head + 1) * shape.head;
                let first = window.map_or(0, |window| (position + 1).saturating_sub(window.positions));
                let score = |keys: &Vec<f64>| {
                    let score =
                        dot(&query[own.clone()], &keys[key.clone()]) * f64::from(shape.score_scale_at(position));
                    bent(score, shape.score_cap)
                };
                let scores: Vec<f64> = keys[index][first..].iter().map(score).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let seen = values[index][first..].iter().map(|values| &values[value.clone()]);
                let weights = weighed(weights, first, seen.clone(), rounding);
                for (weight, value) in weights.iter().zip(seen) {
                    for (mixed, value) in mixed[head * shape.value..].iter_mut().zip(value) {
                        *mixed += weight / sum * value;
                    }
                }
            }
            if let (Some(sizes), Some(weights)) = (shape.latent, layer.latent()) {
                let made = |(head, mixed)| some(&weights.values, part(head, sizes.value), mixed, rounding);
                mixed = mixed.chunks(shape.value).enumerate().flat_map(made).collect();
            }
            let block = |change: Vec<f64>, block: usize| {
                let change = match &layer.own.block_norms {
                    None => change,
                    Some(norms) => norm(&change, &norms[block], shape.eps),
                };
                change.into_iter().map(|x| x * f64::from(shape.block_scale)).collect::<Vec<_>>()
            };
            add(&mut x, &block(adapted(layer, Place::AttentionOutput, &mixed, rounding), 0));
            let input = layer.feed_forward_norm.as_ref().map_or(x.clone(), |own| norm(&x, own, shape.eps));
            add(&mut x, &block(feed_forward(shape, layer, &input, rounding), 1));
        }
        all.push(norm(&x, &model.weights.norm, shape.eps));
    }
    all
}

/// Queries, keys and values, where each has a matrix.
fn each(
    shape: &Shape,
    layer: &Layer<Packed>,
    input: &[f64],
    (position, rope): (usize, Option<&Rope>),
    rounding: Rounding,
) -> [Vec<f64>; 3] {
    let mut all = [Place::Query, Place::Key, Place::Value].map(|place| adapted(layer, place, input, rounding));
    if let Some(biases) = &layer.own.biases {
        for (x, bias) in all.iter_mut().zip(biases) {
            add(x, &bias.iter().map(|&bias| f64::from(bias)).collect::<Vec<_>>());
        }
    }
    for (i, heads) in all[..2].iter_mut().enumerate() {
        if let Some(norms) = &layer.own.row_norms {
            *heads = norm(heads, &norms[i], shape.eps);
        }
        for head in heads.chunks_mut(shape.head) {
            if let Some(norms) = &layer.own.head_norms {
                head.copy_from_slice(&norm(head, &norms[i], shape.eps));
            }
            if let Some(rope) = rope {
                turn(shape.family.pairs, head, position, rope);
            }
        }
    }
    all
}

/// The same where heads share what they are made of: queries as they meet that, and that as the one head of keys and of values.
fn shared(
    shape: &Shape,
    sizes: Latent,
    weights: &weights::Latent<Packed>,
    input: &[f64],
    (position, rope): (usize, Option<&Rope>),
    rounding: Rounding,
) -> [Vec<f64>; 3] {
    let turned = |x: &[f64]| {
        let mut x = x.to_vec();
        if let Some(rope) = rope {
            turn(shape.family.pairs, &mut x, position, rope);
        }
        x
    };
    let query = norm(&product(&weights.query, input, rounding), &weights.query_norm, shape.eps);
    let query = product(&weights.queries, &query, rounding);
    let heads = query.chunks(sizes.plain + sizes.turned).enumerate().flat_map(|(head, query)| {
        let (plain, rest) = query.split_at(sizes.plain);
        [some(&weights.keys, part(head, sizes.rank), plain, rounding), turned(rest)].concat()
    });
    let made = product(&weights.shared, input, rounding);
    let (made, rest) = made.split_at(sizes.rank);
    let value = norm(made, &weights.shared_norm, shape.eps);
    [heads.collect(), [value.clone(), turned(rest)].concat(), value]
}

/// The rows of one head of a matrix.
fn part(head: usize, rows: usize) -> Range<usize> {
    head * rows..(head + 1) * rows
}

/// What the feed-forward block of a layer gives, or all that a token passes through.
fn feed_forward(shape: &Shape, layer: &Layer<Packed>, input: &[f64], rounding: Rounding) -> Vec<f64> {
    let block = |index: usize| {
        let [inner, outer] = [shape.feed_forward, shape.width].map(|rows| index * rows..(index + 1) * rows);
        let mut gate = some(&layer.gate, inner.clone(), input, rounding);
        let mut up = some(&layer.up, inner, input, rounding);
        adapt(layer, Place::Gate, input, &mut gate);
        adapt(layer, Place::Up, input, &mut up);
        let inner: Vec<f64> = gate.iter().zip(&up).map(|(&g, up)| passed(shape.family.gate, g) * up).collect();
        let mut change = some(&layer.down, outer, &inner, rounding);
        adapt(layer, Place::Down, &inner, &mut change);
        change
    };
    let (Some(experts), Some(router)) = (shape.experts, &layer.router) else { return block(0) };
    let scores = product(router, input, rounding);
    let mut chosen: Vec<usize> = (0..experts.count).collect();
    // Stable: of equal scores the first.
    chosen.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    chosen.truncate(experts.used);
    let weights: Vec<f64> = chosen.iter().map(|&expert| (scores[expert] - scores[chosen[0]]).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut change = vec![0.0; shape.width];
    for (&expert, weight) in chosen.iter().zip(weights) {
        add(&mut change, &block(expert).into_iter().map(|x| x * weight / sum).collect::<Vec<_>>());
    }
    change
}

pub(crate) fn row(tensor: &Packed, index: usize) -> Vec<f64> {
    let mut values = vec![0.0; tensor.panels().cols()];
    tensor.panels().row(index, &mut values);
    values.into_iter().map(f64::from).collect()
}

fn adapted(layer: &Layer<Packed>, place: Place, x: &[f64], rounding: Rounding) -> Vec<f64> {
    let mut results = product(layer.matrix(place).expect("a place that the family has"), x, rounding);
    adapt(layer, place, x, &mut results);
    results
}

/// Adds what an adapter has for a matrix; experts have none.
fn adapt(layer: &Layer<Packed>, place: Place, x: &[f64], results: &mut [f64]) {
    let Some(factors) = layer.added.of(place) else { return };
    let inner = product(&factors.first, x, Rounding::None);
    let added = product(&factors.second, &inner, Rounding::None);
    results.iter_mut().zip(added).for_each(|(x, added)| *x += f64::from(factors.scale) * added);
}

pub(crate) fn product(tensor: &Packed, x: &[f64], rounding: Rounding) -> Vec<f64> {
    some(tensor, 0..tensor.panels().rows(), x, rounding)
}

/// The same of some rows.
fn some(tensor: &Packed, rows: Range<usize>, x: &[f64], rounding: Rounding) -> Vec<f64> {
    let x = match rounding {
        Rounding::None => x.to_vec(),
        Rounding::Contract(_) => quantised(x, tensor),
    };
    rows.map(|index| dot(&row(tensor, index), &x)).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn norm(x: &[f64], weight: &[f32], eps: f32) -> Vec<f64> {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(x, &weight)| x * scale * f64::from(weight)).collect()
}

pub(crate) fn turn(pairs: Pairs, head: &mut [f64], position: usize, rope: &Rope) {
    let count = rope.frequencies.len();
    for (pair, [cos, sin]) in rope.angles(position).enumerate() {
        let [a, b] = match pairs {
            Pairs::Adjacent => [2 * pair, 2 * pair + 1],
            Pairs::Halves => [pair, pair + count],
        };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

pub(crate) fn passed(gate: Gate, g: f64) -> f64 {
    match gate {
        Gate::Silu => g / (1.0 + (-g).exp()),
        Gate::Gelu => g * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g * g * g)).tanh()) / 2.0,
    }
}

fn bent(x: f64, limit: Option<f32>) -> f64 {
    limit.map(f64::from).map_or(x, |limit| limit * (x / limit).tanh())
}

/// To multiples of a 127th of the largest of each group, for weights that are not floats.
fn quantised(x: &[f64], tensor: &Packed) -> Vec<f64> {
    let Some(group) = tensor.panels().format().group() else { return x.to_vec() };
    let len = match group {
        Group::Of32 => 32,
        Group::Of256 => 256,
    };
    x.chunks(len).flat_map(|group| to_steps(group, scale_of(group))).collect()
}

fn scale_of(x: &[f64]) -> f64 {
    x.iter().fold(0.0f64, |largest, x| largest.max(x.abs())) / 127.0
}

/// To the nearest multiples of a scale.
fn to_steps(x: &[f64], scale: f64) -> Vec<f64> {
    x.iter().map(|x| if scale == 0.0 { 0.0 } else { (x / scale).round_ties_even() * scale }).collect()
}

fn to_halves(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| f16::from_f64(x).to_f64()).collect()
}

/// A head of queries, as it meets keys.
fn asked(head: &[f64], rounding: Rounding) -> Vec<f64> {
    match rounding {
        Rounding::Contract(CacheType::Q8_0) => {
            head.chunks(32).flat_map(|block| to_steps(block, scale_of(block))).collect()
        }
        _ => head.to_vec(),
    }
}

pub(crate) fn stored_key(head: &[f64], rounding: Rounding) -> Vec<f64> {
    match rounding {
        Rounding::None => head.to_vec(),
        Rounding::Contract(CacheType::F16) => to_halves(head),
        Rounding::Contract(CacheType::Q8_0) => {
            let block = |block: &[f64]| to_steps(block, f16::from_f64(scale_of(block)).to_f64());
            head.chunks(32).flat_map(block).collect()
        }
    }
}

pub(crate) fn stored_value(head: &[f64], rounding: Rounding) -> Vec<f64> {
    match rounding {
        Rounding::None => head.to_vec(),
        Rounding::Contract(CacheType::F16) => to_halves(head),
        Rounding::Contract(CacheType::Q8_0) => to_steps(head, scale_of(head)),
    }
}

/// Weights of the positions from `first` on as they meet values: where those are bytes, times their scale they are 14 bits of
/// the largest of a page.
fn weighed<'a>(
    mut weights: Vec<f64>,
    first: usize,
    values: impl Iterator<Item = &'a [f64]>,
    rounding: Rounding,
) -> Vec<f64> {
    if rounding != Rounding::Contract(CacheType::Q8_0) {
        return weights;
    }
    let scales: Vec<f64> = values.map(scale_of).collect();
    let mut at = 0;
    while at < weights.len() {
        let page = at..weights.len().min((first + at) / PAGE * PAGE + PAGE - first);
        let products = page.clone().map(|at| weights[at] * scales[at]);
        let step = products.fold(0.0, f64::max) / 16_383.0;
        for at in page.clone() {
            if scales[at] != 0.0 {
                weights[at] = (weights[at] * scales[at] / step).round_ties_even() * step / scales[at];
            }
        }
        at = page.end;
    }
    weights
}
