//! Any body is a whole answer, given out untouched with counts that do not contradict each other, or one error; in any pieces
//! it comes to the same.

#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use remote::promises::{Answer, pieces, received};

fuzz_target!(|bytes: &[u8]| {
    let input = input::read(bytes, false);
    let one_piece = Answer { pieces: pieces(&input.body, &[]), ..input.answer.clone() };
    assert_eq!(received(&input.answer, input.asked), received(&one_piece, input.asked));
});
