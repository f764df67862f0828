//! The binary `pointsman`: nothing but the command line's entry point.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::main()
}
