//! Reading a hostile file costs memory in proportion to its size, whatever numbers it holds.
//!
//! Alone in its binary, because it counts every allocation of the process.

#![allow(unsafe_code, reason = "a counting allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated, in all, while a file is read.
fn cost(file: &[u8]) -> usize {
    let bytes = Bytes::copy_from_slice(file);
    let before = ASKED.load(Ordering::Relaxed);
    let _ = engine::gguf::File::read(bytes);
    ASKED.load(Ordering::Relaxed) - before
}

#[test]
fn no_number_in_a_file_makes_the_reader_allocate() {
    // A valid head with one pair (an array of texts) and one tensor; every aligned and unaligned place of it
    // is overwritten with numbers from large to absurd.
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend([1u64.to_le_bytes(), 1u64.to_le_bytes()].concat());
    file.extend(
        [&1u64.to_le_bytes()[..], b"k", &9u32.to_le_bytes(), &8u32.to_le_bytes(), &2u64.to_le_bytes()].concat(),
    );
    file.extend([&1u64.to_le_bytes()[..], b"x", &1u64.to_le_bytes(), b"y"].concat());
    file.extend([&1u64.to_le_bytes()[..], b"t", &1u32.to_le_bytes(), &8u64.to_le_bytes()].concat());
    file.extend([&0u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat());
    let head = file.len();
    file.resize(head.next_multiple_of(32) + 32, 0);
    assert!(engine::gguf::File::read(Bytes::copy_from_slice(&file)).is_ok());
    for at in 0..head - 8 {
        for number in [u64::MAX, 1 << 62, 1 << 40, 1 << 31, 1 << 24, 65_536, 4_096] {
            let mut hostile = file.clone();
            hostile[at..at + 8].copy_from_slice(&number.to_le_bytes());
            let cost = cost(&hostile);
            assert!(cost < 16_384, "{number} at byte {at} made the reader allocate {cost} bytes");
        }
    }
}
