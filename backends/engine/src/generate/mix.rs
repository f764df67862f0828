//! Which type each matrix of a file has.
//!
//! As `llama-quantize` of llama.cpp chooses without an importance matrix (`llama-quant.cpp`): the output, which may be the
//! embedding too, gets more bits; in `Q4_K_M` what mixes values does so in some layers; rows that are no whole blocks of 256
//! get a type of 32.

use std::{fmt, str::FromStr};

use super::Shape;
use crate::gguf::TensorType;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names that their users know")]
pub enum Mix {
    /// Four bits, six for some.
    Q4_K_M,
    /// Eight bits throughout.
    Q8_0,
    /// Four bits, of the older kind; six for the output.
    Q4_0,
    /// Six bits throughout.
    Q6_K,
}

impl Mix {
    /// Every mix.
    pub const ALL: [Mix; 4] = [Mix::Q4_K_M, Mix::Q8_0, Mix::Q4_0, Mix::Q6_K];

    /// The name that the field knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Mix::Q4_K_M => "Q4_K_M",
            Mix::Q8_0 => "Q8_0",
            Mix::Q4_0 => "Q4_0",
            Mix::Q6_K => "Q6_K",
        }
    }

    /// Its number in `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Mix::Q4_0 => 2,
            Mix::Q8_0 => 7,
            Mix::Q4_K_M => 15,
            Mix::Q6_K => 18,
        }
    }

    /// The type of a matrix with rows of so many numbers.
    pub(super) fn kind(self, tensor: &str, row: u64, shape: &Shape) -> TensorType {
        let usual = match self {
            Mix::Q4_K_M => TensorType::Q4_K,
            Mix::Q8_0 => TensorType::Q8_0,
            Mix::Q4_0 => TensorType::Q4_0,
            Mix::Q6_K => TensorType::Q6_K,
        };
        let is_output = tensor == "output.weight" || (shape.tied && tensor == "token_embd.weight");
        let kind = match self {
            Mix::Q8_0 => usual,
            _ if is_output => TensorType::Q6_K,
            Mix::Q4_K_M if has_more_bits(tensor, shape.layers) => TensorType::Q6_K,
            _ => usual,
        };
        match kind {
            _ if row.is_multiple_of(kind.block_len() as u64) => kind,
            TensorType::Q4_K => TensorType::Q5_0,
            _ => TensorType::Q8_0,
        }
    }
}

/// What mixes values, in the first and the last eighth of the layers and in each third between.
pub(crate) fn has_more_bits(tensor: &str, layers: u32) -> bool {
    let mut parts = tensor.split('.');
    let (Some("blk"), Some(layer), Some("attn_v" | "ffn_down")) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (layer, eighth) = (layer.parse::<u32>().unwrap_or(0), layers / 8);
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Mix::ALL.into_iter().find(|mix| mix.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("it is one of {}", Mix::ALL.map(Mix::name).join(", ")))
    }
}
