//! Many columns at once, on CPUs that multiply tiles of bytes (AMX): sixteen rows by sixteen columns.
//!
//! Sixteen groups of a panel, as the layout has them, are a tile of weights; 64 elements of each of sixteen columns are a
//! tile of activations. One instruction adds the products of both to a tile of sums.
//!
//! Gives what the VNNI version gives, bit for bit: within a unit integers are exact however they are added, and units are
//! added by the same operations in the same order. So a column may be computed here or there, as suits the step it is in.
//!
//! A tile instruction knows no scales. Where a unit is 32 columns it is one instruction, and its sums are scaled
//! ([`narrow`]). Where it is 256, the whole numbers that scale its runs are multiplied into the codes beforehand, which takes
//! two bytes that are tiles of their own, so that a unit is again one sum ([`Scale`]). Floats have tiles of another kind
//! ([`mod@floats`]).

pub(super) mod floats;
mod narrow;

use std::{arch::x86_64::*, array, cell::Cell, marker::PhantomData};

use super::{
    Panels,
    avx512::{Bytes, Floats, Ints, add_product, floats, halves, mul, pairs, splat, store, take_product},
    avx512vnni::{add_pairs, unpack},
    layout::{BLOCK, Layout, ROWS, VECTOR},
    tile::{Packing, array as at},
};
use crate::{
    ahead::{AHEAD, ask},
    format::Format,
    q8::Q8,
    simd::{load_16, load_f32x16, load_i32x16, store_64},
    tiles::{Tiles, store_tiles, tile_asm},
};

/// From how many columns on it is faster than columns side by side in vectors: a panel takes longer to unpack.
pub(super) const fn least(format: Format) -> usize {
    if Layout::of(format).mins { 5 } else { 6 }
}

/// Columns of a tile.
const COLUMNS: usize = 16;
/// Columns that pass together, so that what is kept for them stays in the cache.
const CHUNK: usize = 128;

/// 64 elements of sixteen columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Activations([[i8; 64]; COLUMNS]);

/// The 64 groups of a block that is one unit: what is multiplied, and where that takes two bytes the upper ones.
#[repr(C, align(64))]
struct Codes {
    low: [[u8; VECTOR]; 64],
    high: [[u8; VECTOR]; 64],
}

/// What a tile of columns gives for the sixteen rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Products([[i32; ROWS]; COLUMNS]);

/// What a column adds up to, for the sixteen rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Sum([f32; ROWS]);

/// What a column has beside its elements, of a block that is one unit.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Wide {
    /// The sums of its runs, two by two.
    pairs: [[i16; 2]; 8],
    /// With what undoes the shift of the codes.
    scale: f32,
}

/// What a thread keeps from one product to the next: about 160 bytes for each element of a row.
#[derive(Default)]
struct Scratch {
    /// By block, then by tile of columns, four of 64 elements.
    activations: Vec<[Activations; 4]>,
    /// By block, then by column, what it has beside.
    wide: Vec<Wide>,
    /// Of the panel at hand, by column.
    sums: Vec<Sum>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// A quantised matrix times columns, as [`super::matmul`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn product<P: Packing>(weights: Panels<'_>, columns: &[&[Q8]], y: &mut [f32]) {
    let layout = const { P::LAYOUT };
    if layout.unit < BLOCK {
        return narrow::product::<P>(weights, columns, y);
    }
    // SAFETY: the tier's CPU has tiles, and the system lets the program use them.
    let tiles = unsafe { Tiles::new(layout.unit, columns.len()) };
    let mut scratch = SCRATCH.take();
    let mut codes = Codes { low: [[0; VECTOR]; 64], high: [[0; VECTOR]; 64] };
    let mut products = [[Products([[0; ROWS]; COLUMNS]); 4]; 2];
    let chunks = y.chunks_mut((CHUNK * weights.rows).max(1));
    for (columns, y) in columns.chunks(CHUNK).zip(chunks) {
        let across = columns.len().div_ceil(COLUMNS);
        let (wide, count) = (&mut scratch.wide, columns.len());
        wide.resize(columns[0].len() * count, Default::default());
        gather(columns, &mut scratch.activations, |block, column, x| {
            let side = &mut wide[block * count + column];
            match layout.run {
                32 => side.pairs[..4].copy_from_slice(&x.sums),
                _ => side.pairs = x.half_sums,
            }
            side.scale = x.scales[0] * layout.factor();
        });
        for panel in 0..weights.count() {
            let sums = &mut scratch.sums;
            sums.clear();
            sums.resize(columns.len(), Sum([0.0; ROWS]));
            for (i, block) in weights.panel(panel).chunks(layout.block_bytes(BLOCK)).enumerate() {
                let activations = &scratch.activations[i * across..][..across];
                let beside = &scratch.wide[i * columns.len()..][..columns.len()];
                Unit::<P>::unpack(block, &mut codes).multiply(&tiles, &codes, activations, beside, &mut products, sums);
            }
            put(&scratch.sums, &weights, panel, y);
        }
    }
    drop(tiles);
    SCRATCH.set(scratch);
}

/// Writes the sums of some columns for a panel.
fn put(sums: &[Sum], weights: &Panels<'_>, panel: usize, y: &mut [f32]) {
    let rows = weights.rows_of(panel..panel + 1);
    for (Sum(sum), y) in sums.iter().zip(y.chunks_exact_mut(weights.rows)) {
        match y[rows.clone()].as_mut_array::<ROWS>() {
            Some(y) => *y = *sum,
            None => y[rows.clone()].copy_from_slice(&sum[..rows.len()]),
        }
    }
}

/// Puts columns into tiles, by block and then by tile of columns, and gives each block of each column to `beside`. Columns that
/// the last tile lacks are left as they were: what they give is not read.
fn gather(columns: &[&[Q8]], activations: &mut Vec<[Activations; 4]>, mut beside: impl FnMut(usize, usize, &Q8)) {
    let across = columns.len().div_ceil(COLUMNS);
    activations.resize(columns[0].len() * across, [Activations([[0; 64]; COLUMNS]); 4]);
    for (c, column) in columns.iter().enumerate() {
        for (i, x) in column.iter().enumerate() {
            for (tile, q) in activations[i * across + c / COLUMNS].iter_mut().zip(x.q.as_chunks::<64>().0) {
                tile.0[c % COLUMNS] = *q;
            }
            beside(i, c, x);
        }
    }
}

/// A block that is one unit, with its codes unpacked.
struct Unit<P> {
    d: Floats,
    m: Floats,
    mins: [Ints; 8],
    packing: PhantomData<P>,
}

impl<P: Packing> Unit<P> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn unpack(block: &[u8], to: &mut Codes) -> Self {
        let layout = const { P::LAYOUT };
        ask(block, AHEAD);
        let (codes, scales) = block.split_at(8 * layout.step_bytes());
        let steps = to.low.as_chunks_mut::<8>().0.iter_mut().zip(to.high.as_chunks_mut::<8>().0);
        for ((step, codes), (low, high)) in codes.chunks_exact(layout.step_bytes()).enumerate().zip(steps) {
            let w = unpack::<P>(codes);
            for half in 0..2 {
                let run = if layout.run == 32 { step } else { 2 * step + half };
                let scale = Scale::of::<P>(at(&scales[ROWS * run..]));
                for g in 4 * half..4 * half + 4 {
                    let parts = scale.times(w[g]);
                    store_64(&mut low[g], parts[0]);
                    store_64(&mut high[g], parts[1]);
                }
            }
        }
        let mut mins = [_mm512_setzero_si512(); 8];
        if layout.mins {
            for pair in 0..layout.runs() / 2 {
                mins[pair] = pairs(at(&scales[layout.mins_at() + 2 * ROWS * pair..]));
            }
        }
        let m = if layout.mins { halves(at(&scales[layout.d_at() + 2 * ROWS..])) } else { splat(0.0) };
        Unit { d: halves(at(&scales[layout.d_at()..])), m, mins, packing: PhantomData }
    }

    /// Adds it times all columns. The tiles of some are in the making while those before are finished.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn multiply(
        &self,
        tiles: &Tiles,
        codes: &Codes,
        activations: &[[Activations; 4]],
        sides: &[Wide],
        products: &mut [[Products; 4]; 2],
        sums: &mut [Sum],
    ) {
        let [mut now, mut before] = products.each_mut();
        let mut finished = sides.chunks(COLUMNS).zip(sums.chunks_mut(COLUMNS));
        for (pair, activations) in activations.chunks(2).enumerate() {
            match activations {
                [first, second] => tiles.pair::<P>(first, second, codes, now),
                [one, ..] => tiles.single::<P>(one, codes, now),
                [] => {}
            }
            if pair > 0 {
                self.finish_pair(before, finished.by_ref());
            }
            std::mem::swap(&mut now, &mut before);
        }
        self.finish_pair(before, finished);
    }

    /// Finishes what is left of two tiles of columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn finish_pair<'a>(&self, products: &[Products; 4], tiles: impl Iterator<Item = (&'a [Wide], &'a mut [Sum])>) {
        for (products, (sides, sums)) in products.as_chunks::<2>().0.iter().zip(tiles) {
            self.finish(products, sides, sums);
        }
    }

    /// Scales what it gave for a tile of columns, and adds that to their sums.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn finish(&self, [low, high]: &[Products; 2], sides: &[Wide], sums: &mut [Sum]) {
        let layout = const { P::LAYOUT };
        for (((Sum(sum), side), low), high) in sums.iter_mut().zip(sides).zip(&low.0).zip(&high.0) {
            let high = _mm512_sll_epi32(load_i32x16(high), _mm_cvtsi32_si128(const { Scale::upper(P::LAYOUT) } as i32));
            let whole = _mm512_add_epi32(load_i32x16(low), high);
            let mut unit = mul(self.d, floats(whole));
            if layout.mins {
                let mut under = _mm512_setzero_si512();
                for pair in 0..layout.runs() / 2 {
                    under = add_pairs(under, self.mins[pair], side.pairs[pair]);
                }
                unit = take_product(unit, self.m, floats(under));
            }
            store(add_product(load_f32x16(sum), unit, splat(side.scale)), sum);
        }
    }
}

/// The scales of a run, of each row for the four elements of a group, as what multiplies codes into two bytes.
///
/// Where codes and scales are unsigned, a byte is a code times three bits of its scale: both codes of a 16-bit number are
/// multiplied at once, as neither leaves its byte. Other codes make 16 bits, two in each of two vectors.
enum Scale {
    /// The lower three bits, and the upper ones.
    Unsigned([Ints; 2]),
    /// For the first and third element, for the second and fourth, and what the zero of codes takes with it.
    Signed { even: Ints, odd: Ints, zero: Ints },
}

impl Scale {
    /// What an upper byte counts, as a shift.
    const fn upper(layout: Layout) -> u32 {
        if layout.mins { 3 } else { 8 }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn of<P: Packing>(scales: &[u8; ROWS]) -> Self {
        // Byte 4 * r of a vector is the scale of row r, and the next one its sign.
        let each = _mm512_cvtepi8_epi32(load_16(scales));
        let put = |bytes: [u8; 4]| {
            let lane: [u8; 16] =
                array::from_fn(|i| if bytes[i % 4] < 4 { bytes[i % 4] + 4 * (i / 4) as u8 } else { 0x80 });
            _mm512_shuffle_epi8(each, _mm512_broadcast_i32x4(load_16(&lane)))
        };
        const NONE: u8 = 0xff;
        if const { P::LAYOUT.mins } {
            let both = put([0, NONE, 0, NONE]);
            return Scale::Unsigned([_mm512_and_si512(both, _mm512_set1_epi16(7)), _mm512_srli_epi16::<3>(both)]);
        }
        Scale::Signed {
            even: put([0, NONE, 0, NONE]),
            odd: put([NONE, 0, NONE, 0]),
            zero: _mm512_slli_epi16::<7>(put([0, 1, 0, 1])),
        }
    }

    /// The lower and the upper bytes of what codes stand for times their scales. Nothing overflows: of unsigned ones a code is
    /// at most 31 and a scale 63; else a code is at most 255, a scale within -128 to 127, and what comes out within 16,384 on
    /// both sides once the zero is off.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn times(&self, w: Bytes) -> [Bytes; 2] {
        match self {
            Scale::Unsigned([lower, upper]) => [_mm512_mullo_epi16(w, *lower), _mm512_mullo_epi16(w, *upper)],
            Scale::Signed { even, odd, zero } => {
                let even = _mm512_sub_epi16(_mm512_maddubs_epi16(w, *even), *zero);
                let odd = _mm512_sub_epi16(_mm512_maddubs_epi16(w, *odd), *zero);
                const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
                [
                    _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16::<8>(odd)),
                    _mm512_mask_blend_epi8(ODD, _mm512_srli_epi16::<8>(even), odd),
                ]
            }
        }
    }
}

/// The instructions of [`Tiles::pair`], with the one that multiplies upper bytes.
macro_rules! pair {
    ($upper:literal, $first:ident, $second:ident, $codes:ident, $products:ident) => {
        tile_asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first} + {row}*1]",
            "tileloadd tmm6, [{low} + {row}*1]",
            "tdpbsud tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{high} + {row}*1]",
            concat!($upper, " tmm1, tmm4, tmm7"),
            "tileloadd tmm5, [{second} + {row}*1]",
            "tdpbsud tmm2, tmm5, tmm6",
            concat!($upper, " tmm3, tmm5, tmm7"),
            "add {first}, 1024",
            "add {second}, 1024",
            "add {low}, 1024",
            "add {high}, 1024",
            "dec {rounds}",
            "jnz 2b",
            store_tiles!("products"),
            first = inout(reg) $first => _,
            second = inout(reg) $second => _,
            low = inout(reg) &$codes.low => _,
            high = inout(reg) &$codes.high => _,
            rounds = inout(reg) 4usize => _,
            products = in(reg) $products,
            row = in(reg) 64usize,
        )
    };
}

/// The same of [`Tiles::single`].
macro_rules! single {
    ($upper:literal, $columns:ident, $codes:ident, $products:ident) => {
        tile_asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{columns} + {row}*1]",
            "tileloadd tmm6, [{low} + {row}*1]",
            "tdpbsud tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{high} + {row}*1]",
            concat!($upper, " tmm1, tmm4, tmm7"),
            "add {columns}, 1024",
            "add {low}, 1024",
            "add {high}, 1024",
            "dec {rounds}",
            "jnz 2b",
            "tilestored [{products} + {row}*1], tmm0",
            "tilestored [{products} + {row}*1 + 1024], tmm1",
            columns = inout(reg) $columns => _,
            low = inout(reg) &$codes.low => _,
            high = inout(reg) &$codes.high => _,
            rounds = inout(reg) 4usize => _,
            products = in(reg) $products,
            row = in(reg) 64usize,
        )
    };
}

impl Tiles {
    /// Two tiles of columns times a block: of each its lower bytes, then its upper ones.
    #[inline]
    fn pair<P: Packing>(
        &self,
        first: &[Activations; 4],
        second: &[Activations; 4],
        codes: &Codes,
        products: &mut [Products; 4],
    ) {
        // SAFETY: `self` shaped the tiles. Each of four rounds loads at most 16 rows of 64 bytes from each place, which are the
        // 4 KiB behind the four references; the stores write within the 4 KiB of `products`.
        unsafe {
            match const { P::LAYOUT.mins } {
                true => pair!("tdpbsud", first, second, codes, products),
                false => pair!("tdpbssd", first, second, codes, products),
            }
        }
    }

    /// The same of one tile of columns: the first two products.
    #[inline]
    fn single<P: Packing>(&self, columns: &[Activations; 4], codes: &Codes, products: &mut [Products; 4]) {
        // SAFETY: as for a pair.
        unsafe {
            match const { P::LAYOUT.mins } {
                true => single!("tdpbsud", columns, codes, products),
                false => single!("tdpbssd", columns, codes, products),
            }
        }
    }
}
