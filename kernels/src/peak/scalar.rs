use std::hint::black_box;

use super::{LEFT, NOTHING, Products, RIGHT};

/// Numbers that are multiplied in a step: what the compiler makes of them is its own affair.
const LANES: usize = 128;

pub(super) fn read(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().fold(u64::from_le_bytes(last), |all, word| all ^ u64::from_le_bytes(*word))
}

pub(super) fn multiply(steps: u32) -> Products {
    let right = black_box([i16::from(RIGHT); LANES]);
    let (mut left, change) = ([i16::from(LEFT); LANES], black_box(NOTHING) as i16);
    let mut sums = [0i32; LANES];
    for _ in 0..steps {
        for ((sum, left), right) in sums.iter_mut().zip(&mut left).zip(&right) {
            *left ^= change;
            *sum = sum.wrapping_add(i32::from(*left) * i32::from(*right));
        }
    }
    Products { count: u64::from(steps) * LANES as u64, sum: sums.iter().fold(0, |all, sum| all.wrapping_add(*sum)) }
}
