//! Our own engine: computes GGUF models of the llama architecture inside the gateway process.
//!
//! [`model`] binds the weights of a file and computes what may follow; [`load`] puts it behind the shared
//! [`Engine`](engine::Engine), which speaks, schedules and chooses; `sequences` is what lies between, and knows what of an
//! earlier sequence a new one goes on from. [`draft`] is a smaller model beside it, which guesses what it will say.
//!
//! Knows tokens as numbers only: nothing of text, sampling, requests or HTTP.

pub mod draft;
mod load;
pub mod model;
mod sequences;
mod tensor;

pub use kernels::{Isa, Tier};
pub use load::{LoadError, Options, Source, load};

/// The best instruction set of this machine, which engines use if not told otherwise.
pub fn instruction_set() -> &'static str {
    Isa::best().name()
}
