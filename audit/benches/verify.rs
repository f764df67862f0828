//! What it costs to verify a ledger: `cargo bench -p audit`, or `-- --test` for a small one, once.
//!
//! A gateway writes a decision and an outcome for each request, about 600 bytes each. Beside the verification stands a
//! yardstick of the same run: the same files are read and hashed by SHA-256 as they lie, on one thread. The files are warm in
//! both cases. `AUDIT_BENCH_DIR` puts the ledger on the disk that is of interest; without it, the temporary directory.

use std::{
    env, fs,
    io::Read as _,
    path::Path,
    time::{Duration, Instant},
};

use audit::{
    note::VerifierKey,
    verify::{Verdict, verify},
};
use ledger::{AppendError, Ledger, Options};
use serde_json::json;

const RUNS: usize = 5;

fn main() {
    let brief = env::args().any(|arg| arg == "--test");
    let (records, runs) = if brief { (2_000, 1) } else { (1_000_000, RUNS) };
    let parent = env::var_os("AUDIT_BENCH_DIR").map_or_else(env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let key = written(folder.path(), records);
    let bytes = hashed(folder.path());
    println!("{records} records, {} MB, {} threads", bytes / 1_000_000, thread_count());
    let (mut read, mut verified) = (Duration::MAX, Duration::MAX);
    for _ in 0..runs {
        let start = Instant::now();
        assert_eq!(hashed(folder.path()), bytes);
        read = read.min(start.elapsed());
        let start = Instant::now();
        let report = verify(folder.path(), &key, &[]);
        verified = verified.min(start.elapsed());
        assert_eq!((report.verdict, report.signed), (Verdict::Ok, records), "{report:?}");
    }
    let ratio = verified.as_secs_f64() / read.as_secs_f64();
    println!("read and hashed as they lie, one thread   {:8.3} s", read.as_secs_f64());
    println!("verified                                  {:8.3} s   {ratio:.2} of it", verified.as_secs_f64());
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A ledger of so many records, and its key.
fn written(folder: &Path, records: u64) -> VerifierKey {
    let (ledger, _) = Ledger::open(folder, Options::default()).expect("opens");
    let mut last = None;
    for number in 0..records {
        let record = record(number);
        loop {
            match ledger.append(&record) {
                Ok(ticket) => break last = Some(ticket),
                Err(AppendError::Full { .. }) => {
                    last.take().map(ledger::Ticket::wait).transpose().expect("durable");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    ledger.close().expect("all is durable");
    ledger.verifier_key().expect("it is signed").parse().expect("a key")
}

/// As large as what the gateway writes.
fn record(number: u64) -> serde_json::Value {
    let request = format!("0198c1f2-7d3e-7a51-9f00-{:012x}", number / 2);
    let time = 1_793_491_200_000 + number;
    match number % 2 {
        0 => json!({
            "v": 1, "kind": "decision", "time": time, "request": request, "api": "chat", "team": "support", "key": "support-1",
            "context": "support-bot", "use": "customer-support", "asked": "auto", "policy": "sha256:7f6f0a11c1f27d3e7a519f00",
            "candidates": [
                {"model": "kanana-1.5-8b", "deployment": "lab-vllm", "licence": "Apache-2.0", "tier": 1, "verdict": "allow"},
                {"model": "qwen3-32b", "deployment": "lab-vllm", "licence": "Apache-2.0", "tier": 1, "verdict": "allow"},
                {"model": "llama-3.3-70b-instruct", "deployment": "groq-70b", "licence": "Llama-3.3", "tier": 2, "verdict": "deny"},
            ],
            "rule": "tier1-free", "route": "cheapest",
        }),
        _ => json!({
            "v": 1, "kind": "outcome", "time": time, "request": request, "status": "completed", "http": 200,
            "deployment": "lab-vllm", "model": "kanana-1.5-8b", "licence": "Apache-2.0", "tier": 1, "cached": false,
            "attempts": [
                {"deployment": "lab-vllm", "error": "overloaded", "status": 503, "after_ms": 12, "text": "x".repeat(90)},
                {"deployment": "lab-vllm", "error": null, "status": 200, "after_ms": 1_203, "text": "y".repeat(90)},
            ],
            "tokens": {"prompt": 1_024, "cached": 512, "completion": 240, "reasoning": 0}, "cost": 0.000_412, "first_ms": 80,
        }),
    }
}

/// Reads and hashes every segment; says how many bytes that were.
fn hashed(folder: &Path) -> u64 {
    let (mut bytes, mut chunk) = (0, vec![0; 1 << 20]);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let (mut file, mut hash) =
                (fs::File::open(path).expect("readable"), ring::digest::Context::new(&ring::digest::SHA256));
            while let got @ 1.. = file.read(&mut chunk).expect("readable") {
                hash.update(&chunk[..got]);
                bytes += got as u64;
            }
            hash.finish();
        }
    }
    bytes
}
