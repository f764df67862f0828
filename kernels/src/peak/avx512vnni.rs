use std::{arch::x86_64::*, hint::black_box};

pub(super) use super::avx512::read;
use super::{LEFT, Products, RIGHT};

/// Chains: more than an instruction takes steps, on each of the ports that have it.
const CHAINS: usize = 16;

/// One instruction for 64 products.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn multiply(steps: u32) -> Products {
    let (left, right) = (_mm512_set1_epi8(black_box(LEFT).cast_signed()), _mm512_set1_epi8(black_box(RIGHT)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, left, right);
        }
    }
    let sum = sums.into_iter().fold(0, |all: i32, sum| all.wrapping_add(_mm512_reduce_add_epi32(sum)));
    Products { count: u64::from(steps) * (CHAINS * 64) as u64, sum }
}
