//! `pointsman-audit`: verifies a ledger of Pointsman without Pointsman.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use audit::{
    note::VerifierKey,
    proof::{self, NoProof},
    verify::{Report, Verdict, verify},
};
use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
Exit status of `verify`: 0 all that was signed is there as it was, 2 something was altered, 3 signed records are missing, \
7 it cannot be read. Otherwise 1.

The key is what `pointsman audit key` prints at the gateway; have it from somebody who does not keep the ledger. A \
checkpoint that you put away (`tlog/checkpoint` of that day) also shows a ledger that was made anew with the gateway's own key.";

/// Verify a ledger of Pointsman without Pointsman
#[derive(Debug, Parser)]
#[command(name = "pointsman-audit", version, after_help = AFTER)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold every record against every checkpoint
    Verify {
        /// The ledger's folder: that with the segments (`*.log`) and `tlog`
        folder: PathBuf,
        /// The key of the log
        #[arg(long)]
        key: VerifierKey,
        /// Checkpoint that was put away earlier; give it again for more
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print a record
    Record {
        /// The ledger's folder
        folder: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Prove that a record is in the log, for somebody who has none of the others
    Prove {
        /// The ledger's folder
        folder: PathBuf,
        #[command(flatten)]
        which: Which,
        /// The key of the log
        #[arg(long)]
        key: VerifierKey,
    },
    /// Check a proof of a record
    Check {
        /// File of the proof
        proof: PathBuf,
        /// File of the record, as `record` prints it
        record: PathBuf,
        /// The key of the log
        #[arg(long)]
        key: VerifierKey,
    },
    /// Prove that the log only grew since a checkpoint that was put away, for somebody who has no record
    ProveConsistency {
        /// The ledger's folder
        folder: PathBuf,
        /// File of the checkpoint that was put away
        #[arg(long, value_name = "FILE")]
        old: PathBuf,
        /// The key of the log
        #[arg(long)]
        key: VerifierKey,
    },
    /// Check a proof that the log only grew
    CheckConsistency {
        /// File of the proof
        proof: PathBuf,
        /// File of the checkpoint that was put away
        #[arg(long, value_name = "FILE")]
        old: PathBuf,
        /// The key of the log
        #[arg(long)]
        key: VerifierKey,
    },
}

/// Which record.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Its number, from 0
    number: Option<u64>,
    /// The request whose decision it is, as the answer's `x-request-id` said
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

impl Which {
    fn number(&self, folder: &Path) -> Result<u64, NoProof> {
        match (self.number, &self.request) {
            (Some(number), _) => Ok(number),
            (None, Some(request)) => proof::decision(folder, request),
            (None, None) => unreachable!("the group is required"),
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => status,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Verify { folder, key, checkpoints, json } => {
            let kept = checkpoints.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
            let report = verify(&folder, &key, &kept);
            match json {
                true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
                false => write!(out, "{}", text(&report))?,
            }
            return Ok(ExitCode::from(report.verdict as u8));
        }
        Command::Record { folder, which } => out.write_all(&proof::record(&folder, which.number(&folder)?)?)?,
        Command::Prove { folder, which, key } => {
            write!(out, "{}", proof::prove(&folder, &key, which.number(&folder)?)?)?;
        }
        Command::Check { proof, record, key } => {
            let number = proof::check(&fs::read_to_string(proof)?, &fs::read(record)?, &key)?;
            writeln!(out, "record {number} is in the log")?;
        }
        Command::ProveConsistency { folder, old, key } => {
            write!(out, "{}", proof::prove_consistency(&folder, &key, &fs::read_to_string(old)?)?)?;
        }
        Command::CheckConsistency { proof, old, key } => {
            let new = proof::check_consistency(&fs::read_to_string(proof)?, &fs::read_to_string(old)?, &key)?;
            writeln!(out, "the log only grew: it has {} records now", new.size)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(report: &Report) -> String {
    let Report { verdict, records, signed, checkpoints, findings } = report;
    let verdict = match verdict {
        Verdict::Ok => "ok: all that was signed is there as it was",
        Verdict::Altered => "ALTERED: not all that was signed is as it was",
        Verdict::Truncated => "TRUNCATED: records that were signed are missing",
        Verdict::Unreadable => "UNREADABLE",
    };
    let after = records.saturating_sub(*signed);
    let mut text =
        format!("{verdict}\n{records} records, {checkpoints} checkpoints, {after} records after the newest\n");
    findings.iter().for_each(|finding| text.push_str(&format!("- {finding}\n")));
    text
}
