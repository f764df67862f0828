//! What a durable record costs: `cargo bench -p ledger`, or `-- --test` to run each case once and briefly.
//!
//! Each appender is an async task that appends a decision-sized record and waits for its ticket, as a request does.
//! `call` is the time spent in `append`, which is what a request pays; `durable` is the time until the ticket
//! resolved, which overlaps the model's own latency. CPU is that of the whole process, per record.
//! `LEDGER_BENCH_DIR` puts the ledger on the disk that is of interest; without it, the temporary directory.

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use ledger::{AppendError, Ledger, Options};
use serde::Serialize;

/// About as large as what the gateway writes before it calls an upstream.
#[derive(Serialize)]
struct Record {
    kind: &'static str,
    request: &'static str,
    team: &'static str,
    context: &'static str,
    asked: &'static str,
    candidates: [&'static str; 3],
    rule: &'static str,
    number: u64,
}

fn record(number: u64) -> Record {
    Record {
        kind: "decision",
        request: "0198c1f2-7d3e-7a51-9f00-2b8f7f6f0a11",
        team: "support",
        context: "support-bot",
        asked: "auto",
        candidates: ["kanana-1.5-8b@lab-vllm", "qwen3-32b@lab-vllm", "llama-3.3-70b-instruct@groq-70b"],
        rule: "tier1-free",
        number,
    }
}

fn main() {
    let brief = env::args().any(|arg| arg == "--test");
    let time = if brief { Duration::from_millis(20) } else { Duration::from_secs(3) };
    println!(
        "{:>9}  {:>11}  {:>25}  {:>25}  {:>10}",
        "appenders", "records/s", "call p50/p99 us", "durable p50/p99 us", "CPU us"
    );
    for pace in [Options::default().pace, Duration::ZERO] {
        println!("groups under load at least {pace:?} apart:");
        for appenders in [1, 32, 256] {
            run(appenders, time, pace, Wait::EachRecord);
        }
    }
    println!("not waiting for tickets, except when the queue is full:");
    run(2, time, Options::default().pace, Wait::WhenFull);
}

#[derive(Clone, Copy)]
enum Wait {
    EachRecord,
    WhenFull,
}

fn run(appenders: u64, time: Duration, pace: Duration, wait: Wait) {
    let dir = Dir::new();
    let (ledger, _) = Ledger::open(&dir.0, Options { pace, ..Options::default() }).expect("opens");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (started, cpu) = (Instant::now(), cpu_time());
    let tasks: Vec<_> = (0..appenders)
        .map(|_| {
            let ledger = ledger.clone();
            runtime.spawn(append_until(ledger, started + time, wait))
        })
        .collect();
    let (mut calls, mut durables) = (Vec::new(), Vec::new());
    for task in tasks {
        let (call, durable) = runtime.block_on(task).expect("no panic");
        calls.extend(call);
        durables.extend(durable);
    }
    ledger.close().expect("everything is durable");
    let (elapsed, cpu) = (started.elapsed(), cpu_time() - cpu);
    let records = calls.len();
    println!(
        "{appenders:>9}  {:>11.0}  {:>25}  {:>25}  {:>10.2}",
        records as f64 / elapsed.as_secs_f64(),
        quantiles(&mut calls),
        quantiles(&mut durables),
        cpu.as_secs_f64() * 1e6 / records as f64,
    );
}

async fn append_until(ledger: Ledger, end: Instant, wait: Wait) -> (Vec<Duration>, Vec<Duration>) {
    let (mut calls, mut durables) = (Vec::new(), Vec::new());
    let mut last = None;
    for number in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        match ledger.append(&record(number)) {
            Ok(ticket) => {
                calls.push(start.elapsed());
                match wait {
                    Wait::EachRecord => {
                        ticket.await.expect("durable");
                        durables.push(start.elapsed());
                    }
                    Wait::WhenFull => last = Some(ticket),
                }
            }
            Err(AppendError::Full { .. }) => {
                if let Some(ticket) = last.take() {
                    ticket.await.expect("durable");
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    (calls, durables)
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).map(|time| time.as_secs_f64() * 1e6);
    match (at(0.5), at(0.99)) {
        (Some(half), Some(most)) => format!("{half:.1} / {most:.1}"),
        _ => "-".into(),
    }
}

/// User and system time of all threads of this process; the kernel counts in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("a Linux /proc");
    let after_name = stat.rsplit_once(')').expect("a process name").1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// A directory that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let parent = env::var_os("LEDGER_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        Self(parent.join(format!("ledger-bench-{}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
