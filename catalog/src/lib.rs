//! What Pointsman knows about open models, and whether a use of one is allowed.
//!
//! Data lives in `data/` as YAML that people read and edit: one row per model, licence, host, server, quantization,
//! price, benchmark, way of fine-tuning and piece of hardware. [`Catalog::builtin`] holds it; a company adds its own rows
//! with [`Catalog::with_overlays`]: models and licences, and what it has attested, agreed and waived. [`decide()`] turns a
//! model, a [`Use`] and a [`Date`] into a [`Decision`] with its reason, [`explain`] says clause by clause why, and a
//! [`Class`] keeps the decisions of a use for a request to look up. [`as_of`] tells what licences held on a day, as known
//! on another. [`advise()`] ranks the models for a task by those decisions, the map's selection matrix and the memory that
//! each takes ([`fit`]).
//!
//! Fail closed: what the catalog does not know is denied, and `None` never means "no restriction".
//!
//! Not here: clocks, I/O, HTTP, routing. Nothing in this crate is legal advice.

#![forbid(unsafe_code)]

mod advise;
mod assumed;
mod benchmark;
pub mod bom;
mod builtin;
mod card;
mod catalog;
mod check;
mod clarification;
mod company_rule;
mod country;
mod date;
mod decide;
mod declared;
mod evidence;
mod expression;
mod fine_tuning;
pub mod fit;
mod hardware;
mod health;
mod history;
mod host;
mod inherit;
mod license;
mod load;
mod model;
mod nearest;
mod notice;
mod price;
mod problem;
mod quantization;
mod rate_limit;
mod server;
mod signer;
mod standing;
mod tier;
mod usage;
mod usage_paths;
mod without;

pub use advise::{
    Advice, CONTEXT_UNASKED, Choice, Fork, ForkAnswer, Guide, LicenseFirst, Obstacle, Offer, Order, Place, Question,
    RuledOut, Rung, Scenario, Trap, Trouble, advise,
};
pub use assumed::{ASSUMED, ASSUMED_ENTITY};
pub use benchmark::{Benchmark, BenchmarkKind, Unit};
pub use card::{Card, MAX_CARD_BYTES};
pub use catalog::Catalog;
pub use clarification::{Clarification, Weights};
pub use company_rule::{CompanyRule, Mode, ModelsWhere, RuleSpoke, Then, UsesWhere};
pub use country::{country_meant, is_country};
pub use date::{Date, Month, NotADate, NotAMonth};
pub use decide::{
    Affiliate, Change, Class, Decision, Duty, DutyState, Explanation, Need, Outcome, Owed, RULES, Step, StepOutcome,
    acquired, can_be_waived, decide, decide_served, duties, duties_checked, explain,
};
pub use declared::{Declaration, Finding, Weight, compare};
pub use evidence::{Evidence, PageCheck, PageChecks, PageResult};
pub use expression::{ChoiceError, Expression, ExpressionError};
pub use fine_tuning::{Binds, FineTuning, FineTuningKind, Makes};
pub use hardware::{Hardware, HardwareKind};
pub use health::{HealthFinding, HealthKind, health};
pub use history::{Terms, Was, as_of};
pub use host::{Auth, Dialect, ErrorShape, Host, HostKind, Paths, StreamUsage};
pub use license::{
    Answer, Applies, BindsCallers, Condition, Grant, HostedService, License, LicenseText, Metric, Obligation,
    ObligationKind, Outputs, Scope, Territory, Training,
};
pub use load::overlay_schema;
pub use model::{Availability, Derivation, Differs, Kind, Modalities, Modality, Model, Parent, Task};
pub use notice::{KindOfDuty, LicenseNotice, NamedModel, Notice, notice, quoted};
pub use price::{ListingStatus, Price, Relation};
pub use problem::Problem;
pub use quantization::Quantization;
pub use rate_limit::{Limited, RateLimit, Refill};
pub use server::{Adapters, Detokenize, LongPrompt, Metrics, Server, ServerKind, ServerPaths, Tokenize};
pub use signer::{Signature, SignedKind, Signer, ToSign};
pub use standing::{Agreement, Attestation, Waiver};
pub use tier::Tier;
pub use usage::{Activity, Domain, Exposure, Purpose, Use};
pub use usage_paths::UsagePaths;

/// Whether a key of a row may be left out when it is written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
