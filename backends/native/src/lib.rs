//! Our own engine: computes GGUF models of the architectures of llama, Mamba and BERT inside the gateway process.
//!
//! [`model`] binds the weights of a file and computes what may follow; [`load`] puts it behind the shared
//! [`Engine`](engine::Engine), which speaks, schedules and chooses; `sequences` is what lies between, and knows what of an
//! earlier sequence a new one goes on from; `packed` keeps packed weights for the next start. [`draft`] is a smaller model beside
//! it, which guesses what it will say. [`encoder`] is the same for models that read texts and write none, with `texts` between.
//!
//! Knows tokens as numbers only: nothing of text, sampling, requests or HTTP.

pub mod draft;
pub mod encoder;
mod load;
pub mod machine;
pub mod model;
mod packed;
mod sequences;
mod tensor;
mod texts;

pub use kernels::{Isa, Tier};
pub use load::{LoadError, Options, Source, load, reads};
pub use packed::PackedFiles;

/// The best instruction set of this machine, which engines use if not told otherwise.
pub fn instruction_set() -> &'static str {
    Isa::best().name()
}
