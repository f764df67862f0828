//! `pointsman audit parquet`: sealed segments as Parquet files that prove themselves: each has its records byte by byte, columns of
//! them, a signed checkpoint, and the hashes that lead from its records to that ([`audit::range`]). `--check` verifies each alone,
//! without the ledger and without the others.
//!
//! | file | what it is |
//! |---|---|
//! | [`file`] | columns and metadata, as they are written |
//! | [`claims`] | what the metadata says, and how |
//! | [`export`] | which segments go into files, under which checkpoint |
//! | [`check`] | holds a file against the key of the log |

mod check;
mod claims;
mod export;
mod file;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use audit::{note::VerifierKey, verify::Verdict};
use clap::Args;

use self::{
    check::Checked,
    export::{Exported, State},
};
use super::{
    Ask,
    document::{Cell, Document, Form, Table},
    folder,
};

/// Write sealed segments of the ledger as Parquet files that prove themselves, or check such files
#[derive(Debug, Args)]
#[command(after_help = "\
A file is called after its first record. It has a column for what tables are made of, and `record` with the signed bytes; its
metadata has the checkpoint and the hashes around. The segment that is written to, and what is not signed yet, is left out and
said so; a file that is there is left as it is.

Examples:
  pointsman audit parquet --out records --config pointsman.yaml
  pointsman audit parquet --check records/*.parquet --log-key \"$KEY\"     anywhere, without the ledger

Exit status of `--check`: 0 every file says what was signed, 2 one was altered, 7 one cannot be read. Otherwise 1. Of 2 and 7 the
former counts.")]
pub(super) struct Parquet {
    /// Folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Check these files instead
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "log_key", conflicts_with = "out")]
    check: Vec<PathBuf>,
    /// The key of the log, as `pointsman audit key` prints it: any that it ever had. Default: that in the ledger's folder
    #[arg(long, value_name = "KEY", alias = "key")]
    log_key: Option<VerifierKey>,
}

pub(super) fn run(args: &Parquet, ask: &Ask, form: &Form) -> anyhow::Result<ExitCode> {
    // `--out` names a folder here, not where the report goes.
    let form = form.on_screen();
    if let (Some(key), false) = (&args.log_key, args.check.is_empty()) {
        let checked: Vec<_> = args.check.iter().map(|file| check::file(file, key)).collect();
        form.write(&told(&checked))?;
        let is = |verdict: Verdict| checked.iter().any(|checked| checked.verdict == verdict);
        let worst = [Verdict::Altered, Verdict::Unreadable].into_iter().find(|verdict| is(*verdict));
        return Ok(ExitCode::from(worst.unwrap_or(Verdict::Ok) as u8));
    }
    let ledger = folder(&ask.data_dir)?;
    let key = match &args.log_key {
        Some(key) => key.clone(),
        None => {
            let own = ledger::verifier_key(&ledger)?.and_then(|key| key.parse().ok());
            own.with_context(|| format!("the ledger in `{}` has no key; give it by --log-key", ask.data_dir.display()))?
        }
    };
    let out = args.out.as_deref().context("name a folder to write to: --out DIR")?;
    let exported = export::export(&ledger, &key, out)?;
    ask.read.set(exported.files.iter().filter(|file| file.state == State::Written).map(|file| file.count).sum());
    form.write(&written(ask.document("Records as Parquet files"), &key, &exported))?;
    Ok(ExitCode::SUCCESS)
}

fn written(mut document: Document, key: &VerifierKey, exported: &Exported) -> Document {
    let count = |state: State| exported.files.iter().filter(|file| file.state == state).count() as u64;
    document.facts.extend([
        ("origin", Cell::from(key.name())),
        ("files_written", count(State::Written).into()),
        ("files_kept", count(State::Kept).into()),
        ("segments_left_out", (exported.left_out.len() as u64).into()),
    ]);
    let mut files = Table::new("files", "Files", &["file", "first", "records", "state"]);
    files.rows = exported
        .files
        .iter()
        .map(|file| {
            let state = match file.state {
                State::Written => "written",
                State::Kept => "there already",
            };
            vec![file.path.display().to_string().into(), file.first.into(), file.count.into(), state.into()]
        })
        .collect();
    let mut left_out = Table::new("left_out", "Segments that are left out", &["first", "why"]);
    left_out.rows = exported.left_out.iter().map(|(first, why)| vec![(*first).into(), (*why).into()]).collect();
    document.tables = vec![files, left_out];
    document
}

fn told(checked: &[Checked]) -> Document {
    let mut document = Document::new("Parquet files of records, checked");
    let good = checked.iter().filter(|checked| checked.verdict == Verdict::Ok).count() as u64;
    document.facts.extend([("files", Cell::from(checked.len() as u64)), ("files_as_signed", good.into())]);
    let mut files = Table::new("files", "Files", &["file", "verdict", "first", "records", "why"]);
    files.rows = checked
        .iter()
        .map(|checked| {
            let verdict = match checked.verdict {
                Verdict::Ok => "ok",
                Verdict::Altered => "ALTERED",
                _ => "UNREADABLE",
            };
            let number = |number: Option<u64>| number.map_or(Cell::None, Cell::Count);
            vec![
                checked.path.display().to_string().into(),
                verdict.into(),
                number(checked.run.map(|(first, _)| first)),
                number(checked.run.map(|(_, count)| count)),
                Cell::text(checked.why.as_deref()),
            ]
        })
        .collect();
    document.tables = vec![files];
    document
}
