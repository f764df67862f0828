//! The element types that a GGUF tensor may have, with their sizes.
//!
//! Every type of the format is known by name, so that a file which uses one this engine does not compute
//! with is refused by that name and not as damage. Ids without an entry were withdrawn from the format.

use std::fmt;

macro_rules! tensor_types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $weights:literal, $bytes:literal;)*) => {
        /// How the elements of a tensor are stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, reason = "the names that the format and its users know")]
        pub enum TensorType {
            $($(#[$doc])* $variant,)*
        }

        impl TensorType {
            /// Every type of the format.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The type with this id in a file.
            pub fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its id in a file.
            pub fn id(self) -> u32 {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// The name that files and their users know it by.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Elements of one block; a row is a whole number of blocks.
            pub fn block_len(self) -> usize {
                match self {
                    $(Self::$variant => $weights,)*
                }
            }

            /// Bytes of one block.
            pub fn block_bytes(self) -> usize {
                match self {
                    $(Self::$variant => $bytes,)*
                }
            }
        }
    };
}

tensor_types! {
    /// 32-bit float.
    F32 = 0, "F32", 1, 4;
    /// 16-bit float.
    F16 = 1, "F16", 1, 2;
    /// 4 bits, one scale for 32.
    Q4_0 = 2, "Q4_0", 32, 18;
    /// 4 bits, scale and minimum for 32.
    Q4_1 = 3, "Q4_1", 32, 20;
    /// 5 bits, one scale for 32.
    Q5_0 = 6, "Q5_0", 32, 22;
    /// 5 bits, scale and minimum for 32.
    Q5_1 = 7, "Q5_1", 32, 24;
    /// 8 bits, one scale for 32.
    Q8_0 = 8, "Q8_0", 32, 34;
    /// 8 bits, scale and sum for 32.
    Q8_1 = 9, "Q8_1", 32, 36;
    /// 2 bits in super-blocks of 256.
    Q2_K = 10, "Q2_K", 256, 84;
    /// 3 bits in super-blocks of 256.
    Q3_K = 11, "Q3_K", 256, 110;
    /// 4 bits in super-blocks of 256.
    Q4_K = 12, "Q4_K", 256, 144;
    /// 5 bits in super-blocks of 256.
    Q5_K = 13, "Q5_K", 256, 176;
    /// 6 bits in super-blocks of 256.
    Q6_K = 14, "Q6_K", 256, 210;
    /// 8 bits in super-blocks of 256.
    Q8_K = 15, "Q8_K", 256, 292;
    /// Codebook, about 2.06 bits.
    IQ2_XXS = 16, "IQ2_XXS", 256, 66;
    /// Codebook, about 2.31 bits.
    IQ2_XS = 17, "IQ2_XS", 256, 74;
    /// Codebook, about 3.06 bits.
    IQ3_XXS = 18, "IQ3_XXS", 256, 98;
    /// Codebook, about 1.56 bits.
    IQ1_S = 19, "IQ1_S", 256, 50;
    /// 4 bits through a table, one scale for 32.
    IQ4_NL = 20, "IQ4_NL", 32, 18;
    /// Codebook, about 3.44 bits.
    IQ3_S = 21, "IQ3_S", 256, 110;
    /// Codebook, about 2.56 bits.
    IQ2_S = 22, "IQ2_S", 256, 82;
    /// 4 bits through a table in super-blocks of 256.
    IQ4_XS = 23, "IQ4_XS", 256, 136;
    /// 8-bit integer.
    I8 = 24, "I8", 1, 1;
    /// 16-bit integer.
    I16 = 25, "I16", 1, 2;
    /// 32-bit integer.
    I32 = 26, "I32", 1, 4;
    /// 64-bit integer.
    I64 = 27, "I64", 1, 8;
    /// 64-bit float.
    F64 = 28, "F64", 1, 8;
    /// Codebook, about 1.75 bits.
    IQ1_M = 29, "IQ1_M", 256, 56;
    /// 16-bit float with the exponent of a 32-bit one.
    BF16 = 30, "BF16", 1, 2;
    /// Three values, about 1.69 bits.
    TQ1_0 = 34, "TQ1_0", 256, 54;
    /// Three values, about 2.06 bits.
    TQ2_0 = 35, "TQ2_0", 256, 66;
    /// 4-bit float, one exponent for 32.
    MXFP4 = 39, "MXFP4", 32, 17;
    /// 4-bit float, one 8-bit float scale for 16, in blocks of 64.
    NVFP4 = 40, "NVFP4", 64, 36;
}

impl TensorType {
    /// Bytes of a row of `len` elements; `None` when that is no whole number of blocks or too large.
    pub fn row_bytes(self, len: u64) -> Option<u64> {
        let block = self.block_len() as u64;
        (len.is_multiple_of(block)).then(|| (len / block).checked_mul(self.block_bytes() as u64)).flatten()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
