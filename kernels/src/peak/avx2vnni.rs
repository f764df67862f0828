use std::{arch::x86_64::*, hint::black_box};

pub(super) use super::avx2::read;
use super::{LEFT, Products, RIGHT, avx2::sum_i32x8};

/// Chains: with both factors, all fit into the registers.
const CHAINS: usize = 12;

/// One instruction for 32 products.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn multiply(steps: u32) -> Products {
    let (left, right) = (_mm256_set1_epi8(black_box(LEFT).cast_signed()), _mm256_set1_epi8(black_box(RIGHT)));
    let mut sums = [_mm256_setzero_si256(); CHAINS];
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, left, right);
        }
    }
    Products { count: u64::from(steps) * (CHAINS * 32) as u64, sum: sum_i32x8(sums) }
}
