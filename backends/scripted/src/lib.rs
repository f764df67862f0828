//! A host that speaks the OpenAI-compatible dialect over a real socket and fails on demand.
//!
//! Tests, benchmarks and `pointsman mock` use it in place of an upstream: the bytes travel through a real
//! kernel, so what is proved here holds for real hosts. Answers are deterministic: they repeat the last user
//! text. A fault is chosen by the model name (`fault-cut-after-3`, see [`Fault::TABLE`]) or set up for the next
//! request with [`Host::script_next`].
//!
//! It keeps no clock but tokio's and waits only where a script says so. It knows nothing of the gateway.

#![forbid(unsafe_code)]

mod answer;
mod ask;
mod fault;
mod gauge;
mod host;
mod play;
mod reply;
mod script;

pub use fault::{Fault, RetryAfter, UnknownFault};
pub use host::{Host, Recorded, serve};
pub use script::Script;
