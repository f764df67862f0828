//! The numeric loops of local inference: slices in, slices out, nothing else.
//!
//! Every operation is one module: a public function that checks its slices and picks a version by [`Isa`], a
//! `scalar` version that says what the operation means, and versions of the other tiers that must agree with it.
//! Holding an [`Isa`] is the proof that the CPU can run its tier, so the only `unsafe` is the call at dispatch
//! (the `dispatch!` macro), the loads and stores (`simd`), the tiles of AMX, which the system is asked for (`isa`) and which
//! multiply (`tiles`, `packed::amx`, `peak::amx`), and the map of a file (`memory`).
//!
//! Knows nothing of models, caches or threads, and of files only that packed weights may lie in one ([`Mapped`]). Callers
//! split rows between threads, and a row's result does not depend on how they split.

// The one crate of the workspace that may: each block says why it holds.
#![allow(unsafe_code)]

mod ahead;
mod codes;
mod dequantize;
mod exp;
mod format;
mod gate;
mod isa;
mod memory;
mod norm;
mod packed;
pub mod peak;
mod q8;
mod rope;
mod scan;
#[cfg(target_arch = "x86_64")]
mod simd;
mod softmax;
#[cfg(test)]
mod testing;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod values;

pub use dequantize::dequantize_row;
pub use format::Format;
pub use gate::{Gate, gate_mul};
pub use isa::{Isa, Tier, UnknownTier};
pub use memory::Mapped;
pub use norm::{layer_norm, rms_norm};
pub use packed::{Columns, LAYOUT, Packed, Panels, Part, matmul, pack_f16_column, pack_f16_row, pack_q8_0_row};
pub use q8::{Group, Q8, quantize};
pub use rope::{Pairs, rope};
pub use scan::{Scan, scan};
pub use softmax::{exponentials, largest};
pub use values::{Values, copy_values, mix, put_values};
