//! Activations as whole numbers: eight bits with a scale for each group, and the sums that products with them need.
//!
//! Element `i` of a group is `scale * q[i]` with `|q[i]| <= 127`. The scale is the largest absolute value over 127, and
//! every number is rounded to the nearest (ties to even): the same result on every tier, to the last bit. Numbers that
//! are no numbers give no number worth having, but neither a panic nor a value outside the range.

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

/// Elements of a block.
pub(crate) const LEN: usize = 256;

/// How many activations share a scale. One that is large takes the small ones' steps, so fewer is finer; but where
/// weights have whole numbers for scales within 256, a scale for each 32 would cost a tenth of a prompt's speed. Both are
/// as the field's other engines have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// For weights in blocks of 32.
    #[default]
    Of32,
    /// For weights in blocks of 256.
    Of256,
}

/// A block of activations; the last one of a column may stand for fewer, and then has zeros behind them.
///
/// In whole lines of the cache, those first that every product reads: a tile of columns then stays in the first level.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Q8 {
    pub(crate) q: [i8; LEN],
    /// Of each 32; where a group is the whole block, all the same.
    pub(crate) scales: [f32; LEN / 32],
    /// -128 times the sum of each 32: what weights whose zero is 128 have added too much.
    pub(crate) starts: [i32; LEN / 32],
    /// The same of each 16.
    pub(crate) half_starts: [i32; LEN / 16],
    /// The sum of each 16, two by two.
    pub(crate) half_sums: [[i16; 2]; LEN / 32],
    /// The sum of each 32, two by two.
    pub(crate) sums: [[i16; 2]; LEN / 64],
    pub(crate) group: Group,
}

impl Default for Q8 {
    fn default() -> Self {
        Q8 {
            q: [0; LEN],
            scales: [0.0; 8],
            starts: [0; 8],
            half_starts: [0; 16],
            half_sums: [[0; 2]; 8],
            sums: [[0; 2]; 4],
            group: Group::default(),
        }
    }
}

impl Q8 {
    /// Blocks of a column of `len` numbers.
    pub const fn blocks(len: usize) -> usize {
        len.div_ceil(LEN)
    }

    /// The numbers that a column of blocks stands for, with the zeros behind them.
    pub fn values(blocks: &[Q8]) -> impl Iterator<Item = f64> + '_ {
        let steps = blocks.iter().flat_map(|block| block.scales.iter().zip(block.q.as_chunks::<32>().0));
        steps.flat_map(|(&scale, q)| q.iter().map(move |&q| f64::from(scale) * f64::from(q)))
    }
}

/// Quantises a column.
///
/// # Panics
/// If `blocks` are not those of `x`.
pub fn quantize(isa: Isa, group: Group, x: &[f32], blocks: &mut [Q8]) {
    assert!(blocks.len() == Q8::blocks(x.len()), "quantize: {} values into {} blocks", x.len(), blocks.len());
    let (whole, rest) = x.as_chunks::<LEN>();
    let (body, last) = blocks.split_at_mut(whole.len());
    for (x, block) in whole.iter().zip(body) {
        fill(isa, group, x, block);
    }
    for block in last {
        let mut x = [0.0; LEN];
        x[..rest.len()].copy_from_slice(rest);
        fill(isa, group, &x, block);
    }
}

fn fill(isa: Isa, group: Group, x: &[f32; LEN], block: &mut Q8) {
    block.group = group;
    match group {
        Group::Of256 => block.scales = [dispatch!(isa, group::<LEN>(x, &mut block.q)); 8],
        Group::Of32 => {
            let groups = x.as_chunks::<32>().0.iter().zip(block.q.as_chunks_mut::<32>().0);
            for ((x, q), scale) in groups.zip(&mut block.scales) {
                *scale = dispatch!(isa, group::<32>(x, q));
            }
        }
    }
    let sums = block.half_sums.as_flattened_mut();
    for (sum, q) in sums.iter_mut().zip(block.q.as_chunks::<16>().0) {
        *sum = q.iter().map(|&q| i16::from(q)).sum();
    }
    for (start, &sum) in block.half_starts.iter_mut().zip(&*sums) {
        *start = -128 * i32::from(sum);
    }
    let whole = block.sums.as_flattened_mut().iter_mut().zip(&mut block.starts);
    for ((sum, start), halves) in whole.zip(&block.half_sums) {
        *sum = halves[0] + halves[1];
        *start = -128 * i32::from(*sum);
    }
}

/// The scale of a group and what to multiply its values by.
fn scale_of(largest: f32) -> (f32, f32) {
    // A group of zeros, or one so small that the inverse overflows, is a group of zeros.
    let inverse = 127.0 / largest;
    if inverse.is_finite() { (largest / 127.0, inverse) } else { (0.0, 0.0) }
}
