//! Any answer, cut anywhere, reads as the whole, and no call is invented.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let (family, sure, size) = (usize::from(first & 3), first & 4 != 0, usize::from(first >> 3));
    native::promises::any_cut_reads_as_the_whole(family, sure, size, &String::from_utf8_lossy(rest));
});
