//! Vectors as arrays: what every other tier must agree with.

use half::{bf16, f16};

use super::tile::{F16, F32, element_bytes, tiles};

type Bytes = [u8; 64];
type Ints = [i32; 16];
type Floats = [f32; 16];

tiles!();

fn load(from: &[u8; 64]) -> Bytes {
    *from
}

fn shift(v: Bytes, by: i32) -> Bytes {
    v.map(|v| if by >= 0 { v << by } else { v >> -by })
}

fn and(v: Bytes, mask: u8) -> Bytes {
    v.map(|v| v & mask)
}

fn or(a: Bytes, b: Bytes) -> Bytes {
    std::array::from_fn(|i| a[i] | b[i])
}

/// Sets a bit in the bytes that `mask` names.
fn or_where(v: Bytes, mask: u64, bit: u8) -> Bytes {
    std::array::from_fn(|i| if mask >> i & 1 == 1 { v[i] | bit } else { v[i] })
}

fn lookup(table: &[u8; 16], v: Bytes) -> Bytes {
    v.map(|v| table[usize::from(v)])
}

fn none() -> Ints {
    [0; 16]
}

/// Where a sum of products begins; `start` undoes a zero of 128.
fn start<P: Packing>(start: i32) -> Ints {
    [if P::LAYOUT.centred() { start } else { 0 }; 16]
}

/// Adds to each row four products.
fn add_products<P: Packing>(sum: Ints, w: Bytes, x: [i8; 4]) -> Ints {
    std::array::from_fn(|r| sum[r] + (0..4).map(|j| i32::from(w[4 * r + j]) * i32::from(x[j])).sum::<i32>())
}

fn bytes(from: &[u8; 16]) -> Ints {
    from.map(|byte| i32::from(byte as i8))
}

fn add_scaled(sum: Ints, a: Ints, b: Ints) -> Ints {
    std::array::from_fn(|r| sum[r] + a[r] * b[r])
}

/// Two small numbers of each row.
fn pairs(from: &[u8; 32]) -> [u8; 32] {
    *from
}

fn add_pairs(sum: Ints, pairs: [u8; 32], x: [i16; 2]) -> Ints {
    std::array::from_fn(|r| sum[r] + (0..2).map(|j| i32::from(pairs[2 * r + j]) * i32::from(x[j])).sum::<i32>())
}

fn floats(v: Ints) -> Floats {
    v.map(|v| v as f32)
}

fn zero() -> Floats {
    [0.0; 16]
}

fn splat(x: f32) -> Floats {
    [x; 16]
}

fn singles(from: &[u8; 64]) -> Floats {
    std::array::from_fn(|r| f32::from_le_bytes(from.as_chunks().0[r]))
}

fn halves(from: &[u8; 32]) -> Floats {
    std::array::from_fn(|r| f16::from_le_bytes(from.as_chunks().0[r]).to_f32())
}

/// Halves that are the upper half of a float.
fn upper_halves(from: &[u8; 32]) -> Floats {
    std::array::from_fn(|r| bf16::from_le_bytes(from.as_chunks().0[r]).to_f32())
}

fn add(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|r| a[r] + b[r])
}

fn mul(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|r| a[r] * b[r])
}

fn add_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|r| sum[r] + a[r] * b[r])
}

fn take_product(sum: Floats, a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|r| sum[r] - a[r] * b[r])
}

fn store(v: Floats, to: &mut [f32; 16]) {
    *to = v;
}
