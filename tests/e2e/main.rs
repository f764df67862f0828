//! End to end: a real gateway process, real sockets, real files.

mod affinity;
mod again;
mod anchors;
mod apis;
mod backtest;
mod bad_input;
mod batches;
mod bench;
mod budgets;
mod crash;
#[cfg(feature = "engines")]
mod engines;
mod every_api;
mod evidence;
mod fairness;
mod fleet;
mod forms;
mod gateways;
mod golden;
mod handling;
mod hosts;
mod indexed;
mod instance;
mod kept;
mod keys;
mod licence;
mod models;
mod parquet;
mod policy;
mod privacy;
mod proxy;
mod questions;
mod quotas;
mod readme;
mod reconcile;
mod residency;
mod sealed;
mod spoken;
mod tasks;
mod tools;
mod zero_config;

/// A gateway that is yet to be started.
fn pointsman() -> tests::Builder {
    tests::Builder::new(env!("CARGO_BIN_EXE_pointsman-under-test"))
}
