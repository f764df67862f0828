//! The plainest quantisers: every block's scale from its extremes, every weight to the nearest step.

use half::{bf16, f16};

use crate::gguf::TensorType;

/// Whether there is a quantiser for a type.
pub(super) fn quantises(kind: TensorType) -> bool {
    use TensorType::{BF16, F16, F32, Q4_0, Q4_K, Q6_K, Q8_0};
    matches!(kind, F32 | F16 | BF16 | Q8_0 | Q4_0 | Q4_K | Q6_K)
}

/// Stores a row, or several whole rows, as `kind`.
///
/// # Panics
/// When the length is no whole number of blocks, or the type has no quantiser here.
pub fn quantise(kind: TensorType, weights: &[f32]) -> Vec<u8> {
    assert!(weights.len().is_multiple_of(kind.block_len()), "{} weights are no whole blocks of {kind}", weights.len());
    let mut out = Vec::with_capacity(weights.len() / kind.block_len() * kind.block_bytes());
    for block in weights.chunks_exact(kind.block_len()) {
        match kind {
            TensorType::F32 => out.extend(block[0].to_le_bytes()),
            TensorType::F16 => out.extend(f16::from_f32(block[0]).to_le_bytes()),
            TensorType::BF16 => out.extend(bf16::from_f32(block[0]).to_le_bytes()),
            TensorType::Q8_0 => q8_0(block, &mut out),
            TensorType::Q4_0 => q4_0(block, &mut out),
            TensorType::Q4_K => q4_k(block, &mut out),
            TensorType::Q6_K => q6_k(block, &mut out),
            _ => panic!("no quantiser for {kind}"),
        }
    }
    out
}

fn largest(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |max: f32, w| max.max(w.abs()))
}

/// `1 / scale`, or 0 for a block of zeros.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// A scale, and the same scale as a reader will see it.
fn half(out: &mut Vec<u8>, scale: f32) -> f32 {
    let stored = f16::from_f32(scale);
    out.extend(stored.to_le_bytes());
    stored.to_f32()
}

/// f16 scale, 32 signed bytes.
fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let by = inverse(half(out, largest(block) / 127.0));
    out.extend(block.iter().map(|w| (w * by).round().clamp(-127.0, 127.0) as i8 as u8));
}

/// f16 scale, 16 bytes: weight i in the low half of byte i, weight i + 16 in its high half, each 8 too large.
fn q4_0(block: &[f32], out: &mut Vec<u8>) {
    let by = inverse(half(out, largest(block) / 7.0));
    let q = |w: f32| (w * by).round().clamp(-8.0, 7.0) as i8 + 8;
    let (low, high) = block.split_at(16);
    out.extend(low.iter().zip(high).map(|(&l, &h)| (q(l) | q(h) << 4) as u8));
}

/// f16 scale of scales, f16 scale of minimums, eight 6-bit scales and minimums in 12 bytes, 128 bytes of
/// nibbles. A weight is `scale * q - minimum` of its run of 32.
fn q4_k(block: &[f32], out: &mut Vec<u8>) {
    let runs: Vec<(f32, f32)> = block
        .chunks_exact(32)
        .map(|run| {
            let low = run.iter().fold(0.0, |min: f32, w| min.min(*w));
            let high = run.iter().fold(0.0, |max: f32, w| max.max(*w));
            ((high - low) / 15.0, -low)
        })
        .collect();
    let d = half(out, runs.iter().fold(0.0, |max: f32, r| max.max(r.0)) / 63.0);
    let dmin = half(out, runs.iter().fold(0.0, |max: f32, r| max.max(r.1)) / 63.0);
    let six = |value: f32, by: f32| (value * inverse(by)).round().clamp(0.0, 63.0) as u8;
    let packed: Vec<(u8, u8)> = runs.iter().map(|&(scale, min)| (six(scale, d), six(min, dmin))).collect();
    let mut bits = [0u8; 12];
    for (j, &(scale, min)) in packed.iter().enumerate() {
        if j < 4 {
            bits[j] |= scale;
            bits[j + 4] |= min;
        } else {
            bits[j + 4] |= (scale & 15) | (min & 15) << 4;
            bits[j - 4] |= (scale >> 4) << 6;
            bits[j] |= (min >> 4) << 6;
        }
    }
    out.extend(bits);
    let q = |at: usize| {
        let (scale, min) = packed[at / 32];
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        ((block[at] + min) * inverse(scale)).round().clamp(0.0, 15.0) as u8
    };
    for pair in (0..256).step_by(64) {
        out.extend((pair..pair + 32).map(|at| q(at) | q(at + 32) << 4));
    }
}

/// 128 bytes of low nibbles, 64 bytes of high pairs of bits, sixteen signed scales, f16 scale of scales. A
/// weight is `scale * (q - 32)` of its run of 16.
fn q6_k(block: &[f32], out: &mut Vec<u8>) {
    let runs: Vec<f32> = block.chunks_exact(16).map(|run| largest(run) / 31.0).collect();
    let d = f16::from_f32(runs.iter().fold(0.0, |max: f32, r| max.max(*r)) / 127.0);
    let by = inverse(d.to_f32());
    let scales: Vec<i8> = runs.iter().map(|scale| (scale * by).round().clamp(0.0, 127.0) as i8).collect();
    let q = |at: usize| {
        let scale = d.to_f32() * f32::from(scales[at / 16]);
        ((block[at] * inverse(scale)).round().clamp(-32.0, 31.0) + 32.0) as u8
    };
    // Each half of 128 weights: byte l of 64 holds weights l and l + 64.
    for base in [0, 128] {
        out.extend((0..64).map(|l| (q(base + l) & 15) | (q(base + 64 + l) & 15) << 4));
    }
    for base in [0, 128] {
        let top = |at: usize| q(at) >> 4;
        out.extend((base..base + 32).map(|l| top(l) | top(l + 32) << 2 | top(l + 64) << 4 | top(l + 96) << 6));
    }
    out.extend(scales.iter().map(|&scale| scale as u8));
    out.extend(d.to_le_bytes());
}
