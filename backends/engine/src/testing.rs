//! Small random models in memory, for tests: a GGUF writer, quantisers, a llama-shaped model and a BERT-shaped one.
//!
//! Everything is seeded, so a test sees the same model on every machine. The quantisers are the plainest
//! that make valid blocks; they are no measure of how well a real quantiser does.

mod bert;
mod llama;
mod quantise;
mod writer;

pub use bert::Bert;
pub use llama::{Llama, Vocabulary};
pub use quantise::quantise;
pub use writer::{Meta, Writer};
