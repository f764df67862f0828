//! Text to tokens and back.

mod bytes;

pub use bytes::byte_char;
