//! The crate seen from outside, one theme a module.

mod diagnostics;
mod plan;
mod properties;
mod remedies;
mod shipped;
mod tools;
mod world;
