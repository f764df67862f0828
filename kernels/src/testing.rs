//! What the tests share: numbers from a seed, weights of each format, a second reading of each format, guard bytes.

use half::f16;

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
        let mut half = |at: usize, block: &mut [u8]| {
            block[at..at + 2].copy_from_slice(&f16::from_f32(numbers.float() / 16.0).to_le_bytes());
        };
        match format {
            Format::F32 => block.copy_from_slice(&numbers.float().to_le_bytes()),
            Format::F16 | Format::Q8_0 | Format::Q4_0 => half(0, block),
            Format::Q4K => {
                half(0, block);
                half(2, block);
            }
            Format::Q6K => half(208, block),
        }
    }
    data
}

/// Sets every scale of the blocks to one (and the offset scale of Q4_K).
pub(crate) fn unit_scales(format: Format, data: &mut [u8]) {
    let one = f16::ONE.to_le_bytes();
    for block in data.chunks_exact_mut(format.block_bytes()) {
        match format {
            Format::F32 | Format::F16 => unreachable!("no scales"),
            Format::Q8_0 | Format::Q4_0 => block[..2].copy_from_slice(&one),
            Format::Q4K => block[..4].copy_from_slice(&[one, one].concat()),
            Format::Q6K => block[208..].copy_from_slice(&one),
        }
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
    match format {
        Format::F32 => whole(f32::from_le_bytes([block[0], block[1], block[2], block[3]]).into()),
        Format::F16 => whole(half(0)),
        Format::Q8_0 => whole(half(0) * f64::from(block[2 + i] as i8)),
        Format::Q4_0 => {
            let n = if i < 16 { block[2 + i] % 16 } else { block[2 + i - 16] / 16 };
            whole(half(0) * (f64::from(n) - 8.0))
        }
        Format::Q4K => {
            let (s, group) = (&block[4..16], i / 32);
            let (scale, min) = if group < 4 {
                (s[group] % 64, s[group + 4] % 64)
            } else {
                (s[group + 4] % 16 + s[group - 4] / 64 * 16, s[group + 4] / 16 + s[group] / 64 * 16)
            };
            let byte = block[16 + i / 64 * 32 + i % 32];
            let nibble = if group.is_multiple_of(2) { byte % 16 } else { byte / 16 };
            let (above, below) = (half(0) * f64::from(scale) * f64::from(nibble), half(2) * f64::from(min));
            Weight { value: above - below, size: above.abs() + below.abs() }
        }
        Format::Q6K => {
            let (low, high) = (&block[i / 128 * 64..], &block[128 + i / 128 * 32..]);
            let (j, quarter) = (i % 32, i % 128 / 32);
            let (low, high) = match quarter {
                0 => (low[j] % 16, high[j] % 4),
                1 => (low[j + 32] % 16, high[j] / 4 % 4),
                2 => (low[j] / 16, high[j] / 16 % 4),
                _ => (low[j + 32] / 16, high[j] / 64),
            };
            let (scale, bits) = (half(208) * f64::from(block[192 + i / 16] as i8), f64::from(low + 16 * high));
            Weight { value: scale * (bits - 32.0), size: scale.abs() * (bits + 32.0) }
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
