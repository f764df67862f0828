//! `pointsman-audit`: verifies a ledger of Pointsman without Pointsman.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use audit::{
    note::VerifierKey,
    proof,
    segments::records,
    verify::{Report, Verdict, verify},
};
use clap::{Parser, Subcommand};

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
        /// Its number, from 0
        number: u64,
    },
    /// Prove that a record is in the log, for somebody who has none of the others
    Prove {
        /// The ledger's folder
        folder: PathBuf,
        /// Its number, from 0
        number: u64,
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
        Command::Record { folder, number } => {
            let (found, read) = records(&folder, |at, record| (at == number).then(|| record.to_vec()));
            match (found.into_iter().flatten().next(), read) {
                (Some(record), _) => out.write_all(&record)?,
                (None, Err(why)) => return Err(format!("there is no record {number}: {why:?}").into()),
                (None, Ok(_)) => return Err(format!("there is no record {number}").into()),
            }
        }
        Command::Prove { folder, number, key } => write!(out, "{}", proof::prove(&folder, &key, number)?)?,
        Command::Check { proof, record, key } => {
            let number = proof::check(&fs::read_to_string(proof)?, &fs::read(record)?, &key)?;
            writeln!(out, "record {number} is in the log")?;
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
