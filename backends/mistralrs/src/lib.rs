//! The `mistralrs` crate as an engine: safetensors as they are or quantised while they are loaded (ISQ), UQFF, LoRA adapters,
//! and the GGUF files that it reads.
//!
//! mistralrs decides which choice is computed when, and computes it; all that makes a request mean the same on every engine
//! is the shared crate's. The seam is one logits processor a choice: it hands each row of logits to
//! [`engine::Writing`], which draws the token, and gives back logits in which only that token can win. So mistralrs' own
//! sampler, grammars, stop sequences, templates and tokenizer are never asked, and what is wrong in them does not matter.
//!
//! On a CPU one choice is computed at a time: of sequences that mistralrs 0.8.1 computes together there, all but one come out
//! wrong (`load`).
//!
//! | file | what |
//! | --- | --- |
//! | `load` | a path and options to a running engine |
//! | `gguf`, `folder` | what a file or a folder says of itself, and the refusals of what mistralrs cannot do with it |
//! | `gemma3` | the model that reads pictures, and how they come to it |
//! | `pipeline` | the files to mistralrs; nothing is ever fetched |
//! | `words` | `tokenizer.json` as a tokenizer of ours |
//! | `stand_in` | the tokenizer that mistralrs gets: numbers, one of which ends a sequence |
//! | `runner` | choices in, rows of logits out |
//!
//! Knows nothing of HTTP, policies or hosts; nothing outside it knows mistralrs.

mod error;
mod folder;
mod gemma3;
mod gguf;
mod load;
mod options;
mod pipeline;
mod runner;
mod stand_in;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod words;

pub use error::LoadError;
pub use load::{Told, check_isq, load, told};
pub use options::{Device, Options};
pub use words::WordsError;
