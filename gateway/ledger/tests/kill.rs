//! Processes that are killed while they append: this test binary runs itself as the one that is killed.
//!
//! A binary of its own, because a process that is only just being made has the locks of the one that makes it.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use audit::verify::{Verdict, verify};
use ledger::{Ledger, Options, read, rotate_key, verifier_key};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tempfile::tempdir;

const ROUNDS: u64 = 50;
const FOLDER: &str = "LEDGER_TEST_KILLED_IN";

fn options() -> Options {
    Options { segment_bytes: 20_000, checkpoints: Some(Duration::from_millis(1)), ..Options::default() }
}

/// The process that is killed; without the variable it is a test that has nothing to do.
#[test]
fn appends_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let (ledger, recovery) = Ledger::open(Path::new(&folder), options()).unwrap();
    let mut number = recovery.records;
    loop {
        let tickets: Vec<_> = (0..5).map(|nth| ledger.append(&format!("record {}", number + nth)).unwrap()).collect();
        number += tickets.len() as u64;
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        eprintln!("acknowledged {number}");
    }
}

#[cfg(unix)]
#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(9);
    let mut first = None;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "appends_until_it_is_killed", "--nocapture", "--test-threads=1"]);
        child.env(FOLDER, dir.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let (mut acknowledged, mut left) = (0, random.random_range(1..60));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while left > 0 {
            let line = lines.next().expect("it appends until it is killed").unwrap();
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = number.parse().unwrap();
                left -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        for line in lines.map_while(Result::ok) {
            acknowledged =
                line.strip_prefix("acknowledged ").and_then(|number| number.parse().ok()).unwrap_or(acknowledged);
        }
        let mut there = 0;
        for record in read(dir.path()).unwrap() {
            let (position, record) = record.unwrap();
            assert_eq!(position.sequence, there, "round {round}: numbers have no gaps");
            assert_eq!(record, format!("\"record {there}\"").into_bytes(), "round {round}");
            there += 1;
        }
        assert!(there >= acknowledged, "round {round}: {there} of {acknowledged}");
        if round % 10 == 9 {
            rotate_key(dir.path()).unwrap();
        }
        let key = verifier_key(dir.path()).unwrap().unwrap();
        let report = verify(dir.path(), &first.get_or_insert(key).parse().unwrap(), &[]);
        assert_eq!(report.verdict, Verdict::Ok, "round {round}: {report:?}");
    }
}
