//! Formats whose units are 32 columns: each unit is one instruction, and its sums are scaled.
//!
//! Scaling takes vectors longer than multiplying takes tiles, and neither may wait for the other. So both are written down by
//! turns, for a compiler moves nothing past instructions that it does not know: a unit's tiles, then the vectors of one
//! whose tiles were finished a while ago, with the sums of all columns in registers ([`Tiles::eight_units`]). Measured, both
//! still take nearly as long as one after the other (58 and 63 ns, together 129): loads of tiles take what loads of
//! vectors need.

use std::{arch::x86_64::*, array, cell::Cell};

use super::{Activations, CHUNK, COLUMNS, Products, Sum, gather, put};
use crate::{
    ahead::{AHEAD, ask},
    packed::{
        Panels,
        avx512::{halves, mul, splat},
        avx512vnni::unpack,
        layout::{BLOCK, ROWS, STEP, VECTOR},
        tile::{Packing, array as at},
    },
    q8::Q8,
    simd::{store_64, store_f32x16},
    tiles::{Tiles, tile_asm},
};

/// Units of a block.
const UNITS: usize = BLOCK / STEP;

/// What a column has beside its elements, of a block.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Side {
    scales: [f32; UNITS],
    /// The sums of the units, as what they stand for.
    sums: [f32; UNITS],
}

/// The groups of a block, as bytes with a sign.
#[repr(C, align(64))]
struct Codes([[u8; VECTOR]; 8 * UNITS]);

/// What the units of a block have beside their codes, for each row.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Scales {
    d: [[f32; ROWS]; UNITS],
    m: [[f32; ROWS]; UNITS],
}

/// What the units of a block give for a tile of columns.
#[repr(C, align(64))]
struct Dots([Products; UNITS]);

/// What a thread keeps from one product to the next: about 160 bytes for each element of a row.
#[derive(Default)]
struct Scratch {
    /// By block, then by tile of columns, four of 64 elements.
    activations: Vec<[Activations; 4]>,
    /// The same: what each column has beside.
    sides: Vec<[Side; COLUMNS]>,
    /// Of the panel at hand, by tile of columns.
    sums: Vec<[Sum; COLUMNS]>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// The units of a block and a tile of columns.
#[derive(Clone, Copy)]
struct Stage {
    panel: usize,
    block: usize,
    tile: usize,
    /// Which of the two `scales` are its own.
    scales: usize,
}

/// A quantised matrix times columns, as [`crate::matmul`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn product<P: Packing>(weights: Panels<'_>, columns: &[&[Q8]], y: &mut [f32]) {
    let layout = const { P::LAYOUT };
    // SAFETY: the tier's CPU has tiles, and the system lets the program use them.
    let tiles = unsafe { Tiles::new(layout.unit, columns.len()) };
    let mut scratch = SCRATCH.take();
    let mut codes = Codes([[0; VECTOR]; 8 * UNITS]);
    // Those of the block before are still needed when the next one is begun.
    let mut scales = [Scales { d: [[0.0; ROWS]; UNITS], m: [[0.0; ROWS]; UNITS] }; 2];
    let mut dots = [const { Dots([Products([[0; ROWS]; COLUMNS]); UNITS]) }; 2];
    let (nothing, mut nowhere) = ([Side::default(); COLUMNS], [Sum([0.0; ROWS]); COLUMNS]);
    for (columns, y) in columns.chunks(CHUNK).zip(y.chunks_mut((CHUNK * weights.rows).max(1))) {
        let few = columns.len() <= COLUMNS / 2;
        let across = columns.len().div_ceil(COLUMNS);
        let Scratch { activations, sides, sums } = &mut scratch;
        sides.resize(columns[0].len() * across, [Side::default(); COLUMNS]);
        gather(columns, activations, |block, column, x| {
            let sums = array::from_fn(|unit| x.scales[unit] * f32::from(x.sums[unit / 2][unit % 2]));
            sides[block * across + column / COLUMNS][column % COLUMNS] = Side { scales: x.scales, sums };
        });
        sums.clear();
        sums.resize(across, [Sum([0.0; ROWS]); COLUMNS]);
        let [mut now, mut before] = dots.each_mut();
        let mut waits: Option<Stage> = None;
        let mut finish = |stage: Stage, sums: &mut [Sum; COLUMNS]| {
            if stage.block + 1 == columns[0].len() {
                let first = COLUMNS * stage.tile;
                put(sums, &weights, stage.panel, &mut y[first * weights.rows..]);
                sums.fill(Sum([0.0; ROWS]));
            }
        };
        let mut turn = 0;
        for panel in 0..weights.count() {
            for (block, bytes) in weights.panel(panel).chunks(layout.block_bytes(BLOCK)).enumerate() {
                turn = 1 - turn;
                unpack_block::<P>(
                    bytes,
                    (weights.cols / STEP - UNITS * block).min(UNITS),
                    &mut codes,
                    &mut scales[turn],
                );
                for tile in 0..across {
                    let next = &activations[block * across + tile];
                    let stage = waits.replace(Stage { panel, block, tile, scales: turn });
                    let (own, sides, sums) = match stage {
                        None => (turn, &nothing, &mut nowhere),
                        Some(Stage { block, tile, scales, .. }) => {
                            (scales, &sides[block * across + tile], &mut sums[tile])
                        }
                    };
                    let behind = Behind { dots: before, scales: &scales[own], sides };
                    tiles.eight_units::<P>(few, next, &codes, now, behind, sums);
                    if let Some(stage) = stage {
                        finish(stage, sums);
                    }
                    std::mem::swap(&mut now, &mut before);
                }
            }
        }
        if let Some(stage) = waits {
            let at = stage.block * across + stage.tile;
            let behind = Behind { dots: before, scales: &scales[stage.scales], sides: &sides[at] };
            let sums = &mut sums[stage.tile];
            // What the tiles give is not read.
            tiles.eight_units::<P>(few, &activations[at], &codes, now, behind, sums);
            finish(stage, sums);
        }
    }
    drop(tiles);
    SCRATCH.set(scratch);
}

/// Unpacks a block. Units that the last one lacks keep whatever codes were there, and have scales of zero, which add nothing.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn unpack_block<P: Packing>(block: &[u8], steps: usize, to: &mut Codes, scales: &mut Scales) {
    let layout = const { P::LAYOUT };
    ask(block, AHEAD);
    if steps < UNITS {
        *scales = Scales { d: [[0.0; ROWS]; UNITS], m: [[0.0; ROWS]; UNITS] };
    }
    let (codes, beside) = block.split_at(steps * layout.step_bytes());
    let to = to.0.as_chunks_mut::<8>().0;
    for ((unit, codes), to) in codes.chunks_exact(layout.step_bytes()).enumerate().zip(to) {
        let w = unpack::<P>(codes);
        for g in 0..8 {
            // As bytes with a sign, whether or not their zero is 128.
            let code = if layout.centred() { _mm512_xor_si512(w[g], _mm512_set1_epi8(i8::MIN)) } else { w[g] };
            store_64(&mut to[g], code);
        }
        let beside = &beside[layout.unit_bytes() * unit..];
        store_f32x16(&mut scales.d[unit], mul(halves(at(beside)), splat(layout.factor())));
        if layout.mins {
            store_f32x16(&mut scales.m[unit], halves(at(&beside[2 * ROWS..])));
        }
    }
}

/// What is scaled and added up: the dots of a block and a tile of columns.
#[derive(Clone, Copy)]
struct Behind<'a> {
    dots: &'a Dots,
    scales: &'a Scales,
    sides: &'a [Side; COLUMNS],
}

/// Of some columns: their sums, loaded into registers of their own.
macro_rules! load_sums {
    ($($c:literal)*) => { concat!($("vmovaps zmm", $c, ", [{sums} + 64*", $c, "]\n"),*) };
}

/// Those, stored.
macro_rules! store_sums {
    ($($c:literal)*) => { concat!($("vmovaps [{sums} + 64*", $c, "], zmm", $c, "\n"),*) };
}

/// To the sum of each column: its dot with a unit, times both scales.
macro_rules! add_dots {
    ($unit:literal, $($c:literal)*) => {
        concat!(
            "vmovaps zmm24, [{scales} + 64*", $unit, "]\n",
            $(
                "vcvtdq2ps zmm25, [{dots} + 1024*", $unit, " + 64*", $c, "]\n",
                "vmulps zmm26, zmm24, dword ptr [{sides} + 4*", $unit, " + 64*", $c, "]{{1to16}}\n",
                "vfmadd231ps zmm", $c, ", zmm25, zmm26\n",
            )*
        )
    };
}

/// The same, and from the sum of each column: what the unit's minimums take.
macro_rules! add_dots_take_mins {
    ($unit:literal, $($c:literal)*) => {
        concat!(
            add_dots!($unit, $($c)*),
            "vmovaps zmm24, [{scales} + 512 + 64*", $unit, "]\n",
            $("vfnmadd231ps zmm", $c, ", zmm24, dword ptr [{sides} + 32 + 4*", $unit, " + 64*", $c, "]{{1to16}}\n",)*
        )
    };
}

/// The product of a unit, from its place among the columns on, with the tiles of sums, of columns and of codes that it takes.
macro_rules! multiply {
    ($unit:literal, $at:literal, $sums:literal, $x:literal, $w:literal) => {
        concat!(
            concat!("tilezero tmm", $sums, "\n"),
            concat!("tileloadd tmm", $x, ", [{columns} + {row}*1 + ", $at, "]\n"),
            concat!("tileloadd tmm", $w, ", [{codes} + {row}*1 + 512*", $unit, "]\n"),
            concat!("tdpbssd tmm", $sums, ", tmm", $x, ", tmm", $w),
        )
    };
}

/// What a unit gave, stored.
macro_rules! store {
    ($unit:literal, $sums:literal) => {
        concat!("tilestored [{to} + {row}*1 + 1024*", $unit, "], tmm", $sums)
    };
}

/// The tiles of eight units, and between them the vectors of eight others. A tile of sums is stored when its turn comes again:
/// what waits for a product waits for the fourth one before.
macro_rules! eight_units {
    ($add:ident, $columns:ident, $codes:ident, $to:ident, $behind:ident, $sums:ident, $($c:literal)*) => {
        tile_asm!(
            load_sums!($($c)*),
            multiply!(0, 0, 0, 4, 6),
            $add!(0, $($c)*),
            multiply!(1, 32, 1, 5, 7),
            $add!(1, $($c)*),
            multiply!(2, 1024, 2, 4, 6),
            $add!(2, $($c)*),
            multiply!(3, 1056, 3, 5, 7),
            $add!(3, $($c)*),
            store!(0, 0),
            multiply!(4, 2048, 0, 4, 6),
            $add!(4, $($c)*),
            store!(1, 1),
            multiply!(5, 2080, 1, 5, 7),
            $add!(5, $($c)*),
            store!(2, 2),
            multiply!(6, 3072, 2, 4, 6),
            $add!(6, $($c)*),
            store!(3, 3),
            multiply!(7, 3104, 3, 5, 7),
            $add!(7, $($c)*),
            store!(4, 0),
            store!(5, 1),
            store!(6, 2),
            store!(7, 3),
            store_sums!($($c)*),
            columns = in(reg) $columns,
            codes = in(reg) $codes,
            to = in(reg) $to,
            dots = in(reg) $behind.dots,
            scales = in(reg) $behind.scales,
            sides = in(reg) $behind.sides,
            sums = in(reg) $sums,
            row = in(reg) 64usize,
            out("zmm0") _,
            out("zmm1") _,
            out("zmm2") _,
            out("zmm3") _,
            out("zmm4") _,
            out("zmm5") _,
            out("zmm6") _,
            out("zmm7") _,
            out("zmm8") _,
            out("zmm9") _,
            out("zmm10") _,
            out("zmm11") _,
            out("zmm12") _,
            out("zmm13") _,
            out("zmm14") _,
            out("zmm15") _,
            out("zmm24") _,
            out("zmm25") _,
            out("zmm26") _,
        )
    };
}

impl Tiles {
    /// A tile of columns times a block, while the dots of another are scaled and added to `sums`; where there are `few` columns,
    /// of the first eight alone.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn eight_units<P: Packing>(
        &self,
        few: bool,
        columns: &[Activations; 4],
        codes: &Codes,
        to: &mut Dots,
        behind: Behind<'_>,
        sums: &mut [Sum; COLUMNS],
    ) {
        // SAFETY: `self` shaped the tiles. For each of eight units the loads read 32 of the 64 bytes of each of 16 rows of columns,
        // from the first on or from the 33rd on, and 8 rows of codes, and the stores write 16 rows: within the 4 KiB of columns
        // and of codes and the 8 KiB of `to`. Of what is behind it reads the dots of each unit, its line or two of scales, and a
        // number or two of the side of each column, all within the references; `sums` are read and written at each column's.
        unsafe {
            match (const { P::LAYOUT.mins }, few) {
                (false, true) => eight_units!(add_dots, columns, codes, to, behind, sums, 0 1 2 3 4 5 6 7),
                (false, false) => {
                    eight_units!(add_dots, columns, codes, to, behind, sums, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
                }
                (true, true) => eight_units!(add_dots_take_mins, columns, codes, to, behind, sums, 0 1 2 3 4 5 6 7),
                (true, false) => eight_units!(
                    add_dots_take_mins, columns, codes, to, behind, sums, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
                ),
            }
        }
    }
}
