//! `pointsman mock`: a host that speaks the OpenAI-compatible dialect and fails on demand.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use clap::Args;
use scripted::{Door, Fault, Host, Script};
use tokio::net::TcpListener;

use super::print;

/// Run a host that answers like a provider and fails on demand
#[derive(Debug, Args)]
#[command(after_help = faults())]
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
    /// Open another address that fails so before it reads a request; may be given several times
    #[arg(long, value_name = "DOOR", value_parser = door)]
    door: Vec<Door>,
}

/// Where the help ends: examples, and every fault with its name.
fn faults() -> String {
    let row = |name: &str, what: &str| format!("  {name:<30}  {what}\n");
    let models: String = Fault::TABLE.iter().map(|(name, what)| row(name, what)).collect();
    let doors: String = Door::TABLE.iter().map(|(_, name, what)| row(name, what)).collect();
    format!(
        "\
Examples:
  pointsman mock --door refuse --door expired-certificate &
  GROQ_API_KEY=any GROQ_BASE_URL=http://127.0.0.1:9090/v1 pointsman serve

Models that fail on demand (numbers may be others):
{models}
Doors, for what a model name cannot choose:
{doors}"
    )
}

fn door(name: &str) -> Result<Door, String> {
    name.parse().map_err(|_| format!("expected one of {}", Door::TABLE.map(|(_, name, _)| name).join(", ")))
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
        let host = Host::on(listener, script)?;
        let mut start = format!("mock host at {}\n", host.base_url());
        for door in &args.door {
            let address = host.open(*door).await.with_context(|| format!("cannot open the door `{door}`"))?;
            start += &format!("{door} at {address}\n");
        }
        // Printed only now: whoever reads it may connect.
        print(&format!("{start}`pointsman mock --help` lists the models that fail on demand\n"))?;
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
    })
}
