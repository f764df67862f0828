//! The crate seen from outside, one theme a module.

mod allocations;
mod diagnostics;
mod handling;
mod matching;
mod naming;
mod plan;
mod prefer;
mod properties;
mod remedies;
mod require;
mod scope;
mod scoring;
mod shipped;
mod tools;
mod world;
