//! Halves times columns of floats, by tiles that multiply numbers of eight bits of precision (bfloat16) and add up in `f32`.
//!
//! A float is the sum of three such numbers and a half the sum of two. Of their six products the smallest is left out, which is
//! `2^-25` of the whole at most; each of the others is exact, and adding them is all that rounds. A weight that is a bfloat16
//! is one number and has three products.
//!
//! All columns go this way, be it one or many, and each sum is added up in the same order whatever stands beside it. So one
//! that a step computes alone is the same to the bit as among others.

use std::{arch::x86_64::*, array, cell::Cell};

use super::{CHUNK, COLUMNS, Sum, put};
use crate::{
    ahead::{AHEAD, ask},
    packed::{
        Panels,
        layout::ROWS,
        tile::{F16, array as at, element_bytes},
    },
    simd::{load_32, load_f16x16, load_f32x16, store_64},
    tiles::{Tiles, store_tiles, tile_asm},
};

/// Elements of a step: as many as a row of a tile has.
const DEEP: usize = 32;

/// A step of sixteen columns or rows, in numbers that add up to its elements, the largest first.
///
/// Of columns a line is one of them, 32 elements; of rows it is two elements of each of the sixteen.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Step<const PARTS: usize>([[[u8; 64]; 16]; PARTS]);

impl<const PARTS: usize> Step<PARTS> {
    const NONE: Self = Step([[[0; 64]; 16]; PARTS]);
}

/// Columns, each element in three numbers.
type ColumnStep = Step<3>;
/// Rows of weights, each element in two.
type RowStep = Step<2>;

/// What a thread keeps from one product to the next.
#[derive(Default)]
struct Scratch {
    /// By tile of columns, then by step.
    columns: Vec<ColumnStep>,
    /// By panel of those at hand, then by step.
    rows: Vec<RowStep>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// A matrix of halves times columns, as [`crate::matmul`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(in crate::packed) fn product<'x, const FORMAT: u8>(
    weights: Panels<'_>,
    mut columns: impl ExactSizeIterator<Item = &'x [f32]>,
    y: &mut [f32],
) {
    // SAFETY: the tier's CPU has tiles, and the system lets the program use them.
    let tiles = unsafe { Tiles::new(2 * DEEP, columns.len()) };
    let mut scratch = SCRATCH.take();
    let mut sums = [[Sum([0.0; ROWS]); COLUMNS]; 4];
    let steps = weights.cols.div_ceil(DEEP);
    for y in y.chunks_mut((CHUNK * weights.rows).max(1)) {
        let count = y.len() / weights.rows;
        let across = count.div_ceil(COLUMNS);
        scratch.columns.resize(across * steps, ColumnStep::NONE);
        for (c, column) in columns.by_ref().take(count).enumerate() {
            split(column, c % COLUMNS, &mut scratch.columns[c / COLUMNS * steps..][..steps]);
        }
        // With one tile of columns four panels make four sums that do not wait for each other, else two and two tiles.
        let group = if across == 1 { 4 } else { 2 };
        scratch.rows.resize(group * steps, RowStep::NONE);
        for first in (0..weights.count()).step_by(group) {
            let panels = first..weights.count().min(first + group);
            for (panel, rows) in panels.clone().zip(scratch.rows.chunks_exact_mut(steps)) {
                unpack::<FORMAT>(weights.panel(panel), rows);
            }
            let rows: [&[RowStep]; 4] = array::from_fn(|i| &scratch.rows[i.min(panels.len() - 1) * steps..][..steps]);
            for tile in (0..across).step_by(2) {
                let pair = [tile, (tile + 1).min(across - 1)];
                let columns = pair.map(|tile| &scratch.columns[tile * steps..][..steps]);
                if group == 4 {
                    tiles.four_panels::<FORMAT>(columns[0], rows, &mut sums);
                } else {
                    tiles.two_by_two::<FORMAT>(columns, [rows[0], rows[1]], &mut sums);
                }
                for (i, sums) in sums.iter().enumerate() {
                    let (tile, panel) = if group == 4 { (tile, first + i) } else { (tile + i / 2, first + i % 2) };
                    if tile < across && panel < panels.end {
                        put(sums, &weights, panel, &mut y[COLUMNS * tile * weights.rows..]);
                    }
                }
            }
        }
    }
    drop(tiles);
    SCRATCH.set(scratch);
}

/// What a float rounds to with eight bits, which are the upper half of each number, and what it is short of.
#[inline]
#[target_feature(enable = "avx512f")]
fn part(x: __m512) -> (__m512i, __m512) {
    let rounded = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    (rounded, _mm512_sub_ps(x, cut(_mm512_castsi512_ps(rounded))))
}

/// Puts a column into its line of each step. What is behind its end is zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(column: &[f32], line: usize, steps: &mut [ColumnStep]) {
    let (whole, rest) = column.as_chunks::<DEEP>();
    let mut last = [0.0; DEEP];
    last[..rest.len()].copy_from_slice(rest);
    let upper_halves = _mm512_set_epi16(
        63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9,
        7, 5, 3, 1,
    );
    for (x, Step(parts)) in whole.iter().chain([&last]).zip(steps) {
        let halves = x.as_chunks::<16>().0;
        let (mut first, mut second) = (load_f32x16(&halves[0]), load_f32x16(&halves[1]));
        for lines in parts {
            let (part_of_first, part_of_second);
            (part_of_first, first) = part(first);
            (part_of_second, second) = part(second);
            store_64(&mut lines[line], _mm512_permutex2var_epi16(part_of_first, upper_halves, part_of_second));
        }
    }
}

/// Makes steps of a panel. What is behind its end is zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,f16c")]
fn unpack<const FORMAT: u8>(panel: &[u8], steps: &mut [RowStep]) {
    let bytes = const { element_bytes::<FORMAT>() };
    for (elements, Step([larger, smaller])) in panel.chunks(DEEP * bytes).zip(steps) {
        ask(elements, AHEAD);
        let mut pairs = elements.chunks(2 * bytes);
        for (larger, smaller) in larger.iter_mut().zip(smaller) {
            let (even, odd) = match pairs.next() {
                None => (&[0; 32], &[0; 32]),
                Some(pair) if pair.len() == bytes => (at(pair), &[0; 32]),
                Some(pair) => (at(pair), at(&pair[bytes..])),
            };
            if FORMAT == F16 {
                // Eight bits, not rounded, and the three that are left: nothing is cut off.
                let (even, odd) = (load_f16x16(even), load_f16x16(odd));
                let [left_of_even, left_of_odd] = [_mm512_sub_ps(even, cut(even)), _mm512_sub_ps(odd, cut(odd))];
                store_64(larger, join(even, odd));
                store_64(smaller, join(left_of_even, left_of_odd));
            } else {
                let (even, odd) = (_mm512_cvtepu16_epi32(load_32(even)), _mm512_cvtepu16_epi32(load_32(odd)));
                store_64(larger, _mm512_or_si512(_mm512_slli_epi32::<16>(odd), even));
            }
        }
    }
}

/// The upper halves of the numbers of two vectors, side by side.
#[inline]
#[target_feature(enable = "avx512f")]
fn join(even: __m512, odd: __m512) -> __m512i {
    _mm512_or_si512(_mm512_castps_si512(cut(odd)), _mm512_srli_epi32::<16>(_mm512_castps_si512(even)))
}

/// The upper half of each number, as a number.
#[inline]
#[target_feature(enable = "avx512f")]
fn cut(x: __m512) -> __m512 {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), upper))
}

/// Loads the parts at a byte of the steps of two tiles of columns.
macro_rules! load_columns {
    ($at:literal) => {
        concat!("tileloadd tmm4, [{first} + {row}*1 + ", $at, "]\ntileloadd tmm5, [{second} + {row}*1 + ", $at, "]")
    };
}

/// The same of two panels.
macro_rules! load_rows {
    ($at:literal) => {
        concat!("tileloadd tmm6, [{upper} + {row}*1 + ", $at, "]\ntileloadd tmm7, [{lower} + {row}*1 + ", $at, "]")
    };
}

/// Adds the products of what is loaded of both.
macro_rules! add_all {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7"
    };
}

/// Adds the products of a part of one tile of columns and the parts at a byte of the steps of four panels.
macro_rules! add_four {
    ($columns:literal, $rows:literal) => {
        concat!(
            concat!("tileloadd tmm5, [{columns} + {row}*1 + ", $columns, "]\n"),
            concat!("tileloadd tmm6, [{a} + {row}*1 + ", $rows, "]\ntdpbf16ps tmm0, tmm5, tmm6\n"),
            concat!("tileloadd tmm7, [{b} + {row}*1 + ", $rows, "]\ntdpbf16ps tmm1, tmm5, tmm7\n"),
            concat!("tileloadd tmm6, [{c} + {row}*1 + ", $rows, "]\ntdpbf16ps tmm2, tmm5, tmm6\n"),
            concat!("tileloadd tmm7, [{d} + {row}*1 + ", $rows, "]\ntdpbf16ps tmm3, tmm5, tmm7"),
        )
    };
}

/// What all products have in common: `$step` for each step, and the stores.
macro_rules! multiply {
    ($sums:ident, $steps:ident, [$($columns:ident = $column:expr),*], [$($rows:ident = $panel:expr),*], $($step:expr),*) => {
        tile_asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            $($step,)*
            $(concat!("add {", stringify!($columns), "}, 3072"),)*
            $(concat!("add {", stringify!($rows), "}, 2048"),)*
            "dec {steps}",
            "jnz 2b",
            store_tiles!("sums"),
            $($columns = inout(reg) $column.as_ptr() => _,)*
            $($rows = inout(reg) $panel.as_ptr() => _,)*
            steps = inout(reg) $steps => _,
            sums = in(reg) $sums,
            row = in(reg) 64usize,
        )
    };
}

impl Tiles {
    /// Two tiles of columns times two panels: of the first tile both, then of the second.
    #[inline]
    fn two_by_two<const FORMAT: u8>(
        &self,
        columns: [&[ColumnStep]; 2],
        rows: [&[RowStep]; 2],
        sums: &mut [[Sum; COLUMNS]; 4],
    ) {
        let steps = columns[0].len();
        assert!(steps > 0 && columns[1].len() == steps && rows.iter().all(|rows| rows.len() == steps));
        macro_rules! add {
            ($($step:expr),*) => {
                multiply!(
                    sums,
                    steps,
                    [first = columns[0], second = columns[1]],
                    [upper = rows[0], lower = rows[1]],
                    $($step),*
                )
            };
        }
        // SAFETY: `self` shaped the tiles. Each round loads at most 16 rows of 64 bytes from each part of a step, of which each of
        // the four has one for each round; the stores write within the 4 KiB of `sums`.
        unsafe {
            match FORMAT {
                F16 => add!(
                    load_columns!("0"),
                    load_rows!("0"),
                    add_all!(),
                    load_rows!("1024"),
                    add_all!(),
                    load_columns!("1024"),
                    add_all!(),
                    load_rows!("0"),
                    add_all!(),
                    load_columns!("2048"),
                    add_all!()
                ),
                _ => add!(
                    load_columns!("0"),
                    load_rows!("0"),
                    add_all!(),
                    load_columns!("1024"),
                    add_all!(),
                    load_columns!("2048"),
                    add_all!()
                ),
            }
        }
    }

    /// A tile of columns times four panels.
    #[inline]
    fn four_panels<const FORMAT: u8>(
        &self,
        columns: &[ColumnStep],
        rows: [&[RowStep]; 4],
        sums: &mut [[Sum; COLUMNS]; 4],
    ) {
        let steps = columns.len();
        assert!(steps > 0 && rows.iter().all(|rows| rows.len() == steps));
        macro_rules! add {
            ($($step:expr),*) => {
                multiply!(
                    sums,
                    steps,
                    [columns = columns],
                    [a = rows[0], b = rows[1], c = rows[2], d = rows[3]],
                    $($step),*
                )
            };
        }
        // SAFETY: as for two by two, of five places.
        unsafe {
            match FORMAT {
                F16 => add!(
                    add_four!("0", "0"),
                    add_four!("0", "1024"),
                    add_four!("1024", "1024"),
                    add_four!("1024", "0"),
                    add_four!("2048", "0")
                ),
                _ => add!(add_four!("0", "0"), add_four!("1024", "0"), add_four!("2048", "0")),
            }
        }
    }
}
