//! Models at hosts and servers.
//!
//! [`Remote`] is a [`Backend`] for one model at one place that speaks the OpenAI-compatible dialect, described by a
//! [`Target`]: pure data, no host has code of its own. The caller's bytes go out with nothing changed but the model's
//! name, `stream_options.include_usage` and fields that the host calls otherwise; the host's bytes come back as they
//! are. [`Replicate`] is a backend for the one host whose API has another shape. [`Fleet`] is one over several endpoints
//! that serve the same model.
//!
//! Read in this order: `target` (what a place wants), `remote` (one exchange), `reader` (what a stream may look
//! like), `report` (whose fault an error is), `probe` (how a server is between requests), `fleet` (which endpoint of
//! many), `discovery` (where they are). `tests/faults.rs` holds the
//! outcome of every fault as a table, `promises` what holds of anything that a host may send.
//!
//! It sets no deadline but that of a connection ([`connect_within`]), retries nothing that was sent and chooses among no
//! deployments: all that is the gateway's.
//!
//! # What becomes of every fault
//!
//! A test plays each fault of the scripted host and holds this table. "At once" is before `generate` has
//! returned; silence is for the gateway's deadlines to end.
//!
#![doc = include_str!("../tests/faults.md")]
#![forbid(unsafe_code)]

mod address;
mod body;
mod chunk;
mod client;
mod connector;
mod discovery;
mod document;
mod fetch;
mod fleet;
mod gauge;
mod moment;
mod named;
mod own;
mod probe;
#[cfg(any(test, fuzzing))]
pub mod promises;
mod proxy;
mod quota;
mod reader;
mod refusal;
mod remote;
mod rename;
mod replicate;
mod report;
mod retry_after;
mod secret;
mod sse;
mod stream;
mod streamed;
mod target;
mod task;
mod whole;

use std::sync::Arc;

use backends::{Backend, BackendId};
use catalog::Dialect;

pub use address::BaseUrl;
pub use client::{Client, ClientError, ClientOptions};
pub use connector::connect_within;
pub use discovery::{DISCOVERY_FAILURES, FormOf, MOST_ENDPOINTS, Replicas, Wrong, addresses_of};
#[cfg(feature = "kubernetes")]
pub use discovery::{KubernetesService, ServicePort};
pub use fetch::{FetchOptions, Fetched, Fetcher, Guard};
pub use fleet::{EJECTED, ENDPOINTS, Fleet};
pub use named::naming;
pub use probe::Probing;
pub use proxy::Proxies;
pub use reader::Reader;
pub use remote::Remote;
pub use replicate::Replicate;
pub use secret::Secret;
pub use sse::data as sse_data;
pub use streamed::Streamed;
pub use target::{Auth, Limits, Parameter, Paths, Target, TargetError};

/// A backend for a target, of the kind that its dialect asks for. Connects to nothing yet.
///
/// # Errors
/// When the target cannot be called as it stands; the message names the field.
pub fn backend(id: BackendId, target: Target, client: &Client) -> Result<Arc<dyn Backend>, TargetError> {
    Ok(match target.dialect {
        Dialect::Openai => Arc::new(Remote::new(id, target, client)?),
        Dialect::Replicate => Arc::new(Replicate::new(id, target, client)?),
    })
}
