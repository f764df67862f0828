//! `pointsman-audit`: verifies a ledger of Pointsman without Pointsman.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use audit::{
    evidence::{self, Evidence},
    ml_dsa::MlDsaKey,
    note::{VerifierKey, WitnessKey},
    proof::{self, NoProof},
    verify::{Report, Verdict, verify_against},
};
use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
Exit status of `verify`: 0 all that was signed is there as it was, 2 something was altered, 3 signed records are missing, \
5 too much is after the newest checkpoint that somebody outside has, 6 old records were pruned and all others are there as they \
were, 7 it cannot be read. Otherwise 1. The worst of 2, 3, 7, 5, 6 counts, in this order.

The key is what `pointsman audit key` prints at the gateway; have it from somebody who does not keep the ledger. Any key that the \
log ever had will do: the others follow from its rotations. A checkpoint that you put away (`tlog/checkpoint` of that day), a \
receipt, or a witness also shows a ledger that was made anew with the gateway's own key.";

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
        /// Folder of files with checkpoints that were put away
        #[arg(long, value_name = "FOLDER")]
        anchors: Vec<PathBuf>,
        /// How many records may be after the newest checkpoint that was put away or cosigned
        #[arg(long, value_name = "COUNT")]
        max_unanchored: Option<u64>,
        /// File of receipts: lines of NAME NUMBER, as `x-pointsman-receipt` said them, and the request's id if it was noted
        #[arg(long, value_name = "FILE")]
        receipts: Vec<PathBuf>,
        /// The key of a witness that cosigns the log's checkpoints; give it again for more
        #[arg(long = "witness", value_name = "KEY")]
        witnesses: Vec<WitnessKey>,
        /// The ML-DSA key of the log, as `pointsman audit key --ml-dsa` prints it: the newest checkpoint, which covers all records,
        /// must be signed by it too
        #[arg(long, value_name = "KEY")]
        ml_dsa_key: Option<MlDsaKey>,
        /// How many of the witnesses must have cosigned [default: all]
        #[arg(long, value_name = "COUNT", requires = "witnesses")]
        quorum: Option<usize>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print a record
    #[command(override_usage = "pointsman-audit record <FOLDER> <NUMBER|--request <ID>>")]
    Record {
        /// The ledger's folder
        folder: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Prove that a record is in the log, for somebody who has none of the others
    #[command(override_usage = "pointsman-audit prove <FOLDER> <NUMBER|--request <ID>> --key <KEY>")]
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
        /// The key of the log; give it again for the later ones of a log whose key was rotated
        #[arg(long = "key", value_name = "KEY", required = true)]
        keys: Vec<VerifierKey>,
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
        /// The key of the log; give it again for the later ones of a log whose key was rotated
        #[arg(long = "key", value_name = "KEY", required = true)]
        keys: Vec<VerifierKey>,
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
        Command::Verify {
            folder,
            key,
            checkpoints,
            anchors,
            max_unanchored,
            receipts,
            witnesses,
            ml_dsa_key,
            quorum,
            json,
        } => {
            let mut evidence = Evidence {
                quorum: quorum.unwrap_or(witnesses.len()),
                witnesses,
                ml_dsa: ml_dsa_key,
                most_unanchored: max_unanchored,
                ..Evidence::default()
            };
            for path in &checkpoints {
                let notes = evidence::checkpoints(&read(path)?);
                if notes.is_empty() {
                    return Err(format!("`{}` holds no checkpoint", path.display()).into());
                }
                evidence.checkpoints.extend(notes);
            }
            for path in &anchors {
                let notes = evidence::anchors(key.name(), path);
                let failed = |error| format!("the anchors in `{}` cannot be read: {error}", path.display());
                evidence.checkpoints.extend(notes.map_err(failed)?);
            }
            for path in &receipts {
                let lines = evidence::receipts(key.name(), &read(path)?);
                evidence.receipts.extend(lines.map_err(|why| format!("`{}`: {why}", path.display()))?);
            }
            let report = verify_against(&folder, &key, &evidence);
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
        Command::Check { proof, record, keys } => {
            let (proof, record) = (read(&proof)?, fs::read(record)?);
            let mut checks = keys.iter().map(|key| proof::check(&proof, &record, key));
            let first = checks.next().ok_or("there is no key")?;
            let number = first.or_else(|why| checks.find_map(Result::ok).ok_or(why))?;
            writeln!(out, "record {number} is in the log")?;
        }
        Command::ProveConsistency { folder, old, key } => {
            write!(out, "{}", proof::prove_consistency(&folder, &key, &read(&old)?)?)?;
        }
        Command::CheckConsistency { proof, old, keys } => {
            let new = proof::check_consistency(&read(&proof)?, &read(&old)?, &keys)?;
            writeln!(out, "the log only grew: it has {} records now", new.size)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

fn text(report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Ok => "ok: all that was signed is there as it was",
        Verdict::Altered => "ALTERED: not all that was signed is as it was",
        Verdict::Truncated => "TRUNCATED: records that were signed are missing",
        Verdict::Unanchored => "UNANCHORED: too much is known to nobody outside",
        Verdict::Pruned => "pruned: old records were removed, all others are there as they were",
        Verdict::Unreadable => "UNREADABLE",
    };
    let Report { records, checkpoints, signed, anchored, .. } = report;
    let after = records.saturating_sub(*signed);
    let mut text =
        format!("{verdict}\n{records} records, {checkpoints} checkpoints, {after} records after the newest\n");
    if *anchored > 0 {
        let unanchored = records.saturating_sub(*anchored);
        let span = report.unanchored_ms.map(|ms| format!(", of {}.{:03} s", ms / 1_000, ms % 1_000));
        let span = span.unwrap_or_default();
        text.push_str(&format!("{unanchored} records after the newest checkpoint that is known outside{span}\n"));
    }
    if report.receipts > 0 {
        text.push_str(&format!("{} receipts\n", report.receipts));
    }
    report.findings.iter().for_each(|finding| text.push_str(&format!("- {finding}\n")));
    if report.more_findings > 0 {
        text.push_str(&format!("- and {} more\n", report.more_findings));
    }
    text
}
