//! The crate seen from outside, one theme a module.

mod diagnostics;
mod plan;
mod properties;
mod scoring;
mod shipped;
mod world;
