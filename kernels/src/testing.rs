//! What the tests share: numbers from a seed, weights of each format, a second reading of each format, guard bytes.

use half::{bf16, f16};

use crate::format::Format;

/// One rounding to `f32`, relative to the rounded value.
pub(crate) const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Numbers that depend on the seed alone (a Weyl sequence through a mixing function).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn from(seed: u64) -> Self {
        Numbers(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 31
    }

    /// Between -1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }
}

/// Random rows: every bit pattern of the integers, finite scales.
pub(crate) fn weights(format: Format, rows: usize, cols: usize, numbers: &mut Numbers) -> Vec<u8> {
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    let mut data: Vec<u8> = (0..bytes).map(|_| numbers.bits() as u8).collect();
    for block in data.chunks_exact_mut(format.block_bytes()) {
        if format == Format::F32 {
            block.copy_from_slice(&numbers.float().to_le_bytes());
        }
        if format == Format::BF16 {
            block.copy_from_slice(&bf16::from_f32(numbers.float()).to_le_bytes());
        }
        for &at in halves(format) {
            block[at..at + 2].copy_from_slice(&f16::from_f32(numbers.float() / 16.0).to_le_bytes());
        }
    }
    data
}

/// Sets every scale of the blocks to one (and what multiplies minimums).
pub(crate) fn unit_scales(format: Format, data: &mut [u8]) {
    for block in data.chunks_exact_mut(format.block_bytes()) {
        for &at in halves(format) {
            block[at..at + 2].copy_from_slice(&f16::ONE.to_le_bytes());
        }
    }
}

/// Where the halves of a block stand.
fn halves(format: Format) -> &'static [usize] {
    match format {
        Format::F32 | Format::BF16 => &[],
        Format::F16 | Format::Q8_0 | Format::Q4_0 | Format::Q5_0 | Format::IQ4_NL | Format::IQ4_XS => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
    }
}

/// A weight and the size of the parts it is a difference of (`rounding` applies to those).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) value: f64,
    pub(crate) size: f64,
}

/// A row read straight from the description of its format, in `f64`, one element at a time.
pub(crate) fn read_row(format: Format, row: &[u8]) -> Vec<Weight> {
    let cols = row.len() / format.block_bytes() * format.block_len();
    (0..cols)
        .map(|i| read(format, &row[i / format.block_len() * format.block_bytes()..], i % format.block_len()))
        .collect()
}

fn read(format: Format, block: &[u8], i: usize) -> Weight {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f64();
    let whole = |value: f64| Weight { value, size: value.abs() };
    let centred = |scale: f64, code: u8, zero: f64| Weight {
        value: scale * (f64::from(code) - zero),
        size: scale.abs() * (f64::from(code) + zero),
    };
    let above = |above: f64, below: f64| Weight { value: above - below, size: above.abs() + below.abs() };
    // Bit `n` of the bytes from `at` on.
    let bit = |at: usize, n: usize| block[at + n / 8] / 2u8.pow((n % 8) as u32) % 2;
    // Nibble of a block of 32 whose bytes begin at `at`.
    let nibble = |at: usize| if i % 32 < 16 { block[at + i % 32] % 16 } else { block[at + i % 32 - 16] / 16 };
    // The same of a run of 64.
    let long_nibble = |at: usize| {
        let byte = block[at + i / 64 * 32 + i % 32];
        if (i / 32).is_multiple_of(2) { byte % 16 } else { byte / 16 }
    };
    // Two bits, 32 bytes for a half.
    let pair = |at: usize| block[at + i / 128 * 32 + i % 32] / 4u8.pow((i % 128 / 32) as u32) % 4;
    let k_scales = || {
        let (s, run) = (&block[4..16], i / 32);
        if run < 4 {
            (s[run] % 64, s[run + 4] % 64)
        } else {
            (s[run + 4] % 16 + s[run - 4] / 64 * 16, s[run + 4] / 16 + s[run] / 64 * 16)
        }
    };
    const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    let level = |code: u8| f64::from(LEVELS[usize::from(code)]);
    match format {
        Format::F32 => whole(f32::from_le_bytes([block[0], block[1], block[2], block[3]]).into()),
        Format::F16 => whole(half(0)),
        Format::BF16 => whole(f32::from_le_bytes([0, 0, block[0], block[1]]).into()),
        Format::Q8_0 => whole(half(0) * f64::from(block[2 + i] as i8)),
        Format::Q4_0 => centred(half(0), nibble(2), 8.0),
        Format::Q4_1 => above(half(0) * f64::from(nibble(4)), -half(2)),
        Format::Q5_0 => centred(half(0), nibble(6) + 16 * bit(2, i), 16.0),
        Format::Q5_1 => above(half(0) * f64::from(nibble(8) + 16 * bit(4, i)), -half(2)),
        Format::IQ4_NL => whole(half(0) * level(nibble(2))),
        Format::Q2_K => {
            let s = block[i / 16];
            above(half(80) * f64::from(s % 16) * f64::from(pair(16)), half(82) * f64::from(s / 16))
        }
        Format::Q3_K => {
            let (s, run) = (&block[96..], i / 16);
            // Per sixteen scales: four words of which the last holds the top bits of the others.
            let low = if run < 8 { s[run] % 16 } else { s[run - 8] / 16 };
            let top = s[8 + run % 4] / 4u8.pow((run / 4) as u32) % 4;
            let scale = half(108) * (f64::from(low + 16 * top) - 32.0);
            let third = block[i % 32] / 2u8.pow((i / 32) as u32) % 2;
            centred(scale, pair(32) + 4 * third, 4.0)
        }
        Format::Q4_K => {
            let (scale, min) = k_scales();
            above(half(0) * f64::from(scale) * f64::from(long_nibble(16)), half(2) * f64::from(min))
        }
        Format::Q5_K => {
            let (scale, min) = k_scales();
            let fifth = block[16 + i % 32] / 2u8.pow((i / 32) as u32) % 2;
            above(half(0) * f64::from(scale) * f64::from(long_nibble(48) + 16 * fifth), half(2) * f64::from(min))
        }
        Format::Q6_K => {
            let (low, high) = (&block[i / 128 * 64..], &block[128 + i / 128 * 32..]);
            let (j, quarter) = (i % 32, i % 128 / 32);
            let (low, high) = match quarter {
                0 => (low[j] % 16, high[j] % 4),
                1 => (low[j + 32] % 16, high[j] / 4 % 4),
                2 => (low[j] / 16, high[j] / 16 % 4),
                _ => (low[j + 32] / 16, high[j] / 64),
            };
            centred(half(208) * f64::from(block[192 + i / 16] as i8), low + 16 * high, 32.0)
        }
        Format::IQ4_XS => {
            let run = i / 32;
            let low = if run.is_multiple_of(2) { block[4 + run / 2] % 16 } else { block[4 + run / 2] / 16 };
            let top = bit(2, 2 * run) + 2 * bit(2, 2 * run + 1);
            whole(half(0) * (f64::from(low + 16 * top) - 32.0) * level(nibble(8 + 16 * run)))
        }
    }
}

/// Runs `write` on a slice between guards and fails if it wrote beyond, or left a place unwritten.
pub(crate) fn guarded(len: usize, write: impl FnOnce(&mut [f32])) -> Vec<f32> {
    const GUARD: usize = 67;
    // A pattern of NaNs: results never look like it, and a block moved by a power of two shows.
    let pattern = |i: usize| f32::from_bits(0x7fc0_0000 | (i % 251) as u32);
    let mut buffer: Vec<f32> = (0..len + 2 * GUARD).map(pattern).collect();
    write(&mut buffer[GUARD..GUARD + len]);
    for (i, value) in buffer.iter().enumerate() {
        let untouched = value.to_bits() == pattern(i).to_bits();
        let inside = (GUARD..GUARD + len).contains(&i);
        assert!(inside != untouched, "place {i} of {len} (from {GUARD}): {value}");
    }
    buffer[GUARD..GUARD + len].to_vec()
}
