//! The tile registers of AMX: how a thread gets and leaves them, and what every use of them has in common.
//!
//! A tile is sixteen rows of 64 bytes at most. The compiler knows none of them, so what is done with them is written as
//! assembly ([`tile_asm`]) and holds nothing in them from one piece to the next.

use std::{arch::asm, marker::PhantomData};

/// Rows of a tile.
const TILE: usize = 16;

/// Assembly that may change every tile, and ends with a comma.
macro_rules! tile_asm {
    ($($given:tt)*) => {
        std::arch::asm!(
            $($given)*
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            out("tmm4") _,
            out("tmm5") _,
            out("tmm6") _,
            out("tmm7") _,
            options(nostack),
        )
    };
}
pub(crate) use tile_asm;

/// Stores the four tiles of sums one behind the other, each of 1 KiB, at the operand of a name; `row` is 64.
macro_rules! store_tiles {
    ($to:literal) => {
        concat!(
            concat!("tilestored [{", $to, "} + {row}*1], tmm0\n"),
            concat!("tilestored [{", $to, "} + {row}*1 + 1024], tmm1\n"),
            concat!("tilestored [{", $to, "} + {row}*1 + 2048], tmm2\n"),
            concat!("tilestored [{", $to, "} + {row}*1 + 3072], tmm3"),
        )
    };
}
pub(crate) use store_tiles;

/// The tiles of this thread, shaped for products with so many columns of activations. Tiles 0 to 3 are sums, 4 and 5
/// activations, 6 and 7 weights.
pub(crate) struct Tiles {
    /// They belong to the thread.
    here: PhantomData<*const ()>,
}

impl Tiles {
    /// For products of bytes whose sums are of `unit` of them, or of bfloat16 of half as many.
    ///
    /// # Safety
    /// The CPU has tiles, and the system lets the program use them.
    pub(crate) unsafe fn new(unit: usize, columns: usize) -> Self {
        /// As the CPU reads it.
        #[repr(C, align(64))]
        struct Shapes {
            palette: u8,
            start: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        let mut shapes = Shapes { palette: 1, start: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        // Fewer columns take less time.
        let (elements, columns) = (unit.min(64), columns.min(TILE) as u8);
        for tile in 0..8 {
            (shapes.row_bytes[tile], shapes.rows[tile]) = match tile {
                0..4 => (64, columns),
                4..6 => (elements as u16, columns),
                _ => (64, elements as u8 / 4),
            };
        }
        // SAFETY: 64 readable bytes that are a valid configuration; the caller vouches for the instruction.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, preserves_flags, readonly)) };
        Tiles { here: PhantomData }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles were configured, so there is the instruction. A thread without tiles is cheaper to switch.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}
