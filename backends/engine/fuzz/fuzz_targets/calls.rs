//! Any answer, cut anywhere, reads as the whole: no call is invented, and no text is lost with reasoning.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let (family, sure, size) = (usize::from(first & 7), first & 8 != 0, usize::from(first >> 4));
    let answer = String::from_utf8_lossy(rest);
    engine::promises::any_cut_reads_as_the_whole(family, sure, size, &answer);
    engine::promises::any_cut_parts_reasoning_as_the_whole(sure, size, &answer);
});
