//! Policies: from policy text, catalog and facts to who serves a request, and why.
//!
//! [`compile`] turns YAML into a [`PolicySet`] or says everything that is wrong with it, each at its line with a hint
//! ([`Diagnostic`]). [`plan`] turns the [`Facts`] of a request and a [`Snapshot`] of the world into a [`Plan`]: ordered
//! candidates with their scores and licence decisions, everyone who was rejected and why, and a [`Verdict`]. The same
//! function serves traffic, `explain`, policy tests and the audit replay.
//!
//! The offline tools ask that function about every kind of request that the routes tell apart ([`Cells`]): [`run_tests`]
//! with [`coverage()`] and [`mutate()`], [`diff()`] of two versions, [`prove()`] of a claim, and [`remedies`] for who is refused.
//! [`layout()`] writes a file as everybody writes it.
//!
//! Pure: no clock, no I/O, no HTTP, no threads. Time, health and statistics come in as facts.
//!
//! # How candidates are ordered
//!
//! - An alias stands for the name that it leads to; a suffix such as `:cheap` behind a name that nobody has as a whole
//!   takes the place of the route's `prefer`.
//! - The first route whose `match` takes the request decides. A model asked for by its own name that no route takes has
//!   the implicit route `direct`: every deployment of that model.
//! - `candidates` is read in stages. `any` stands for every deployment that the list does not name, and is a stage of
//!   its own; what is named before it comes first, what is named after it comes last. The demo model, where `any` or
//!   another wildcard reaches it, comes after everything.
//! - Within a stage the order of the list decides, or the score where the route has `prefer`; the list then breaks ties,
//!   and among the deployments of one entry the request's own draw.
//! - Where the score decides, at most 1 request in 50 goes first to a deployment that nothing was heard of lately.
//! - What is not known never counts as 0: see [`Score`].

#![forbid(unsafe_code)]

mod attempts;
mod bind;
mod cases;
mod cells;
mod check;
mod claim;
mod compile;
pub mod condition;
mod coverage;
mod diag;
mod diff;
mod effect;
mod eligible;
mod facts;
mod layout;
mod mutate;
mod naming;
mod parse;
mod places;
mod plan;
mod preset;
mod prove;
mod quality;
mod read;
mod remedy;
mod route;
mod rules;
mod schema;
mod scope;
mod set;
mod split;
mod suffix;
mod table;
mod unmet;
mod window;
mod yaml;

pub use attempts::{Attempts, Deadlines, FailureClass, FailureClasses, Group, HedgeAfter, Queue, Reuse};
pub use cases::{TestResult, run_tests};
pub use cells::{Caller, Cell, Cells, Example, MAX_CELLS, Only, TooManyCells, every_caller, every_use};
pub use claim::{Claim, ClaimError, GRAMMAR};
pub use compile::{Declared, Source, compile, compile_declared};
pub use condition::{Condition, ConditionError};
pub use coverage::{Coverage, Covered, Missed, coverage};
pub use diag::{Code, Diagnostic, Report, Severity};
pub use diff::{Change, Diff, Pair, What, diff, pairs};
pub use effect::{Effect, Serves};
pub use facts::{Capabilities, Capability, Deployment, Facts, Live, MAX_VALUE, Needs, Place, Snapshot, Spread, Task};
pub use layout::{LayoutError, layout};
pub use mutate::{MAX_MUTATIONS, Mutation, Unnoticed, mutate};
pub use naming::AskedAs;
pub use places::Spot;
pub use plan::{
    AlertReport, ArmReport, Candidate, CandidateReport, Cause, Factor, MAX_CANDIDATES, Plan, PlanReport, Reason,
    Rejected, RejectedReport, Score, ShadowReport, Verdict, plan,
};
pub use prove::{Counterexample, Proof, Reached, prove};
pub use remedy::{MAX_REMEDIES, Remedy, remedies};
pub use route::SCRIPTS;
pub use schema::schema;
pub use scope::Scope;
pub use set::{Alert, DIRECT, PolicySet};
pub use suffix::Suffix;
