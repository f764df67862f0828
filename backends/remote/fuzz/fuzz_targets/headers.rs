//! Any status, headers and body of a response are sorted into an answer or one error, with waits and shares in their bounds
//! and no header given out. Set for a target, they are refused, or sent with nothing but our own beside them.

#![no_main]

mod input;

use http::{HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use remote::promises::{Asked, received, sent};

/// What no response holds by itself.
const MARK: &str = "mark-5f0c2a7e91d3";

fuzz_target!(|bytes: &[u8]| {
    if bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
        return;
    }
    let mut input = input::read(bytes, false);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = input.answer.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let headers: Vec<_> = headers.collect();
    let _ = sent(&headers, None);
    let _ = sent(&headers, headers.first().map(|(name, value)| (name.as_str(), value.as_str())));
    for name in [header::SET_COOKIE, header::WWW_AUTHENTICATE, header::LOCATION, header::SERVER] {
        input.answer.headers.insert(name, HeaderValue::from_static(MARK));
    }
    for stream in [false, true] {
        let outcome = received(&input.answer, Asked { stream, ..input.asked });
        assert!(!format!("{outcome:?}").contains(MARK), "a header is given out: {outcome:?}");
    }
});
