//! A panel times a few columns: the loops, written once and compiled for each tier with its vectors.
//!
//! `tiles!` takes the attribute that switches a tier's instructions on, and expects in scope what works on one vector:
//! the types `Bytes` (64 bytes), `Ints` and `Floats` (sixteen numbers, one for each row), and the functions on them.
//!
//! Within a unit integers are added exactly; units are added in `f32`, one after the other. What a row and a
//! column give does not depend on how many columns there are beside it: each has the same additions in the same order.

use super::layout::Layout;
use crate::{format::Format, q8::Q8};

/// A quantised format at compile time.
pub(super) trait Packing {
    const LAYOUT: Layout;
}

macro_rules! packings {
    ($($format:ident),*) => {
        $(
            #[allow(non_camel_case_types, reason = "the names of the formats")]
            pub(super) struct $format;
            impl Packing for $format {
                const LAYOUT: Layout = Layout::of(Format::$format);
            }
        )*
    };
}
packings!(Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS);

macro_rules! tiles {
    ($(#[$features:meta])?) => {
        use crate::{
            ahead::ask,
            packed::{
                layout::{BLOCK, ROWS, STEP, UNSIGNED_TABLE, VECTOR},
                tile::{Packing, array, blocks, firsts},
            },
            q8::Q8,
        };

        /// A panel of codes, with rows of `cols`, times `C` columns, asking for what lies `ahead` bytes after it.
        $(#[$features])?
        pub(in crate::packed) fn quantised<P: Packing, const C: usize>(
            panel: &[u8],
            cols: usize,
            x: [&[Q8]; C],
            ahead: usize,
            out: &mut [[f32; ROWS]; C],
        ) {
            let sums = match P::LAYOUT.unit {
                BLOCK => wide_units::<P, C>(panel, x, ahead),
                _ => narrow_units::<P, C>(panel, cols, x, ahead),
            };
            for c in 0..C {
                store(sums[c], &mut out[c]);
            }
        }

        /// Units of 256 columns, whose runs have whole numbers for scales.
        #[inline]
        $(#[$features])?
        fn wide_units<P: Packing, const C: usize>(panel: &[u8], x: [&[Q8]; C], ahead: usize) -> [Floats; C] {
            let layout = const { P::LAYOUT };
            let mut sums = [zero(); C];
            for (i, block) in panel.chunks_exact(layout.block_bytes(BLOCK)).enumerate() {
                let (codes, scales) = block.split_at(8 * layout.step_bytes());
                let x = blocks(x, i);
                let mut whole = [none(); C];
                ask(scales, ahead);
                for (step, codes) in codes.chunks_exact(layout.step_bytes()).enumerate() {
                    ask(codes, ahead);
                    let w = unpack::<P>(codes);
                    if layout.run == 32 {
                        let scale = bytes(array(&scales[ROWS * step..]));
                        for c in 0..C {
                            let q: &[[i8; 4]; 8] = group(&x[c].q, step);
                            let mut dot = start::<P>(x[c].starts[step]);
                            for g in 0..8 {
                                dot = add_products::<P>(dot, w[g], q[g]);
                            }
                            whole[c] = add_scaled(whole[c], dot, scale);
                        }
                    } else {
                        let low = bytes(array(&scales[ROWS * 2 * step..]));
                        let high = bytes(array(&scales[ROWS * (2 * step + 1)..]));
                        for c in 0..C {
                            let q: &[[i8; 4]; 8] = group(&x[c].q, step);
                            let mut dot = start::<P>(x[c].half_starts[2 * step]);
                            for g in 0..4 {
                                dot = add_products::<P>(dot, w[g], q[g]);
                            }
                            whole[c] = add_scaled(whole[c], dot, low);
                            let mut dot = start::<P>(x[c].half_starts[2 * step + 1]);
                            for g in 4..8 {
                                dot = add_products::<P>(dot, w[g], q[g]);
                            }
                            whole[c] = add_scaled(whole[c], dot, high);
                        }
                    }
                }
                let d = halves(array(&scales[layout.d_at()..]));
                let mut block = [zero(); C];
                for c in 0..C {
                    block[c] = mul(d, floats(whole[c]));
                }
                if layout.mins {
                    let m = halves(array(&scales[layout.d_at() + 2 * ROWS..]));
                    let mut under = [none(); C];
                    for pair in 0..layout.runs() / 2 {
                        let mins = pairs(array(&scales[layout.mins_at() + 2 * ROWS * pair..]));
                        for c in 0..C {
                            let sums = if layout.run == 32 { x[c].sums[pair] } else { x[c].half_sums[pair] };
                            under[c] = add_pairs(under[c], mins, sums);
                        }
                    }
                    for c in 0..C {
                        block[c] = take_product(block[c], m, floats(under[c]));
                    }
                }
                for c in 0..C {
                    sums[c] = add_product(sums[c], block[c], splat(x[c].scales[0] * layout.factor()));
                }
            }
            sums
        }

        /// Units of 32 columns, each with scales of its own.
        #[inline]
        $(#[$features])?
        fn narrow_units<P: Packing, const C: usize>(
            panel: &[u8],
            cols: usize,
            x: [&[Q8]; C],
            ahead: usize,
        ) -> [Floats; C] {
            let layout = const { P::LAYOUT };
            let mut sums = [zero(); C];
            for (i, codes) in panel.chunks(layout.block_bytes(BLOCK)).enumerate() {
                let steps = (cols / STEP - 8 * i).min(8);
                let (codes, scales) = codes.split_at(steps * layout.step_bytes());
                let x = blocks(x, i);
                ask(scales, ahead);
                for (step, codes) in codes.chunks_exact(layout.step_bytes()).enumerate() {
                    ask(codes, ahead);
                    let scales = &scales[layout.unit_bytes() * step..];
                    let w = unpack::<P>(codes);
                    let d = mul(halves(array(scales)), splat(layout.factor()));
                    for c in 0..C {
                        let q: &[[i8; 4]; 8] = group(&x[c].q, step);
                        let mut dot = start::<P>(x[c].starts[step]);
                        for g in 0..8 {
                            dot = add_products::<P>(dot, w[g], q[g]);
                        }
                        sums[c] = add_product(sums[c], floats(dot), mul(d, splat(x[c].scales[step])));
                    }
                    if layout.mins {
                        let m = halves(array(&scales[2 * ROWS..]));
                        for c in 0..C {
                            let sum = x[c].scales[step] * f32::from(x[c].sums[step / 2][step % 2]);
                            sums[c] = take_product(sums[c], m, splat(sum));
                        }
                    }
                }
            }
            sums
        }

        /// The eight groups of a step, in the form that is multiplied.
        #[inline]
        $(#[$features])?
        pub(in crate::packed) fn unpack<P: Packing>(codes: &[u8]) -> [Bytes; 8] {
            let layout = const { P::LAYOUT };
            let (low, high) = codes.split_at(layout.low_bytes());
            let to = layout.shift() as i32;
            let mut w = [load(array(low)); 8];
            if layout.low == 8 {
                for g in 1..8 {
                    w[g] = load(array(&low[VECTOR * g..]));
                }
                return w;
            }
            let in_vector = 8 / layout.low;
            let mask = ((1u16 << layout.low) - 1) << to;
            for g in 0..8 {
                let vector = load(array(&low[VECTOR * (g / in_vector)..]));
                w[g] = and(shift(vector, to - (layout.low * (g % in_vector)) as i32), mask as u8);
            }
            let to = to + layout.low as i32;
            if layout.high == 1 {
                for g in 0..8 {
                    w[g] = or_where(w[g], u64::from_le_bytes(*array(&high[8 * g..])), 1 << to);
                }
            }
            if layout.high == 2 {
                for g in 0..8 {
                    let vector = load(array(&high[VECTOR * (g / 4)..]));
                    w[g] = or(w[g], and(shift(vector, to - 2 * (g % 4) as i32), 3 << to));
                }
            }
            if layout.table {
                for g in 0..8 {
                    w[g] = lookup(&UNSIGNED_TABLE, w[g]);
                }
            }
            w
        }

        /// A panel of floats times `C` columns, in two chains of additions for each.
        $(#[$features])?
        pub(in crate::packed) fn dense<const FORMAT: u8, const C: usize>(
            panel: &[u8],
            x: [&[f32]; C],
            out: &mut [[f32; ROWS]; C],
        ) {
            let len = x[0].len();
            let x = firsts(x, len);
            let (mut even, mut odd) = ([zero(); C], [zero(); C]);
            let mut pairs = panel.chunks_exact(2 * element_bytes::<FORMAT>());
            let mut k = 0;
            for pair in (&mut pairs).take(len / 2) {
                let (first, second) = pair.split_at(element_bytes::<FORMAT>());
                let (first, second) = (sixteen::<FORMAT>(first), sixteen::<FORMAT>(second));
                for c in 0..C {
                    even[c] = add_product(even[c], first, splat(x[c][k]));
                    odd[c] = add_product(odd[c], second, splat(x[c][k + 1]));
                }
                k += 2;
            }
            if k < len {
                let last = sixteen::<FORMAT>(&panel[k * element_bytes::<FORMAT>()..]);
                for c in 0..C {
                    even[c] = add_product(even[c], last, splat(x[c][k]));
                }
            }
            for c in 0..C {
                store(add(even[c], odd[c]), &mut out[c]);
            }
        }

        /// Sixteen elements of a panel of floats.
        #[inline]
        $(#[$features])?
        fn sixteen<const FORMAT: u8>(from: &[u8]) -> Floats {
            match FORMAT {
                F32 => singles(array(from)),
                F16 => halves(array(from)),
                _ => upper_halves(array(from)),
            }
        }

        /// The groups of a step of activations.
        #[inline]
        fn group(q: &[i8; 256], step: usize) -> &[[i8; 4]; 8] {
            q.as_chunks::<4>().0[8 * step..].first_chunk().expect("within a block")
        }
    };
}
pub(super) use tiles;

// Here and not in the macro: a closure has the instructions of the function it stands in, and the library's own `map` has
// not, so that it would not be compiled into one with it.

/// The first bytes of a part of a panel.
#[inline]
pub(super) fn array<const N: usize>(from: &[u8]) -> &[u8; N] {
    from.first_chunk().expect("within a panel")
}

/// Block `i` of each column.
pub(super) fn blocks<const C: usize>(x: [&[Q8]; C], i: usize) -> [&Q8; C] {
    x.map(|x| &x[i])
}

/// The first `len` numbers of each column.
pub(super) fn firsts<const C: usize>(x: [&[f32]; C], len: usize) -> [&[f32]; C] {
    x.map(|x| &x[..len])
}

// Formats of floats, as a const parameter.
pub(super) const F32: u8 = 0;
pub(super) const F16: u8 = 1;
pub(super) const BF16: u8 = 2;

/// Bytes of an element of each row.
pub(super) const fn element_bytes<const FORMAT: u8>() -> usize {
    if FORMAT == F32 { 64 } else { 32 }
}
