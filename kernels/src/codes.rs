//! A block of quantised weights taken apart: whole numbers and their scales, the same shape for every format.
//!
//! What packing reads, and what a row is turned back into floats with. The value of element `i` is
//! `d * scales[i / run] * (codes[i] - centre) - m * mins[i / run]`, where [`Codes::of`] has put a table's entries, made
//! unsigned, in place of a table's indices, and `m` negated where a format adds.

use half::f16;

use crate::format::Format;

/// The entries that IQ4_NL and IQ4_XS choose from.
pub(crate) const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The parts of a block.
pub(crate) struct Codes {
    pub(crate) d: f16,
    pub(crate) m: f16,
    /// One for each run; ones where a block is one run.
    pub(crate) scales: [i8; 16],
    /// One for each run; ones where a block is one run.
    pub(crate) mins: [u8; 16],
    /// For formats with a table the index into it.
    pub(crate) codes: [u8; 256],
}

impl Codes {
    /// The parts of one block of a quantised format.
    pub(crate) fn of(format: Format, block: &[u8]) -> Self {
        let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
        let mut parts = Codes { d: f16::ONE, m: f16::ZERO, scales: [1; 16], mins: [1; 16], codes: [0; 256] };
        let codes = &mut parts.codes;
        match format {
            Format::F32 | Format::F16 | Format::BF16 => unreachable!("floats have no codes"),
            Format::Q8_0 => {
                parts.d = half(0);
                for (code, &q) in codes.iter_mut().zip(&block[2..34]) {
                    *code = q ^ 0x80;
                }
            }
            Format::Q4_0 | Format::IQ4_NL => {
                parts.d = half(0);
                halves(&block[2..18], codes);
            }
            Format::Q4_1 => {
                (parts.d, parts.m) = (half(0), -half(2));
                halves(&block[4..20], codes);
            }
            Format::Q5_0 => {
                parts.d = half(0);
                halves(&block[6..22], codes);
                fifth_bits(&block[2..6], codes);
            }
            Format::Q5_1 => {
                (parts.d, parts.m) = (half(0), -half(2));
                halves(&block[8..24], codes);
                fifth_bits(&block[4..8], codes);
            }
            // Each half of 128 elements owns 32 bytes, whose byte `j` holds two bits of `j`, `j + 32`, `j + 64`, `j + 96`.
            Format::Q2_K => {
                (parts.d, parts.m) = (half(80), half(82));
                for (run, &s) in block[..16].iter().enumerate() {
                    (parts.scales[run], parts.mins[run]) = ((s & 15) as i8, s >> 4);
                }
                pairs(&block[16..80], codes);
            }
            // Bits as in Q2_K; bit `i / 32` of byte `i % 32` of the first 32 bytes is the third.
            Format::Q3_K => {
                parts.d = half(108);
                parts.scales = six_bits(&block[96..108]).map(|scale| scale as i8 - 32);
                pairs(&block[32..96], codes);
                for (i, code) in codes.iter_mut().enumerate() {
                    *code |= (block[i % 32] >> (i / 32) & 1) << 2;
                }
            }
            Format::Q4_K => {
                (parts.d, parts.m) = (half(0), half(2));
                (parts.scales, parts.mins) = scales_and_mins(&block[4..16]);
                nibbles(&block[16..144], codes);
            }
            // Bit `i / 32` of byte `i % 32` of the 32 bytes after the scales is the fifth.
            Format::Q5_K => {
                (parts.d, parts.m) = (half(0), half(2));
                (parts.scales, parts.mins) = scales_and_mins(&block[4..16]);
                nibbles(&block[48..176], codes);
                for (i, code) in codes.iter_mut().enumerate() {
                    *code |= (block[16 + i % 32] >> (i / 32) & 1) << 4;
                }
            }
            // Each half of 128 elements owns 64 bytes of low nibbles (first 64 elements low, last 64 high) and 32 bytes
            // of top bits, whose byte `j` holds two for each of `j`, `j + 32`, `j + 64`, `j + 96`.
            Format::Q6_K => {
                parts.d = half(208);
                for (scale, &byte) in parts.scales.iter_mut().zip(&block[192..208]) {
                    *scale = byte as i8;
                }
                for (i, code) in codes.iter_mut().enumerate() {
                    let (half, within) = (i / 128, i % 128);
                    let low = block[64 * half + within % 64] >> (4 * (within / 64)) & 15;
                    let top = block[128 + 32 * half + within % 32] >> (2 * (within / 32)) & 3;
                    *code = low | top << 4;
                }
            }
            // Low four bits of a scale in a nibble of `s`, its top two in `tops`; codes run by run as in Q4_0.
            Format::IQ4_XS => {
                parts.d = half(0);
                let tops = u16::from_le_bytes([block[2], block[3]]);
                for run in 0..8 {
                    let low = block[4 + run / 2] >> (4 * (run % 2)) & 15;
                    parts.scales[run] = (low | ((tops >> (2 * run) & 3) as u8) << 4) as i8 - 32;
                    halves(&block[8 + 16 * run..][..16], &mut codes[32 * run..]);
                }
            }
        }
        parts
    }
}

/// Sixteen bytes whose low nibbles are the first sixteen codes and whose high ones the next.
fn halves(bytes: &[u8], codes: &mut [u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        (codes[i], codes[i + 16]) = (byte & 15, byte >> 4);
    }
}

/// Each run of 64 owns 32 bytes, low nibbles first.
fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    for (run, bytes) in bytes.chunks_exact(32).enumerate() {
        for (i, byte) in bytes.iter().enumerate() {
            (codes[64 * run + i], codes[64 * run + 32 + i]) = (byte & 15, byte >> 4);
        }
    }
}

fn pairs(bytes: &[u8], codes: &mut [u8]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = bytes[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
    }
}

fn fifth_bits(top: &[u8], codes: &mut [u8]) {
    for (i, code) in codes[..32].iter_mut().enumerate() {
        *code |= (top[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// Bytes 0..4 hold the first four scales and 4..8 the first four minimums in their low six bits. The last four of both
/// share bytes 8..12, scales in the low nibbles; their top two bits are the top two bits of bytes 0..4 and 4..8.
fn scales_and_mins(bytes: &[u8]) -> ([i8; 16], [u8; 16]) {
    let (mut scales, mut mins) = ([1; 16], [1; 16]);
    for i in 0..4 {
        (scales[i], mins[i]) = ((bytes[i] & 63) as i8, bytes[i + 4] & 63);
        scales[i + 4] = (bytes[i + 8] & 15 | bytes[i] >> 6 << 4) as i8;
        mins[i + 4] = bytes[i + 8] >> 4 | bytes[i + 4] >> 6 << 4;
    }
    (scales, mins)
}

/// The sixteen scales of Q3_K: low nibbles of bytes 0..8, then their high ones; two top bits of scale `i` at bit
/// `2 * (i / 4)` of byte `8 + i % 4`.
fn six_bits(bytes: &[u8]) -> [u8; 16] {
    std::array::from_fn(|i| bytes[i % 8] >> (4 * (i / 8)) & 15 | (bytes[8 + i % 4] >> (2 * (i / 4)) & 3) << 4)
}
