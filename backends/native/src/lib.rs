//! Our own engine: runs GGUF models inside the gateway process.

pub mod gguf;
pub mod tokenizer;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
