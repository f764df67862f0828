//! `pointsman audit`: reads the ledger back, also while a gateway writes to it.

pub(super) mod join;
mod report;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use self::{
    join::{Entry, entries},
    report::Report,
};
use super::{columns::columns, print, print_json};
use crate::config::{Environment, outline};

/// Read back what was decided, served and refused
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Folder of the ledger's data; default: that of the configuration
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file that names the folder
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Only requests from this time on: 2026-11-01 or 2026-11-01T08:00:00Z, in UTC, or as long ago as 30d
    #[arg(long, value_name = "TIME", value_parser = time, global = true)]
    since: Option<SystemTime>,
    /// Only requests before this time
    #[arg(long, value_name = "TIME", value_parser = time, global = true)]
    until: Option<SystemTime>,
    /// Only requests of this team
    #[arg(long, global = true)]
    team: Option<String>,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List requests, oldest first: who asked for what, who served it, how it ended
    List {
        /// How many of the newest are listed
        #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        last: u32,
    },
    /// Count requests, tokens and cost by day, team, key, context, use, API, route, decision, model, licence, tier and deployment
    Report,
    /// Print the key that checkpoints of the ledger are signed with, for `pointsman-audit verify`
    Key,
}

pub(super) fn run(args: &Audit) -> anyhow::Result<bool> {
    let data_dir = match (&args.data_dir, &args.config) {
        (Some(dir), _) => dir.clone(),
        (None, Some(config)) => outline(config, &Environment::process())?.data_dir,
        (None, None) => PathBuf::from(crate::config::DATA_DIR),
    };
    if let Command::Key = args.command {
        let key = ledger::verifier_key(&data_dir.join("ledger"))?;
        let key = key.with_context(|| format!("the ledger in `{}` was never signed", data_dir.display()))?;
        match args.json {
            true => print_json(&serde_json::json!({ "key": key }))?,
            false => print(&format!("{key}\n"))?,
        }
        return Ok(true);
    }
    let entries = read(&data_dir)?.filter(|entry| entry.as_ref().map_or(true, |entry| args.wants(entry)));
    match args.command {
        Command::List { last } => list(entries, last as usize, args.json),
        Command::Report => {
            let mut report = Report::default();
            for entry in entries {
                report.add(&entry?);
            }
            match args.json {
                true => print_json(&report)?,
                false => print(&report.to_text())?,
            }
            Ok(true)
        }
        Command::Key => Ok(true),
    }
}

impl Audit {
    fn wants(&self, entry: &Entry) -> bool {
        let time = UNIX_EPOCH + Duration::from_millis(entry.decision.time);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && self.team.as_ref().is_none_or(|team| entry.decision.team.as_deref() == Some(team))
    }
}

/// The requests of the ledger in a data folder, as they end.
pub(super) fn read(data_dir: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Entry>>> {
    let folder = data_dir.join("ledger");
    anyhow::ensure!(folder.is_dir(), "there is no ledger in `{}`; name its folder with --data-dir", data_dir.display());
    let records =
        ledger::read(&folder).with_context(|| format!("the ledger in `{}` cannot be read", data_dir.display()))?;
    Ok(entries(records.map(|record| Ok(record?.1))))
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
    const LAST: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis.min(LAST))).to_string()
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
