//! Rows as GGUF has them into a panel, and one element back out of it.

use half::f16;

use super::layout::{BLOCK, ROWS, STEP, VECTOR};
use crate::{codes::Codes, dequantize::value, format::Format, packed::Layout};

/// Packs up to sixteen rows; the places of rows that are not there stay zero.
pub(super) fn panel(format: Format, cols: usize, rows: &[&[u8]], panel: &mut [u8]) {
    match format {
        Format::F32 => floats::<4>(rows, panel),
        Format::F16 | Format::BF16 => floats::<2>(rows, panel),
        quantised => {
            let layout = Layout::of(quantised);
            for (i, block) in panel.chunks_mut(layout.block_bytes(BLOCK)).enumerate() {
                let first = i * BLOCK;
                let (codes, scales) = block.split_at_mut((cols - first).min(BLOCK) / STEP * layout.step_bytes());
                self::quantised(quantised, rows, first / layout.unit, codes, scales);
            }
        }
    }
}

fn floats<const N: usize>(rows: &[&[u8]], panel: &mut [u8]) {
    for (r, row) in rows.iter().enumerate() {
        for (element, group) in row.as_chunks::<N>().0.iter().zip(panel.chunks_exact_mut(ROWS * N)) {
            group[r * N..][..N].copy_from_slice(element);
        }
    }
}

/// A block whose first unit is `first`.
fn quantised(format: Format, rows: &[&[u8]], first: usize, codes: &mut [u8], scales: &mut [u8]) {
    let layout = Layout::of(format);
    let units = codes.chunks_exact_mut(layout.unit / STEP * layout.step_bytes());
    for (unit, (codes, scales)) in (first..).zip(units.zip(scales.chunks_exact_mut(layout.unit_bytes()))) {
        for (r, row) in rows.iter().enumerate() {
            let parts = Codes::of(format, &row[unit * format.block_bytes()..][..format.block_bytes()]);
            let steps = parts.codes.as_chunks::<STEP>().0;
            for (q, step) in steps.iter().zip(codes.chunks_exact_mut(layout.step_bytes())) {
                put_codes(layout, q, r, step);
            }
            put_scales(layout, &parts, r, scales);
        }
    }
}

/// The codes of row `r` of a step.
fn put_codes(layout: Layout, codes: &[u8; STEP], r: usize, step: &mut [u8]) {
    let (low, high) = step.split_at_mut(layout.low_bytes());
    let in_vector = 8 / layout.low;
    let low_mask = 0x0101_0101 * ((1u32 << layout.low) - 1);
    for (g, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
        let word = u32::from_le_bytes(*codes);
        let place = &mut low[VECTOR * (g / in_vector) + 4 * r..];
        or_word(place, (word & low_mask) << (layout.low * (g % in_vector)));
        match layout.high {
            1 => {
                let top = word >> layout.low & 0x0101_0101;
                let bits = top | top >> 7 | top >> 14 | top >> 21;
                high[8 * g + r / 2] |= ((bits & 15) as u8) << (4 * (r % 2));
            }
            2 => or_word(&mut high[VECTOR * (g / 4) + 4 * r..], (word >> layout.low & 0x0303_0303) << (2 * (g % 4))),
            _ => {}
        }
    }
}

fn or_word(place: &mut [u8], word: u32) {
    for (place, byte) in place.iter_mut().zip(word.to_le_bytes()) {
        *place |= byte;
    }
}

/// The scales of row `r` of a unit.
fn put_scales(layout: Layout, parts: &Codes, r: usize, scales: &mut [u8]) {
    if layout.unit == 256 {
        for run in 0..layout.runs() {
            scales[ROWS * run + r] = parts.scales[run] as u8;
            if layout.mins {
                scales[layout.mins_at() + 2 * (ROWS * (run / 2) + r) + run % 2] = parts.mins[run];
            }
        }
    }
    let d = layout.d_at() + 2 * r;
    scales[d..d + 2].copy_from_slice(&parts.d.to_le_bytes());
    if layout.mins {
        scales[d + 2 * ROWS..d + 2 * ROWS + 2].copy_from_slice(&parts.m.to_le_bytes());
    }
}

/// Element `col` of row `r` of a panel with rows of `cols`.
pub(super) fn element(layout: Layout, panel: &[u8], cols: usize, r: usize, col: usize) -> f32 {
    let first = col / BLOCK * BLOCK;
    let block = &panel[col / BLOCK * layout.block_bytes(BLOCK)..];
    let (codes, scales) = block.split_at((cols - first).min(BLOCK) / STEP * layout.step_bytes());
    let codes = &codes[(col - first) / STEP * layout.step_bytes()..];
    let scales = &scales[(col - first) / layout.unit * layout.unit_bytes()..];
    let (group, byte) = (col % STEP / 4, 4 * r + col % 4);
    let (low, high) = codes.split_at(layout.low_bytes());
    let in_vector = 8 / layout.low;
    let mask = ((1u16 << layout.low) - 1) as u8;
    let low = low[VECTOR * (group / in_vector) + byte] >> (layout.low * (group % in_vector)) & mask;
    let top = match layout.high {
        1 => high[8 * group + byte / 8] >> (byte % 8) & 1,
        2 => high[VECTOR * (group / 4) + byte] >> (2 * (group % 4)) & 3,
        _ => 0,
    };
    let code = (u16::from(top) << layout.low) as u8 | low;
    let run = col % layout.unit / layout.run;
    let half = |at: usize| f16::from_le_bytes([scales[at], scales[at + 1]]);
    let d = layout.d_at() + 2 * r;
    let m = if layout.mins { half(d + 2 * ROWS) } else { f16::ZERO };
    let scale = if layout.unit == 256 { scales[ROWS * run + r] as i8 } else { 1 };
    let min = match layout.unit == 256 && layout.mins {
        true => scales[layout.mins_at() + 2 * (ROWS * (run / 2) + r) + run % 2],
        false => 1,
    };
    value(layout, half(d), m, scale, min, code)
}
