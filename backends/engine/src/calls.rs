//! Tool calls: how models write them, and how they are read while they are written.
//!
//! [`format`](mod@format) is a table of the ways in which families of models write calls, found by the chat template of a
//! file. [`parser`] takes an answer apart into text and calls, [`body`] reads one of those, [`function`] knows what values it
//! takes, [`forced`] makes the grammar of an answer that must be a call, and [`neutral`] tells a model of its tools whose
//! template cannot.

mod body;
pub(crate) mod forced;
pub(crate) mod format;
mod function;
pub(crate) mod neutral;
pub(crate) mod parser;
#[cfg(any(test, fuzzing))]
pub mod promises;

pub(crate) use format::Format;
pub(crate) use function::Function;
pub(crate) use parser::{Parser, Part};
