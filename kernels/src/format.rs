//! How weights lie in memory: the tensor formats of GGUF that the loops read, byte for byte.
//!
//! A row is a whole number of blocks, and a block holds its own scales. All numbers are little endian; `f16` is IEEE
//! half precision.
//!
//! | format | block | bytes of a block | value of element `i` |
//! | --- | --- | --- | --- |
//! | F32 | 1 | `f32` | itself |
//! | F16 | 1 | `f16` | itself |
//! | Q8_0 | 32 | `f16 d`, `i8 q[32]` | `d * q[i]` |
//! | Q4_0 | 32 | `f16 d`, `u8 n[16]` | `d * (low nibble of n[i] - 8)`, from 16 on the high nibbles |
//! | Q4_K | 256 | `f16 d`, `f16 dmin`, `u8 s[12]`, `u8 n[128]` | `d * scale[i/32] * nibble - dmin * min[i/32]` |
//! | Q6_K | 256 | `u8 low[128]`, `u8 high[64]`, `i8 scale[16]`, `f16 d` | `d * scale[i/16] * (six bits - 32)` |
//!
//! Q4_K: each run of 64 elements owns 32 bytes of `n`, low nibbles first; `s` packs eight 6-bit scales and eight
//! 6-bit minimums (`matmul::q4_k::scales_and_mins`). Q6_K: each half of 128 elements owns 64 bytes of `low` (low
//! nibbles for its first 64, high nibbles for its last 64) and 32 bytes of `high`, whose byte `j` holds two top bits
//! for each of the elements `j`, `j + 32`, `j + 64` and `j + 96`.

/// What activations must be turned into before a product with weights of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Left as they are.
    F32,
    /// Eight bits with a scale for each 32 ([`crate::quantize_q8x32`]).
    Q8x32,
    /// Eight bits with a scale for each 256 and a sum for each 16 ([`crate::quantize_q8x256`]).
    Q8x256,
}

/// A weight format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8 bits, a scale for each 32.
    Q8_0,
    /// 4 bits, a scale for each 32.
    Q4_0,
    /// 4 bits, a 6-bit scale and minimum for each 32 within blocks of 256.
    Q4K,
    /// 6 bits, an 8-bit scale for each 16 within blocks of 256.
    Q6K,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 6] = [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4K, Format::Q6K];

    /// Elements of a block.
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 => 1,
            Format::Q8_0 | Format::Q4_0 => 32,
            Format::Q4K | Format::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 => 2,
            Format::Q8_0 => 34,
            Format::Q4_0 => 18,
            Format::Q4K => 144,
            Format::Q6K => 210,
        }
    }

    /// Bytes of a row of `len` elements; none if that is not a whole number of blocks, or overflows.
    pub const fn row_bytes(self, len: usize) -> Option<usize> {
        if !len.is_multiple_of(self.block_len()) {
            return None;
        }
        (len / self.block_len()).checked_mul(self.block_bytes())
    }

    /// What activations are turned into for products with this format.
    pub const fn activation(self) -> Activation {
        match self {
            Format::F32 | Format::F16 => Activation::F32,
            Format::Q8_0 | Format::Q4_0 => Activation::Q8x32,
            Format::Q4K | Format::Q6K => Activation::Q8x256,
        }
    }

    /// The name that the GGUF world uses.
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4K => "Q4_K",
            Format::Q6K => "Q6_K",
        }
    }
}
