//! The native engine against llama.cpp, an implementation that shares nothing with it.
//!
//! Needs the feature `engines`, which builds every engine (cmake and clang, many minutes):
//! `cargo test -p tests --features engines --test engine`.

#![forbid(unsafe_code)]

mod logits;
mod oracle;
mod parity;
mod perplexity;
mod pictures;
mod tokens;
mod vectors;

use std::path::{Path, PathBuf};

/// The model that is built into the gateway.
fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/models/pointsman-demo.gguf")
}
