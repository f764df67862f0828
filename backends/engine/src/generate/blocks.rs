//! Random blocks of each type: every bit is, but those of the scales that a block's floats are, which give its weights a size.
//!
//! So nothing is quantised, which would take most of the time, and every code and every small scale occurs.

use half::{bf16, f16};
use rand_chacha::{ChaCha8Rng, rand_core::RngCore};

use crate::gguf::TensorType;

/// Where a block's floats lie, and what they are for weights whose mean square is one.
struct Block {
    /// The place of the scale, and how much of the size it is.
    scale: (usize, f32),
    /// The place of what is added or taken away, and how much of the scale it is, so that weights lie around zero.
    offset: Option<(usize, f32)>,
}

/// What is known of a type's blocks; none for floats, and for what no engine of ours computes.
///
/// The size is one over the root of the mean square of a weight without the scale, where every code and small scale is as
/// likely as any other.
fn block(kind: TensorType) -> Option<Block> {
    let plain = |at, size: f32| Block { scale: (at, 1.0 / size), offset: None };
    let with = |at, size: f32, offset| Block { scale: (at, 1.0 / size), offset: Some(offset) };
    Some(match kind {
        // Codes from -128 to 127, -8 to 7, -16 to 15.
        TensorType::Q8_0 => plain(0, 73.9),
        TensorType::Q4_0 => plain(0, 4.64),
        TensorType::Q5_0 => plain(0, 9.25),
        // Codes from 0 to 15 and to 31.
        TensorType::Q4_1 => with(0, 4.61, (2, -7.5)),
        TensorType::Q5_1 => with(0, 9.23, (2, -15.5)),
        // Of the table that codes stand for.
        TensorType::IQ4_NL => plain(0, 67.4),
        // Codes to 3, and scales and minimums to 15.
        TensorType::Q2_K => with(80, 13.9, (82, 1.5)),
        // Codes from -4 to 3, and scales from -32 to 31.
        TensorType::Q3_K => plain(108, 43.3),
        // Codes to 15 and to 31, and scales and minimums to 63.
        TensorType::Q4_K => with(0, 258.0, (2, 7.5)),
        TensorType::Q5_K => with(0, 527.0, (2, 15.5)),
        // Codes from -32 to 31, and scales from -128 to 127.
        TensorType::Q6_K => plain(208, 1_366.0),
        // Of the table again, and scales from -32 to 31.
        TensorType::IQ4_XS => plain(0, 1_246.0),
        _ => return None,
    })
}

/// Fills whole blocks of a type with random weights around zero, with `size` as the root of their mean square.
///
/// # Panics
/// When the type is not one that our engine computes.
pub fn fill(kind: TensorType, rng: &mut ChaCha8Rng, size: f32, out: &mut [u8]) {
    // Of numbers that are spread evenly from minus one to one, that is the root of a third.
    let number = |rng: &mut ChaCha8Rng| size * 3f32.sqrt() * unit(rng);
    let two = |number: [u8; 2], to: &mut [u8]| to.copy_from_slice(&number);
    match kind {
        TensorType::F32 => {
            out.chunks_exact_mut(4).for_each(|to| to.copy_from_slice(&number(rng).to_le_bytes()));
        }
        TensorType::F16 => out.chunks_exact_mut(2).for_each(|to| two(f16::from_f32(number(rng)).to_le_bytes(), to)),
        TensorType::BF16 => out.chunks_exact_mut(2).for_each(|to| two(bf16::from_f32(number(rng)).to_le_bytes(), to)),
        _ => {
            let Block { scale: (at, of_size), offset } = block(kind).unwrap_or_else(|| panic!("no blocks of {kind}"));
            rng.fill_bytes(out);
            let scale = f16::from_f32(size * of_size).to_le_bytes();
            let offset = offset.map(|(at, of_scale)| (at, f16::from_f32(size * of_size * of_scale).to_le_bytes()));
            for block in out.chunks_exact_mut(kind.block_bytes()) {
                two(scale, &mut block[at..at + 2]);
                if let Some((at, offset)) = offset {
                    two(offset, &mut block[at..at + 2]);
                }
            }
        }
    }
}

/// A number from -1 to 1.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0
}
