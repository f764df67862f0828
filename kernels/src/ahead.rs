//! Asking memory for what will be read soon.
//!
//! A core has work for some hundred instructions under way at once: as long as it computes with what it has, what it reads
//! next is not under way unless something asks for it. Weights are read once, in order, so what comes is known.

/// How far ahead, in bytes, what is read once is asked for: what a core computes with in less time than memory takes is less.
/// Of 1 to 16 KiB none was better for any format; at 4 KiB and beyond those of four bits read a sixth less a second.
pub(crate) const AHEAD: usize = 2 << 10;

/// Asks for as many bytes as `part` has, from `by` bytes after its start on; for nothing where that is 0.
#[inline]
pub(crate) fn ask(part: &[u8], by: usize) {
    if by == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    for line in (0..part.len()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = part.as_ptr().wrapping_add(by + line).cast();
        // SAFETY: a prefetch of any address reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = part;
}
