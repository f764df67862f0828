//! What engines in this process share, so that a request means the same on each: all but the computing.
//!
//! From file to answer: [`gguf`] checks the file ([`adapter`] whether one fits another), [`tokenizer`] and [`template`] turn a conversation into tokens, [`Steps`]
//! is what an engine computes from them, `grammar` says what of that may stand in an answer of an asked form, [`sampler`]
//! chooses, `reasoning` parts what the model writes for itself from its answer, and `calls` takes tool calls out of that.
//! The scheduler thread behind [`Engine`] does this for several requests at once and sends the pieces as events. For a model
//! that writes no text [`encoder`] stands in its place: texts in, vectors or an order out.
//!
//! Knows nothing of HTTP, hosts, policies or licences (the licence named in a file is passed on as text), and not how
//! anything is computed.

pub mod adapter;
mod cache_type;
mod calls;
pub mod encoder;
mod form;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
pub mod gguf;
mod grammar;
mod info;
mod output;
mod pictures;
mod prepare;
mod reasoning;
pub mod sampler;
mod scheduler;
mod served;
pub mod template;
pub mod tokenizer;
mod tokens;
mod windows;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

/// What the readers of tool calls and reasoning promise of any text, for their tests and their fuzz target.
#[cfg(any(test, fuzzing))]
pub use calls::promises;

pub use cache_type::CacheType;
pub use info::{DEFAULT_CONTEXT, DEFAULT_SEQUENCES, Facts, Info, Purpose};
#[cfg(feature = "pixels")]
pub use pictures::pixels;
pub use pictures::{PICTURE, Placed, Seen, Vision};
pub use prepare::Speech;
pub use scheduler::{Ahead, Drafted, Guesses, Halt, Holds, Interest, Start, Steps, Token, Worker, Writes, Writing};
pub use served::Engine;
pub use windows::{Contents, Windows};
