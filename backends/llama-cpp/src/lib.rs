//! llama.cpp in this process, behind the shared [`Engine`](engine::Engine): whatever GGUF file it reads, it serves.
//!
//! [`load`] checks the file with our own reader and then lets llama.cpp read it; `steps` is the one thread that owns the
//! context, with one batch for all sequences, and `pool` the same for a model that reads texts and writes none; `prefix` knows
//! which tokens the cache of keys and values holds, and for whom, where sequences share it and do not have a window each;
//! `abort` lets a step be given up; `words` is the vocabulary of files whose tokenizer only llama.cpp reads; `compiled` says
//! what the library was built for, and refuses a build that would be slow without saying so; `vision` reads pictures; `devices`
//! says which layers graphics cards compute.
//!
//! Templates, sampling, forms, tool calls and scheduling are the shared crate's: a request means the same here as on the
//! native engine. Knows nothing of HTTP, hosts, policies or licences.

mod abort;
mod compiled;
mod devices;
mod load;
mod pool;
mod prefix;
mod steps;
#[cfg(test)]
mod tests;
mod vision;
mod words;

pub use compiled::Mismatch;
pub use devices::{Placed, TooMany};
pub use load::{LoadError, Options, Watch, backend, load, placed, reads};
