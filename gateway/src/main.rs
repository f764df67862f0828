//! The binary `pointsman`: the command line's entry point and the choice of the allocator.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A proxy allocates small things on one thread and frees them on another, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
