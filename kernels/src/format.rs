//! How weights lie in a file: the tensor formats of GGUF, byte for byte.
//!
//! A row is a whole number of blocks, and a block holds its own scales. All numbers are little endian; `f16` is IEEE
//! half precision, `d` and `m` stand for one each.
//!
//! | format | block | bytes of a block | value of element `i` |
//! | --- | --- | --- | --- |
//! | F32 | 1 | `f32` | itself |
//! | F16 | 1 | `f16` | itself |
//! | BF16 | 1 | the upper half of an `f32` | itself |
//! | Q8_0 | 32 | `d`, `i8 q[32]` | `d * q[i]` |
//! | Q4_0 | 32 | `d`, `u8 n[16]` | `d * (n - 8)` |
//! | Q4_1 | 32 | `d`, `m`, `u8 n[16]` | `d * n + m` |
//! | Q5_0 | 32 | `d`, `u32 top`, `u8 n[16]` | `d * (n + 16 * top - 16)` |
//! | Q5_1 | 32 | `d`, `m`, `u32 top`, `u8 n[16]` | `d * (n + 16 * top) + m` |
//! | IQ4_NL | 32 | `d`, `u8 n[16]` | `d * TABLE[n]` |
//! | Q2_K | 256 | `u8 s[16]`, `u8 b[64]`, `d`, `m` | `d * low(s[i/16]) * b - m * high(s[i/16])` |
//! | Q3_K | 256 | `u8 top[32]`, `u8 b[64]`, `u8 s[12]`, `d` | `d * (scale[i/16] - 32) * (b + 4 * top - 4)` |
//! | Q4_K | 256 | `d`, `m`, `u8 s[12]`, `u8 n[128]` | `d * scale[i/32] * n - m * min[i/32]` |
//! | Q5_K | 256 | `d`, `m`, `u8 s[12]`, `u8 top[32]`, `u8 n[128]` | the same with `n + 16 * top` |
//! | Q6_K | 256 | `u8 n[128]`, `u8 top[64]`, `i8 scale[16]`, `d` | `d * scale[i/16] * (n + 16 * top - 32)` |
//! | IQ4_XS | 256 | `d`, `u16 tops`, `u8 s[4]`, `u8 n[128]` | `d * (scale[i/32] - 32) * TABLE[n]` |
//!
//! Where a code's bits lie is told beside the function of `crate::codes` that gathers them.

use crate::q8::Group;

/// A weight format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "the names that the format and its users know")]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the exponent of 32-bit ones.
    BF16,
    /// 8 bits, a scale for each 32.
    Q8_0,
    /// 4 bits, a scale for each 32.
    Q4_0,
    /// 4 bits, a scale and an offset for each 32.
    Q4_1,
    /// 5 bits, a scale for each 32.
    Q5_0,
    /// 5 bits, a scale and an offset for each 32.
    Q5_1,
    /// 4 bits through a table, a scale for each 32.
    IQ4_NL,
    /// 2 bits, a 4-bit scale and minimum for each 16 within blocks of 256.
    Q2_K,
    /// 3 bits, a 6-bit scale for each 16 within blocks of 256.
    Q3_K,
    /// 4 bits, a 6-bit scale and minimum for each 32 within blocks of 256.
    Q4_K,
    /// 5 bits, a 6-bit scale and minimum for each 32 within blocks of 256.
    Q5_K,
    /// 6 bits, an 8-bit scale for each 16 within blocks of 256.
    Q6_K,
    /// 4 bits through a table, a 6-bit scale for each 32 within blocks of 256.
    IQ4_XS,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 15] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q8_0,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::IQ4_NL,
        Format::Q2_K,
        Format::Q3_K,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
        Format::IQ4_XS,
    ];

    /// Whether weights are floats, so that activations stay as they are; else both are integers with scales.
    pub const fn is_float(self) -> bool {
        self.group().is_none()
    }

    /// How activations are quantised for it, if they are.
    pub const fn group(self) -> Option<Group> {
        match self.block_len() {
            1 => None,
            32 => Some(Group::Of32),
            _ => Some(Group::Of256),
        }
    }

    /// Elements of a block.
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q8_0 | Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 | Format::IQ4_NL => 32,
            Format::Q2_K | Format::Q3_K | Format::Q4_K | Format::Q5_K | Format::Q6_K | Format::IQ4_XS => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q8_0 => 34,
            Format::Q4_0 | Format::IQ4_NL => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q2_K => 84,
            Format::Q3_K => 110,
            Format::Q4_K => 144,
            Format::Q5_K => 176,
            Format::Q6_K => 210,
            Format::IQ4_XS => 136,
        }
    }

    /// Bytes of a row of `len` elements; none if that is not a whole number of blocks, or overflows.
    pub const fn row_bytes(self, len: usize) -> Option<usize> {
        if !len.is_multiple_of(self.block_len()) {
            return None;
        }
        (len / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The name that the GGUF world uses.
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::BF16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4_1 => "Q4_1",
            Format::Q5_0 => "Q5_0",
            Format::Q5_1 => "Q5_1",
            Format::IQ4_NL => "IQ4_NL",
            Format::Q2_K => "Q2_K",
            Format::Q3_K => "Q3_K",
            Format::Q4_K => "Q4_K",
            Format::Q5_K => "Q5_K",
            Format::Q6_K => "Q6_K",
            Format::IQ4_XS => "IQ4_XS",
        }
    }
}
