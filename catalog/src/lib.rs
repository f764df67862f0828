//! What Pointsman knows about open models, and whether a use of one is allowed.
//!
//! Data lives in `data/` as YAML that people read and edit: one row per model, licence, host, server, quantization,
//! price, benchmark, way of fine-tuning and piece of hardware. [`Catalog::builtin`] holds it; a company adds its own rows
//! with [`Catalog::with_overlays`]. [`decide`] turns a model and a [`Use`] into a [`Decision`] with its reason, and
//! [`as_of`] tells what licences held on a day, as known on another.
//!
//! Fail closed: what the catalog does not know is denied, and `None` never means "no restriction".
//!
//! Not here: clocks, I/O, HTTP, routing. Nothing in this crate is legal advice.

#![forbid(unsafe_code)]

mod benchmark;
mod builtin;
mod catalog;
mod check;
mod country;
mod date;
mod decide;
mod fine_tuning;
mod hardware;
mod history;
mod host;
mod license;
mod load;
mod model;
mod nearest;
mod price;
mod problem;
mod quantization;
mod server;
mod tier;

pub use benchmark::{Benchmark, BenchmarkKind, Unit};
pub use catalog::Catalog;
pub use country::{country_meant, is_country};
pub use date::{Date, NotADate};
pub use decide::{Decision, Exposure, Outcome, Purpose, RULES, Use, decide, decision};
pub use fine_tuning::{Binds, FineTuning, FineTuningKind, Makes};
pub use hardware::{Hardware, HardwareKind};
pub use history::{Terms, Was, as_of};
pub use host::{Auth, Dialect, ErrorShape, Host, HostKind, Paths, StreamUsage};
pub use license::{Applies, License, LicenseText, Obligation, ObligationKind, Territory};
pub use load::overlay_schema;
pub use model::{Availability, Differs, Kind, Modalities, Modality, Model};
pub use price::{ListingStatus, Price, Relation};
pub use problem::Problem;
pub use quantization::Quantization;
pub use server::{LongPrompt, Metrics, Server, ServerKind};
pub use tier::Tier;
