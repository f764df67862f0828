//! A host that speaks the OpenAI-compatible dialect over a real socket and fails on demand.
//!
//! Tests, benchmarks and `pointsman mock` use it in place of an upstream: the bytes travel through a real
//! kernel, so what is proved here holds for real hosts. Answers are deterministic: they repeat the last user
//! text. A fault is chosen by the model name (`fault-cut-after-3`, see [`Fault::TABLE`]) or set up for the next
//! request with [`Host::script_next`]; what fails before a request is read is chosen by the address, a [`Door`].
//!
//! Beside it stand what a test of caching needs: the [`PromptCache`] of such a host, and [`conversations`] to ask it for.
//!
//! It keeps no clock but tokio's and waits only where a script says so. It knows nothing of the gateway.

#![forbid(unsafe_code)]

mod answer;
mod ask;
mod dialect;
mod door;
mod fault;
mod gauge;
mod gzip;
mod host;
mod play;
mod prompt_cache;
mod reply;
mod script;
mod socket;
mod task;
mod workload;

pub use dialect::Dialect;
pub use door::Door;
pub use fault::{Fault, RetryAfter, UnknownFault};
pub use gauge::End;
pub use host::{Host, Recorded};
pub use prompt_cache::PromptCache;
pub use script::Script;
pub use workload::{Asked, at_best, conversations};
