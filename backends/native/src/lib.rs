//! Our own engine: runs GGUF models inside the gateway process.
//!
//! From file to answer: [`gguf`] checks the file, [`tokenizer`] and [`template`] turn a conversation into tokens,
//! [`model`] computes what may follow, [`sampler`] chooses. The scheduler thread behind [`Engine`] does this for
//! several requests at once and sends the pieces as events. It reads the llama architecture, and answers in
//! text: tools and JSON schemas are not enforced.
//!
//! Knows nothing of HTTP, hosts, policies or licences (the licence named in a file is passed on as text).

mod engine;
pub mod gguf;
pub mod model;
mod output;
mod prepare;
pub mod sampler;
mod scheduler;
pub mod template;
mod tensor;
pub mod tokenizer;
mod tokens;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use engine::{Engine, Info, LoadError, Options, Source};
pub use kernels::{Isa, Tier};

/// The best instruction set of this machine, which engines use if not told otherwise.
pub fn instruction_set() -> &'static str {
    Isa::best().name()
}
