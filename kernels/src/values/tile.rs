//! All panels of a page times a few columns: the loop, written once and compiled for each tier with its vectors.
//!
//! `mixes!` takes the attribute that switches a tier's instructions on, and expects in scope what works on one vector: the
//! types `Bytes` (64 bytes) and `Ints` (sixteen numbers), and the functions on them.

macro_rules! mixes {
    ($(#[$features:meta])?) => {
        use crate::values::{PANEL, Planes, ROWS};

        $(#[$features])?
        pub(super) fn mix<const C: usize>(panels: &[[u8; PANEL]], len: usize, planes: &[Planes; C], sums: &mut [f32]) {
            for (i, panel) in panels.iter().enumerate() {
                let (mut high, mut low) = ([none(); C], [none(); C]);
                for (group, values) in panel.as_chunks::<64>().0.iter().enumerate() {
                    let values = load(values);
                    for c in 0..C {
                        high[c] = add_products(high[c], planes[c].high.as_chunks().0[group], values);
                        low[c] = add_products(low[c], planes[c].low.as_chunks().0[group], values);
                    }
                }
                for c in 0..C {
                    let sums = &mut sums[c * len..][ROWS * i..len.min(ROWS * (i + 1))];
                    match sums.as_mut_array() {
                        Some(sums) => add(sums, high[c], low[c], planes[c].scale),
                        None => {
                            let mut whole = [0.0; ROWS];
                            whole[..sums.len()].copy_from_slice(sums);
                            add(&mut whole, high[c], low[c], planes[c].scale);
                            sums.copy_from_slice(&whole[..sums.len()]);
                        }
                    }
                }
            }
        }
    };
}
pub(super) use mixes;
