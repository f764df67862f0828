//! What Pointsman knows about open models, and whether a use of one is allowed.
//!
//! Data lives in `data/` as YAML that people read and edit: one row per model, licence, host, server, quantization and
//! price. [`Catalog::builtin`] holds it; a company adds its own rows with [`Catalog::with_overlays`]. [`decide`] turns a
//! model and a [`Use`] into a [`Decision`] with its reason. [`advise`] ranks the models for a task by those decisions, the
//! map's selection matrix and the memory that each takes ([`fit`]).
//!
//! Fail closed: what the catalog does not know is denied, and `None` never means "no restriction".
//!
//! Not here: clocks, I/O, HTTP, routing. Nothing in this crate is legal advice.

#![forbid(unsafe_code)]

mod advise;
mod builtin;
mod catalog;
mod check;
mod country;
mod decide;
pub mod fit;
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

pub use advise::{
    Advice, Answer, CONTEXT_UNASKED, Choice, Fork, Guide, LicenseFirst, Obstacle, Offer, Order, Place, Question,
    RuledOut, Rung, Scenario, Trouble, advise,
};
pub use catalog::Catalog;
pub use country::{country_meant, is_country};
pub use decide::{Decision, Exposure, Outcome, Purpose, RULES, Use, decide, decision};
pub use host::{Auth, Dialect, Host, HostKind, Paths, StreamUsage};
pub use license::{Applies, License, LicenseText, Obligation, ObligationKind, Territory};
pub use load::overlay_schema;
pub use model::{Availability, Differs, Kind, Modalities, Modality, Model};
pub use price::{ListingStatus, Price, Relation};
pub use problem::Problem;
pub use quantization::Quantization;
pub use server::{Server, ServerKind};
pub use tier::Tier;
