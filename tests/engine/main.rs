//! The native engine against llama.cpp, an implementation that shares nothing with it.
//!
//! Needs the feature `engines`, which builds every engine (cmake and clang, many minutes):
//! `cargo test -p tests --features engines --test engine`. With `llama-cpp` in its place all runs but what asks mistralrs too.

#![forbid(unsafe_code)]

mod families;
mod logits;
mod oracle;
#[cfg(feature = "engines")]
mod parity;
mod perplexity;
#[cfg(feature = "engines")]
mod pictures;
mod tokens;
mod vectors;

use std::path::{Path, PathBuf};

/// The model that is built into the gateway.
fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/models/pointsman-demo.gguf")
}
