//! Weighted sums of values that are bytes: the second product of attention, where the cache keeps whole numbers.
//!
//! Values lie in pages of [`Values::POSITIONS`] positions. Those of a position are eight bits each with one scale in `f32`, so
//! that a position is written without those beside it. Sixteen values are a panel, in which four positions lie side by side,
//! as the instructions that add four products of bytes want them; behind the panels stand the scales.
//!
//! A weight times its position's scale is rounded to 14 bits of the largest such product of the page, in two planes of seven:
//! far finer than what a value's eight bits have lost, and no sum overflows 16 or 32 bits on any tier. So the sums of a page
//! are exact whole numbers, the same on every tier, and a column's do not depend on those beside it. Numbers that are no
//! numbers give no number worth having, but no panic.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2vnni;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod scalar;
#[cfg(test)]
mod tests;
mod tile;

use crate::isa::{Isa, dispatch};

/// Values that lie side by side.
const ROWS: usize = 16;
const POSITIONS: usize = 64;
/// Bytes of a panel.
const PANEL: usize = ROWS * POSITIONS;
/// The most columns that share the reading of a panel.
const TILE: usize = 8;
/// What the largest product of a weight and a scale becomes.
const LARGEST: f32 = 16_383.0;

/// A page of values.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Values of a position.
    len: usize,
    panels: &'a [[u8; PANEL]],
    scales: &'a [[u8; 4]],
}

impl<'a> Values<'a> {
    /// Positions of a page.
    pub const POSITIONS: usize = POSITIONS;

    /// Bytes of a page with `len` values for each position.
    pub const fn bytes(len: usize) -> usize {
        len.div_ceil(ROWS) * PANEL + 4 * POSITIONS
    }

    /// A page that lies in `data`.
    ///
    /// # Panics
    /// If `data` has not the bytes of one.
    pub fn of(len: usize, data: &'a [u8]) -> Self {
        assert!(data.len() == Self::bytes(len), "Values::of: {} bytes for a page of {len} values", data.len());
        let (panels, scales) = data.split_at(data.len() - 4 * POSITIONS);
        Values { len, panels: panels.as_chunks().0, scales: scales.as_chunks().0 }
    }

    /// The scales of the first positions; those behind may never have been written, and count for nothing.
    fn scales(&self, positions: usize) -> [f32; POSITIONS] {
        let mut scales = [0.0; POSITIONS];
        for (scale, bytes) in scales[..positions].iter_mut().zip(self.scales) {
            *scale = f32::from_le_bytes(*bytes);
        }
        scales
    }
}

/// Writes the values of one position of a page.
///
/// # Panics
/// If the page has no such position, or `page` is none of as many values.
pub fn put_values(x: &[f32], position: usize, page: &mut [u8]) {
    assert!(
        position < POSITIONS && page.len() == Values::bytes(x.len()),
        "put_values: position {position}, {} values, {} bytes",
        x.len(),
        page.len()
    );
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let (scale, inverse) = scale_of(largest, 127.0);
    let (panels, scales) = page.split_at_mut(page.len() - 4 * POSITIONS);
    scales[4 * position..][..4].copy_from_slice(&scale.to_le_bytes());
    for (x, panel) in x.chunks(ROWS).zip(panels.chunks_exact_mut(PANEL)) {
        let group = &mut panel[4 * ROWS * (position / 4)..][..4 * ROWS];
        for (x, place) in x.iter().zip(group.iter_mut().skip(position % 4).step_by(4)) {
            *place = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
        }
    }
}

/// Copies the first `positions` positions of a page into another one.
///
/// # Panics
/// If they are not pages of `len` values.
pub fn copy_values(len: usize, positions: usize, from: &[u8], to: &mut [u8]) {
    assert!(from.len() == Values::bytes(len) && to.len() == from.len(), "copy_values: {} bytes", from.len());
    let (from, from_scales) = from.split_at(from.len() - 4 * POSITIONS);
    let (to, to_scales) = to.split_at_mut(to.len() - 4 * POSITIONS);
    // Whole groups: what comes along is written before it is read.
    let groups = 4 * ROWS * positions.div_ceil(4);
    for (from, to) in from.chunks_exact(PANEL).zip(to.chunks_exact_mut(PANEL)) {
        to[..groups].copy_from_slice(&from[..groups]);
    }
    to_scales[..4 * positions].copy_from_slice(&from_scales[..4 * positions]);
}

/// The products of weights and scales of a column, in two planes: `scale * (128 * high + low)`.
#[derive(Clone, Copy)]
struct Planes {
    high: [u8; POSITIONS],
    low: [u8; POSITIONS],
    scale: f32,
}

impl Planes {
    const NONE: Self = Self { high: [0; POSITIONS], low: [0; POSITIONS], scale: 0.0 };
}

/// Adds to each column's sums the values of the first `positions` positions of a page, each times its weight, which is not
/// negative: `sums[c * len + i] += sum of weights[c * positions + p] * value[p][i]`.
///
/// # Panics
/// If there are not `positions` weights and `len` sums for each column.
pub fn mix(isa: Isa, values: Values<'_>, positions: usize, weights: &[f32], sums: &mut [f32]) {
    assert!((1..=POSITIONS).contains(&positions), "mix: {positions} positions");
    let (len, columns) = (values.len, weights.len() / positions);
    assert!(
        weights.len() == columns * positions && sums.len() == columns * len,
        "mix: {} weights of {positions} positions and {} sums of {len}",
        weights.len(),
        sums.len()
    );
    let scales = values.scales(positions);
    let mut column = 0;
    while column < columns {
        let (weights, sums) = (&weights[column * positions..], &mut sums[column * len..]);
        column += match columns - column {
            1 => tile::<1>(isa, values, &scales, positions, weights, sums),
            2 | 3 => tile::<2>(isa, values, &scales, positions, weights, sums),
            4..TILE => tile::<4>(isa, values, &scales, positions, weights, sums),
            _ => tile::<TILE>(isa, values, &scales, positions, weights, sums),
        };
    }
}

/// The first `C` columns.
fn tile<const C: usize>(
    isa: Isa,
    values: Values<'_>,
    scales: &[f32; POSITIONS],
    positions: usize,
    weights: &[f32],
    sums: &mut [f32],
) -> usize {
    let mut planes = [Planes::NONE; C];
    for (planes, weights) in planes.iter_mut().zip(weights.chunks_exact(positions)) {
        match weights.as_array() {
            Some(weights) => dispatch!(isa, planes(weights, scales, planes)),
            None => {
                let mut padded = [0.0; POSITIONS];
                padded[..positions].copy_from_slice(weights);
                dispatch!(isa, planes(&padded, scales, planes));
            }
        }
    }
    dispatch!(isa, mix::<C>(values.panels, values.len, &planes, &mut sums[..C * values.len]));
    C
}

/// The scale of some numbers of which the largest shall become `to`, and what to multiply them by.
fn scale_of(largest: f32, to: f32) -> (f32, f32) {
    let inverse = to / largest;
    // Zeros, and what is so small that the inverse overflows, are zeros.
    if inverse.is_finite() { (largest / to, inverse) } else { (0.0, 0.0) }
}
