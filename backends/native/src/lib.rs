//! Our own engine: runs GGUF models inside the gateway process.
//!
//! From file to answer: [`gguf`] checks the file, [`tokenizer`] and [`template`] turn a conversation into tokens,
//! [`model`] computes what may follow, `grammar` says what of that may stand in an answer of an asked form, [`sampler`]
//! chooses, `reasoning` parts what the model writes for itself from its answer, and `calls` takes tool calls out of that. The scheduler thread behind [`Engine`] does this for several
//! requests at once and sends the pieces as events. It reads the llama architecture.
//!
//! Knows nothing of HTTP, hosts, policies or licences (the licence named in a file is passed on as text).

mod calls;
mod engine;
mod form;
pub mod gguf;
mod grammar;
pub mod model;
mod output;
mod prepare;
mod reasoning;
pub mod sampler;
mod scheduler;
pub mod template;
mod tensor;
pub mod tokenizer;
mod tokens;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

/// What the readers of tool calls and reasoning promise of any text, for their tests and their fuzz target.
#[cfg(any(test, fuzzing))]
pub use calls::promises;

pub use engine::{Engine, Info, LoadError, Options, Source};
pub use kernels::{Isa, Tier};

/// The best instruction set of this machine, which engines use if not told otherwise.
pub fn instruction_set() -> &'static str {
    Isa::best().name()
}
