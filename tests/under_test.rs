//! The binary that end-to-end tests start: `pointsman`, built with them.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::main()
}
