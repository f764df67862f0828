//! `pointsman bench`: measures what runs on this machine.

mod engines;
mod model;

use clap::{Args, Subcommand};

/// Measure what runs on this machine
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Engines(engines::Engines),
    Model(model::Model),
}

/// False where nothing could be measured.
pub(super) fn run(args: &Bench) -> anyhow::Result<bool> {
    match &args.command {
        Command::Engines(asked) => engines::run(asked),
        Command::Model(asked) => model::run(asked).map(|()| true),
    }
}
