//! Framing out: whole answers, server-sent events, and the one error table.
//!
//! What an upstream sent in the caller's own API is passed on byte for byte; what a local engine generates, and what an
//! upstream sent in another API, is written here in that API's shapes. A stream that breaks off ends with the error its API
//! defines, never with a made-up finish reason.

pub mod body;
pub mod error;
mod framer;
pub mod messages;
mod pieces;
pub mod responses;
pub mod sse;
pub mod whole;
mod writer;

pub use framer::Framer;
pub use writer::{Told, Writer};
