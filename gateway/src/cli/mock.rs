//! `pointsman mock`: a host that speaks the OpenAI-compatible dialect and fails on demand.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use clap::Args;
use scripted::{Fault, Script};
use tokio::net::TcpListener;

use super::print;

/// Run a host that answers like a provider and fails on demand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman mock &
  GROQ_API_KEY=any GROQ_BASE_URL=http://127.0.0.1:9090/v1 pointsman serve

A model name asks for a fault: `fault-500`, `fault-cut-after-3` and so on; the start prints all of them.")]
pub(super) struct Mock {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Pieces that a streamed answer is cut into
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    chunks: u16,
    /// Pause between pieces, such as 5ms
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Send everyone the same answer, built once: for benchmarks
    #[arg(long)]
    fast: bool,
}

/// Runs until it is stopped.
pub(super) fn run(args: &Mock) -> anyhow::Result<()> {
    let chunks = usize::from(args.chunks);
    let script = match args.fast {
        true => Script::fast(chunks, args.interval),
        // Nobody asks this process for the requests it got.
        false => Script { chunks, interval: args.interval, record: 0, ..Script::default() },
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another address with --listen", args.listen))?;
        let faults: String = Fault::TABLE.iter().map(|(name, what)| format!("  {name:<30}  {what}\n")).collect();
        let address = listener.local_addr()?;
        // Printed only now: whoever reads it may connect.
        print(&format!("mock host at http://{address}/v1\n\nmodels that fail on demand\n{faults}"))?;
        tokio::select! {
            () = scripted::serve(listener, script) => Ok(()),
            stopped = tokio::signal::ctrl_c() => stopped.context("cannot wait for Ctrl-C"),
        }
    })
}
