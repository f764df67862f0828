//! Any bytes, in any pieces, are the events of the specification, with no byte lost; in one piece they are the same.
//!
//! The first line of an input holds the lengths of the pieces; the stream follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use remote::promises::{pieces, split};

fuzz_target!(|input: &[u8]| {
    let (line, stream) = input.split_at(input.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    let line = str::from_utf8(line).unwrap_or_default();
    let lengths: Vec<usize> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(split(&pieces(stream, &lengths)), split(&pieces(stream, &[])));
});
