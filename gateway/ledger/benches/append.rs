//! What a durable record costs: `cargo bench -p ledger`, or `-- --test` to run each case once and briefly.
//!
//! Each appender is an async task that appends a decision-sized record and waits for its ticket, as a request does.
//! `call` is the time spent in `append`, which is what a request pays; `durable` is the time until the ticket
//! resolved, which overlaps the model's own latency. CPU is that of the whole process, per record.
//!
//! Yardsticks of the same run: what a `write` and a sync of one record cost on that disk, with nothing else; and what it
//! costs to make the JSON of a record, which `append` has in it. Overload: ten times as many records are tried as are
//! written, and nobody waits; how many were refused, and what memory the process took.
//! `LEDGER_BENCH_DIR` puts the ledger on the disk that is of interest; without it, the temporary directory.

use std::{
    env, fs,
    hint::black_box,
    io::Write as _,
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
    yardsticks(time / 3);
    overload(time);
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

/// The costs that no log can be below.
fn yardsticks(time: Duration) {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).expect("a folder");
    let bytes = serde_json::to_vec(&record(0)).expect("JSON");
    // Into room that is there already, as the ledger writes.
    let path = dir.0.join("yardstick");
    fs::write(&path, vec![0; 64 << 20]).expect("room");
    let mut file = fs::File::options().write(true).open(path).expect("opens");
    file.sync_all().expect("synced");
    let (mut syncs, mut calls) = (Vec::new(), Vec::new());
    let end = Instant::now() + time;
    while Instant::now() < end && syncs.len() * bytes.len() < 63 << 20 {
        let start = Instant::now();
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
        syncs.push(start.elapsed());
    }
    for number in 0..syncs.len().max(10_000) as u64 {
        let start = Instant::now();
        black_box(serde_json::to_vec(&record(number)).expect("JSON"));
        calls.push(start.elapsed());
    }
    let length = bytes.len();
    println!("yardsticks, p50/p99 us: write and sync of one record {}", quantiles(&mut syncs));
    println!("                        JSON of one record, {length} bytes {}", quantiles(&mut calls));
}

/// Ten times what is written is tried: the log is held back to a group of 4,096 records each 20 ms, a slow disk.
fn overload(time: Duration) {
    let dir = Dir::new();
    let pace = Duration::from_millis(20);
    let options = Options { queue_records: 4_096, queue_bytes: 2 << 20, pace, ..Options::default() };
    let (ledger, _) = Ledger::open(&dir.0, options).expect("opens");
    let before = resident();
    let (mut taken, mut refused, mut most_queued, mut most_resident) = (0_u64, 0_u64, 0, 0);
    let end = Instant::now() + time;
    while Instant::now() < end {
        // As many tries as ten times what was taken so far allow, and a first burst.
        let tries = (10 * taken + 50_000).saturating_sub(taken + refused).min(50_000);
        for number in 0..tries {
            match ledger.append(&record(number)) {
                Ok(_) => taken += 1,
                Err(AppendError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        most_queued = most_queued.max(ledger.status().queued_bytes);
        most_resident = most_resident.max(resident());
        std::thread::yield_now();
    }
    ledger.close().expect("everything that was taken is durable");
    assert_eq!(ledger.status().durable_records, taken);
    println!(
        "overload: {:.0} records/s tried, {:.0} written, {:.1} times as many; {:.0} % refused; at most {:.1} MiB queued; \
         memory {:.1} MiB before, at most {:.1}",
        (taken + refused) as f64 / time.as_secs_f64(),
        taken as f64 / time.as_secs_f64(),
        (taken + refused) as f64 / taken as f64,
        100.0 * refused as f64 / (taken + refused) as f64,
        mebibytes(most_queued as u64),
        mebibytes(before),
        mebibytes(most_resident),
    );
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux /proc");
    4096 * statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages")
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
