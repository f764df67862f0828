//! What bounds every product: how fast memory is read, and how fast integers of eight bits are multiplied and added.
//!
//! Yardsticks: each does the one thing and nothing else, with the instructions that the kernels of its tier have for it, and
//! answers with something that takes all of that work to know. Who uses them holds the clock and starts the threads.

use std::io;

#[cfg(target_arch = "x86_64")]
use crate::Tier;
use crate::{Isa, isa::dispatch, memory::Memory};

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2vnni;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod scalar;
#[cfg(test)]
mod tests;

/// The factors that are multiplied: `LEFT` without a sign, as the instructions have it, and `RIGHT` with one.
const LEFT: u8 = 3;
const RIGHT: i8 = -5;

/// What changes nothing of a factor, as no compiler can know: else it would multiply once and only add from then on.
const NOTHING: i32 = 0;

/// Memory to read from, as weights lie in it: of its own, written once, in large pages where the system has them.
#[derive(Debug)]
pub struct Field(Memory);

impl Field {
    /// So many bytes, all written: a page that never was is none that could be read.
    ///
    /// # Errors
    /// The system has no such memory.
    pub fn new(len: usize) -> io::Result<Self> {
        let mut memory = Memory::zeroed(len)?;
        memory.bytes_mut().expect("it is our own").fill(0x5a);
        Ok(Field(memory))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Reads every byte once: the exclusive or of all words of eight bytes, little endian, the last one filled up with zeros.
pub fn read(isa: Isa, bytes: &[u8]) -> u64 {
    dispatch!(isa, read(bytes))
}

/// Products of eight bits with the sum of what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Products {
    /// How many: one is a multiplication and an addition.
    pub count: u64,
    /// Their sum, of which whole turns of an `i32` are lost.
    pub sum: i32,
}

/// Multiplies and adds from registers to registers, `steps` times some, in chains that do not wait for each other.
pub fn multiply(isa: Isa, steps: u32) -> Products {
    #[cfg(target_arch = "x86_64")]
    if isa.tier() == Tier::Amx {
        // SAFETY: an `Isa` of this tier exists only on a CPU with tiles, where the system lets the program use them.
        return unsafe { amx::multiply(steps) };
    }
    dispatch!(isa, multiply(steps))
}
