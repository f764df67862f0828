//! Small random models in memory, for tests: a GGUF file in the making, quantisers, a llama-shaped model, a BERT-shaped one, a
//! projector, which makes pictures into what such a model reads, and pictures.
//!
//! Everything is seeded, so a test sees the same model on every machine. The quantisers are the plainest
//! that make valid blocks; they are no measure of how well a real quantiser does.

mod bert;
mod clip;
mod llama;
mod png;
mod quantise;
mod writer;

pub use bert::Bert;
pub use clip::{Clip, Projection};
pub use llama::{Llama, Scaling, Vocabulary};
pub use png::{crc32, picture};
pub use quantise::quantise;
pub use writer::Writer;

pub use crate::gguf::Meta;
