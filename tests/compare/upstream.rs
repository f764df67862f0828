//! The host that both sides of `tests/compare/gateway` talk to: fast, always the same, paced as asked.
//!
//! `upstream CHUNKS INTERVAL_MS` prints its address and serves until its standard input ends.

use std::{env, io, time::Duration};

use scripted::{Host, Script};

fn main() -> io::Result<()> {
    let mut numbers = env::args().skip(1).map(|arg| arg.parse::<u32>());
    let (Some(Ok(chunks)), Some(Ok(interval)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        return Err(io::Error::other("expected: upstream CHUNKS INTERVAL_MS"));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let script = Script::fast(chunks as usize, Duration::from_millis(interval.into()));
    let host = runtime.block_on(Host::start(script))?;
    println!("{}", host.addr());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(host);
    Ok(())
}
