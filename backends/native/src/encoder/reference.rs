//! The forward pass written only to be read, in `f64`, one text and one number at a time: what the engine is compared with.
//!
//! It can also round where the engine's contract says that it rounds; then the two differ only by the order of additions in
//! `f32`. See [`crate::model::reference`], whose products it shares.

use engine::encoder::Pooling;
use kernels::{Gate, Packed, Pairs};

use super::{
    Encoder,
    shape::Shape,
    weights::{Linear, Norm},
};
pub use crate::model::reference::Rounding;
use crate::model::reference::{add, dot, passed, product, row, stored_key, stored_value, turn};

/// What comes of a text: the numbers that [`super::Reader::read`] computes.
pub fn read(encoder: &Encoder, tokens: &[u32], rounding: Rounding) -> Vec<f64> {
    let (shape, weights) = (&encoder.shape, &encoder.weights);
    let mut stream: Vec<Vec<f64>> = tokens
        .iter()
        .enumerate()
        .map(|(position, &id)| {
            let mut x = row(&weights.embedding, id as usize);
            add(&mut x, &floats(&weights.part));
            if let Some(positions) = &weights.positions {
                add(&mut x, &row(positions, position));
            }
            norm(&x, &weights.norm, shape.eps)
        })
        .collect();
    for layer in &weights.layers {
        let all = |linear: &Linear<Packed>| stream.iter().map(|x| applied(linear, x, rounding)).collect::<Vec<_>>();
        let turned = |mut rows: Vec<Vec<f64>>| {
            for (position, row) in rows.iter_mut().enumerate() {
                for head in row.chunks_mut(shape.head) {
                    if let Some(rope) = &shape.rope {
                        turn(Pairs::Halves, head, position, rope);
                    }
                }
            }
            rows
        };
        let queries = turned(all(&layer.query));
        let keys: Vec<Vec<f64>> = turned(all(&layer.key)).into_iter().map(|key| stored_key(&key, rounding)).collect();
        let values: Vec<Vec<f64>> = all(&layer.value).into_iter().map(|value| stored_value(&value, rounding)).collect();
        for (x, query) in stream.iter_mut().zip(&queries) {
            add(x, &applied(&layer.attention_output, &attend(shape, query, &keys, &values), rounding));
            *x = norm(x, &layer.attention_norm, shape.eps);
            let mut inner = applied(&layer.up, x, rounding);
            match &layer.gate {
                None => inner.iter_mut().for_each(|x| *x = passed(Gate::Gelu, *x)),
                Some(gate) => {
                    let gate = applied(gate, x, rounding);
                    inner.iter_mut().zip(gate).for_each(|(x, gate)| *x *= passed(Gate::Silu, gate));
                }
            }
            add(x, &applied(&layer.down, &inner, rounding));
            *x = norm(x, &layer.norm, shape.eps);
        }
    }
    let pooled = match shape.pooling {
        Pooling::First => stream[0].clone(),
        Pooling::Last => stream[stream.len() - 1].clone(),
        Pooling::Mean => {
            let mut sums = vec![0.0; shape.width];
            stream.iter().for_each(|x| add(&mut sums, x));
            sums.into_iter().map(|sum| sum / stream.len() as f64).collect()
        }
    };
    let Some(head) = &weights.head else { return pooled };
    let inner = match &head.inner {
        None => pooled,
        Some(inner) => applied(inner, &pooled, rounding).into_iter().map(f64::tanh).collect(),
    };
    applied(&head.output, &inner, rounding)
}

/// What a query mixes of all values, each head of it by itself.
fn attend(shape: &Shape, query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
    let mut mixed = vec![0.0; shape.width];
    for first in (0..shape.width).step_by(shape.head) {
        let own = first..first + shape.head;
        let score = |key: &Vec<f64>| dot(&query[own.clone()], &key[own.clone()]) / (shape.head as f64).sqrt();
        let scores: Vec<f64> = keys.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        for (score, value) in scores.iter().zip(values) {
            let weight = (score - largest).exp() / sum;
            mixed[own.clone()].iter_mut().zip(&value[own.clone()]).for_each(|(mixed, value)| *mixed += weight * value);
        }
    }
    mixed
}

fn applied(linear: &Linear<Packed>, x: &[f64], rounding: Rounding) -> Vec<f64> {
    let mut results = product(&linear.matrix, x, rounding);
    if let Some(bias) = &linear.bias {
        add(&mut results, &floats(bias));
    }
    results
}

fn norm(x: &[f64], norm: &Norm, eps: f32) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let apart: Vec<f64> = x.iter().map(|x| x - mean).collect();
    let scale = 1.0 / (dot(&apart, &apart) / x.len() as f64 + f64::from(eps)).sqrt();
    let scaled = apart.iter().zip(&norm.weight).map(|(x, &weight)| x * scale * f64::from(weight));
    scaled.zip(&norm.bias).map(|(x, &bias)| x + f64::from(bias)).collect()
}

fn floats(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}
