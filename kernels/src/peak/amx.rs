use std::hint::black_box;

use super::{LEFT, Products, RIGHT};
use crate::tiles::{Tiles, store_tiles, tile_asm};

/// Chains: so many instructions are begun before the first is done.
const CHAINS: usize = 4;
/// Numbers of a tile of sums, and what is added up in each of them by one instruction.
const SUMS: usize = 16 * 16;
const DEEP: usize = 64;

/// One instruction for 16,384 products.
///
/// # Safety
/// The CPU has tiles, and the system lets the program use them.
pub(super) unsafe fn multiply(steps: u32) -> Products {
    // SAFETY: as the caller vouches.
    let tiles = unsafe { Tiles::new(DEEP, 16) };
    let (left, right) = ([[black_box(LEFT); 64]; 16], [[black_box(RIGHT); 64]; 16]);
    let mut sums = [[0i32; SUMS]; CHAINS];
    // SAFETY: `tiles` shaped them, all as 16 rows of 64 bytes: so much is read behind `left` and `right`, and written behind
    // `sums` for each chain. It holds them until all is done.
    unsafe {
        tile_asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "tileloadd tmm4, [{right} + {row}*1]",
            "tileloadd tmm5, [{right} + {row}*1]",
            "tileloadd tmm6, [{left} + {row}*1]",
            "tileloadd tmm7, [{left} + {row}*1]",
            "test {steps:e}, {steps:e}",
            "jz 3f",
            "2:",
            "tdpbsud tmm0, tmm4, tmm6",
            "tdpbsud tmm1, tmm4, tmm7",
            "tdpbsud tmm2, tmm5, tmm6",
            "tdpbsud tmm3, tmm5, tmm7",
            "dec {steps:e}",
            "jnz 2b",
            "3:",
            store_tiles!("sums"),
            left = in(reg) &left,
            right = in(reg) &right,
            sums = in(reg) &mut sums,
            steps = inout(reg) steps => _,
            row = in(reg) 64usize,
        );
    }
    drop(tiles);
    let sum = sums.as_flattened().iter().fold(0i32, |all, sum| all.wrapping_add(*sum));
    Products { count: u64::from(steps) * (CHAINS * SUMS * DEEP) as u64, sum }
}
