//! Any body, under any headers, in any pieces and broken off anywhere, is read as a stream that holds what
//! [`remote::promises`] says of each, and in one piece comes to the same.

#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use remote::promises::{Answer, pieces, predicted, received};

fuzz_target!(|bytes: &[u8]| {
    let input = input::read(bytes, true);
    let one_piece = Answer { pieces: pieces(&input.body, &[]), ..input.answer.clone() };
    // The LF of a blank line may count to the next event, which then has one byte more.
    let counted = |error: Option<&String>| {
        error.is_some_and(|error| error.contains("longer than")) && input.body.windows(2).any(|bytes| bytes == b"\r\n")
    };
    if input.prediction {
        let (cut, whole) = (predicted(&input.answer, input.asked.limit), predicted(&one_piece, input.asked.limit));
        assert!(cut == whole || counted(cut.1.as_ref().err()) || counted(whole.1.as_ref().err()), "{cut:?} {whole:?}");
    } else {
        let (cut, whole) = (received(&input.answer, input.asked), received(&one_piece, input.asked));
        assert!(cut == whole || counted(cut.error.as_ref()) || counted(whole.error.as_ref()), "{cut:?} {whole:?}");
    }
});
