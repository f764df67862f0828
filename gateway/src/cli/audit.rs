//! `pointsman audit`: reads the ledger back, also while a gateway writes to it.
//!
//! Each report reads the ledger once, from its first record on, and rests on nothing but the ledger's folder: the texts that
//! decided are in it, and who stands behind its pseudonyms. Without these a report says the pseudonyms.

mod columnar;
mod crossings;
pub(super) mod document;
mod exceptions;
mod export;
mod health;
mod history;
mod impact;
mod incident;
mod index;
pub(super) mod join;
mod looks;
mod names;
mod obligations;
mod parquet;
mod questions;
mod reconcile;
mod recorded;
mod replay;
mod report;
mod standing;
mod usage;
mod which;

use std::{
    cell::Cell,
    collections::VecDeque,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use self::{
    document::{Document, Form},
    join::{Entry, Told, told},
    report::Report,
};
use super::{columns::columns, data_folder, print, print_json};
use crate::{config::ledger_folder, settle::LAST_MS, subjects::Names};

/// Read back what was decided, served and refused, and answer what a compliance officer asks
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Folder of the ledger's data; default: that of the configuration
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file that names the folder
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Only requests from this time on: 2026-11-01 or 2026-11-01T08:00:00Z, in UTC, or as long ago as 30d
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = time, global = true)]
    from: Option<SystemTime>,
    /// Only requests before this time
    #[arg(long, visible_alias = "until", value_name = "TIME", value_parser = time, global = true)]
    to: Option<SystemTime>,
    /// Only requests of this team
    #[arg(long, global = true)]
    team: Option<String>,
    /// Verify the ledger first, and say in the report what came of that
    #[arg(long, global = true)]
    verify: bool,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print which command answers which question of a compliance officer
    Questions,
    /// List requests, oldest first: who asked for what, who served it, how it ended
    List {
        /// How many of the newest are listed
        #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        last: u32,
    },
    /// Count requests, tokens and cost by day, team, key, context, use, API, route, decision, model, licence, tier and deployment
    Report,
    Usage(usage::Usage),
    Exceptions(exceptions::Exceptions),
    Incident(incident::Incident),
    Obligations(obligations::Obligations),
    Health(health::Health),
    Impact(impact::Impact),
    Reconcile(reconcile::Reconcile),
    /// Look for requests that were served something else than was decided for them; there must be none
    Crossings,
    /// Tell which texts decided from when to when, what changed in them, and what traffic they had
    History,
    /// Make every licence decision again from what was recorded, and compare; exit status 4 where one comes out otherwise
    Replay,
    Export(export::Export),
    Index(index::Index),
    Parquet(parquet::Parquet),
    /// Print the key that this gateway cosigns the checkpoints of other logs with, for their `witnesses`
    Witness,
    /// Give the ledger a new key, while no gateway writes to it; what was signed stays valid, and the old key vouches for the new
    RotateKey,
    /// Print the key that checkpoints of the ledger are signed with, for `pointsman-audit verify`
    Key {
        /// The key of the second signatures instead (`ledger.ml_dsa`), for `--ml-dsa-key`
        #[arg(long)]
        ml_dsa: bool,
    },
}

/// The exit status of a replay that decides otherwise: that of verifications of a ledger which `pointsman-audit` leaves free.
const DECIDED_OTHERWISE: u8 = 4;

/// What is asked of a ledger.
#[derive(Debug)]
pub(super) struct Ask {
    data_dir: PathBuf,
    /// Who stands behind its pseudonyms.
    names: Names,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
    team: Option<String>,
    verify: bool,
    /// Records that were read.
    read: Cell<u64>,
}

/// The exit status.
pub(super) fn run(args: &Audit) -> anyhow::Result<ExitCode> {
    let data_dir = data_folder(args.data_dir.as_deref(), args.config.as_deref())?;
    let Audit { from, to, verify, .. } = *args;
    let ask = Ask { from, to, team: args.team.clone(), verify, ..Ask::of(data_dir) };
    let (good, status) =
        (|document: Document| (document, true), |ok| if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    let (document, ok) = match &args.command {
        Command::Questions => good(questions::document()),
        Command::Export(export) => return export::run(export, &ask, args.form.sink()?).map(status),
        Command::Key { ml_dsa } => return key(&ask, *ml_dsa, args.form.is_json()).map(status),
        Command::Witness => return witness(&ask, args.form.is_json()).map(status),
        Command::RotateKey => return rotate(&ask, args.form.is_json()).map(status),
        Command::List { last } => return list(ask.requests()?, *last as usize, args.form.is_json()).map(status),
        Command::Report => return report(&ask, args.form.is_json()).map(status),
        Command::Usage(args) => good(usage::run(args, &ask)?),
        Command::Exceptions(args) => good(exceptions::run(args, &ask)?),
        Command::Incident(args) => good(incident::run(args, &ask)?),
        Command::Health(args) => good(health::run(args, &ask)?),
        Command::Impact(args) => good(impact::run(args, &ask)?),
        Command::Obligations(args) => obligations::run(args, &ask)?,
        Command::Reconcile(args) => reconcile::run(args, &ask)?,
        Command::Crossings => crossings::run(&ask)?,
        Command::Index(index) => index::run(index, &ask, args.config.as_deref())?,
        Command::History => good(history::run(&ask)?),
        Command::Replay => {
            let (document, same) = replay::run(&ask)?;
            args.form.write(&document)?;
            return Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DECIDED_OTHERWISE) });
        }
        Command::Parquet(parquet) => return parquet::run(parquet, &ask, &args.form),
    };
    args.form.write(&document)?;
    Ok(status(ok))
}

impl Ask {
    /// For all of the ledger in a data folder.
    pub(super) fn of(data_dir: PathBuf) -> Self {
        let names = Names::of(&ledger_folder(&data_dir));
        Self { data_dir, names, from: None, to: None, team: None, verify: false, read: Cell::new(0) }
    }

    /// All that the ledger tells, word for word.
    pub(super) fn as_recorded(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Told>>> {
        let records = records(&self.data_dir)?.inspect(|_| self.read.set(self.read.get() + 1));
        Ok(told(records))
    }

    /// All that it tells, with the names of those who asked.
    fn all(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Told>>> {
        Ok(self.as_recorded()?.map(|told| names::named(&self.names, told)))
    }

    /// What it tells of the requests that are asked for, and of the gateway itself at any time.
    fn told(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Told>>> {
        Ok(self.all()?.filter(|told| match told {
            Ok(Told::Request(entry)) => self.wants(entry),
            Ok(Told::Gateway(..)) | Err(_) => true,
            Ok(Told::Stray(..)) => false,
        }))
    }

    /// The requests alone.
    fn requests(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Entry>>> {
        Ok(requests(self.told()?))
    }

    fn wants(&self, entry: &Entry) -> bool {
        let time = UNIX_EPOCH + Duration::from_millis(entry.decision.time);
        self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time < to)
            && self.team.as_ref().is_none_or(|team| entry.decision.team.as_deref() == Some(team))
    }

    /// A report that says what it was made of, once the ledger has been read.
    pub(super) fn document(&self, title: &str) -> Document {
        let mut document = Document::new(title);
        let asked: Vec<_> = std::env::args().skip(1).collect();
        let at = |time: SystemTime| document::Cell::from(humantime::format_rfc3339_seconds(time).to_string());
        document.facts.extend([
            ("asked", document::Cell::from(format!("pointsman {}", asked.join(" ")))),
            ("made", at(SystemTime::now())),
        ]);
        document.facts.extend(self.from.map(|from| ("from", at(from))));
        document.facts.extend(self.to.map(|to| ("to", at(to))));
        document.facts.push(("records_read", self.read.get().into()));
        let folder = ledger_folder(&self.data_dir);
        if let Ok(note) = std::fs::read_to_string(folder.join("tlog/checkpoint")) {
            let mut lines = note.lines();
            for name in ["log", "records_signed", "root"] {
                document.facts.extend(lines.next().map(|line| (name, line.into())));
            }
        }
        if self.verify {
            document.facts.extend(verified(&folder));
        }
        document
    }
}

/// What came of verifying a ledger by its own key, as the separate verifier does.
fn verified(folder: &Path) -> Vec<(&'static str, document::Cell)> {
    let key = ledger::verifier_key(folder).ok().flatten().and_then(|key| key.parse().ok());
    let Some(key) = key else { return vec![("integrity", "it was never signed".into())] };
    let report = ::audit::verify::verify(folder, &key, &[]);
    let verdict = match report.verdict {
        ::audit::verify::Verdict::Ok if report.signed == 0 => "nothing is signed yet".to_owned(),
        ::audit::verify::Verdict::Ok => "all that was signed is there as it was".to_owned(),
        other => format!("{other:?}: {}", report.findings.join("; ")),
    };
    vec![("integrity", verdict.into()), ("records_verified", report.signed.into())]
}

fn key(ask: &Ask, ml_dsa: bool, json: bool) -> anyhow::Result<bool> {
    let folder = ledger_folder(&ask.data_dir);
    let (key, never) = match ml_dsa {
        true => (ledger::ml_dsa_key(&folder)?, "never signed by ML-DSA; `ledger: {ml_dsa: true}` begins to"),
        false => (ledger::verifier_key(&folder)?, "never signed"),
    };
    let key = key.with_context(|| format!("the ledger in `{}` was {never}", ask.data_dir.display()))?;
    match json {
        true => print_json(&serde_json::json!({ "key": key }))?,
        false => print(&format!("{key}\n"))?,
    }
    Ok(true)
}

/// The key of the witness, which is made if there is none.
fn witness(ask: &Ask, json: bool) -> anyhow::Result<bool> {
    let log = ledger::verifier_key(&ledger_folder(&ask.data_dir))?;
    let log = log.with_context(|| format!("the ledger in `{}` was never signed", ask.data_dir.display()))?;
    let name = crate::anchors::witness::name(log.split('+').next().unwrap_or_default());
    let key = ledger::witness::verifier_key(&ask.data_dir.join("witness"), &name)?;
    match json {
        true => print_json(&serde_json::json!({ "key": key }))?,
        false => print(&format!("{key}\n"))?,
    }
    Ok(true)
}

fn rotate(ask: &Ask, json: bool) -> anyhow::Result<bool> {
    let ledger::RotatedKey { old, new, size } = ledger::rotate_key(&ledger_folder(&ask.data_dir))?;
    match json {
        true => print_json(&serde_json::json!({ "old": old, "new": new, "records": size }))?,
        false => print(&format!("{new}\nfrom record {size} on; before it {old}\n"))?,
    }
    Ok(true)
}

fn report(ask: &Ask, json: bool) -> anyhow::Result<bool> {
    let mut report = Report::default();
    for entry in ask.requests()? {
        report.add(&entry?);
    }
    match json {
        true => print_json(&report)?,
        false => print(&report.to_text())?,
    }
    Ok(true)
}

/// The ledger in a data folder.
fn folder(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let folder = ledger_folder(data_dir);
    anyhow::ensure!(folder.is_dir(), "there is no ledger in `{}`; name its folder with --data-dir", data_dir.display());
    Ok(folder)
}

/// The records of the ledger in a data folder, with their numbers.
fn records(data_dir: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<(u64, Vec<u8>)>>> {
    let records = ledger::read(&folder(data_dir)?)
        .with_context(|| format!("the ledger in `{}` cannot be read", data_dir.display()))?;
    Ok(records.map(|record| {
        let (position, record) = record?;
        Ok((position.sequence, record))
    }))
}

/// The requests of the ledger in a data folder, as they end.
pub(super) fn read(data_dir: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Entry>>> {
    let names = Names::of(&ledger_folder(data_dir));
    Ok(requests(told(records(data_dir)?).map(move |told| names::named(&names, told))))
}

/// The requests among what a ledger tells.
fn requests(told: impl Iterator<Item = anyhow::Result<Told>>) -> impl Iterator<Item = anyhow::Result<Entry>> {
    told.filter_map(|told| match told {
        Ok(Told::Request(entry)) => Some(Ok(*entry)),
        Ok(Told::Gateway(..) | Told::Stray(..)) => None,
        Err(error) => Some(Err(error)),
    })
}

fn list(entries: impl Iterator<Item = anyhow::Result<Entry>>, last: usize, json: bool) -> anyhow::Result<bool> {
    let mut newest = VecDeque::new();
    for entry in entries {
        newest.push_back(entry?);
        if newest.len() > last {
            newest.pop_front();
        }
    }
    // Entries come as they end; people look for when they began.
    newest.make_contiguous().sort_by_key(|entry| entry.decision.time);
    if json {
        print_json(&newest)?;
        return Ok(true);
    }
    let rows: Vec<_> = newest
        .iter()
        .map(|entry| {
            let decision = &entry.decision;
            [
                written(decision.time),
                decision.request.to_string(),
                decision.team.as_deref().unwrap_or_default().to_owned(),
                decision.context.to_string(),
                decision.model.to_string(),
                entry.deployment().unwrap_or_default().to_owned(),
                entry.ended().to_owned(),
            ]
        })
        .collect();
    print(&columns(["TIME", "REQUEST", "TEAM", "CONTEXT", "MODEL", "DEPLOYMENT", "OUTCOME"], &rows))?;
    Ok(true)
}

/// A time in milliseconds as RFC 3339. One that no calendar reaches, which only a damaged record has, is the last one.
pub(super) fn written(millis: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis.min(LAST_MS))).to_string()
}

/// A day, a moment, or how long ago.
pub(super) fn time(text: &str) -> Result<SystemTime, String> {
    if let Some(at) = humantime::parse_duration(text).ok().and_then(|ago| SystemTime::now().checked_sub(ago)) {
        return Ok(at);
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    humantime::parse_rfc3339(&whole).map_err(|_| {
        "expected a day or a time in UTC, or how long ago: 2026-11-01, 2026-11-01T08:00:00Z, 30d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_means_its_first_moment() {
        assert_eq!(time("2026-11-01"), time("2026-11-01T00:00:00Z"));
        assert_eq!(written(1_793_491_200_000), "2026-11-01T00:00:00.000Z");
        let then = time("30d").unwrap();
        let ago = SystemTime::now().duration_since(then).unwrap();
        assert!(ago >= Duration::from_hours(720) && ago < Duration::from_hours(721));
        assert!(time("yesterday").unwrap_err().contains("2026-11-01"));
    }

    #[test]
    fn what_a_ledger_holds_is_read_back_and_a_folder_without_one_is_said_to_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read(folder.path()).err().expect("there is no ledger yet").to_string();
        assert!(missing.contains("--data-dir"), "{missing}");
        let (ledger, _) = ledger::Ledger::open(&folder.path().join("ledger"), ledger::Options::default()).unwrap();
        for record in [join::tests::decision("1", 1, "serve"), join::tests::outcome("1", "completed")] {
            // `close` makes everything durable, so nobody waits for the ticket.
            drop(ledger.append(&record).unwrap());
        }
        ledger.close().unwrap();
        let entries: Vec<_> = read(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!((&*entries[0].decision.request, entries[0].ended()), ("1", "completed"));
    }

    #[test]
    fn a_time_beyond_all_calendars_is_printed_and_not_a_panic() {
        assert!(written(u64::MAX).starts_with("9999-12-31"));
    }
}
