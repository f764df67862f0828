//! `pointsman audit index`: fills the index of the ledger as a gateway does, until it has all that is signed; `--check` holds each of
//! its rows against the ledger, so that what was asked of the index can be relied on.
//!
//! The address, which may have a password in it, comes from the configuration or an environment variable, never from the command line,
//! which others on the machine see and a report repeats.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use remote::Secret;

use super::{
    Ask,
    document::{Cell, Document, Table},
    folder,
};
use crate::{
    config::{Environment, outline},
    index::{self, Begin, Comparison, Follower, Kind, Log},
};

/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(2);

/// Fill the index of the ledger in a PostgreSQL with all that is signed, or hold it against the ledger
#[derive(Debug, Args)]
#[command(after_help = "\
A gateway whose configuration has `ledger.index` keeps it up by itself. What is there already is left as it is: of rows that
`--check` finds to differ or to be surplus, delete those, and fill it again.

Examples:
  pointsman audit index --config pointsman.yaml                           the index of the configuration
  pointsman audit index --data-dir copy --address-from LEDGER_INDEX_URL   another one, of a copy of the ledger
  pointsman audit index --check --config pointsman.yaml                   does it say what the ledger says?

Exit status of `--check`: 0 the index says what the ledger says, 1 it does not, or cannot be asked.")]
pub(super) struct Index {
    /// Environment variable that holds the address of the PostgreSQL; default: `ledger.index` of the configuration
    #[arg(long, value_name = "NAME")]
    address_from: Option<String>,
    /// Compare instead of filling: every column of every record, and say which differ, are missing or are surplus
    #[arg(long)]
    check: bool,
}

/// The report, and whether all is well.
pub(super) fn run(args: &Index, ask: &Ask, config: Option<&Path>) -> anyhow::Result<(Document, bool)> {
    let folder = folder(&ask.data_dir)?;
    let address = args.address(config, &Environment::process())?;
    let log = Arc::new(Log::of(&folder)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.check {
            true => check(ask, log, &address).await,
            false => Ok((fill(ask, log, &address).await?, true)),
        }
    })
}

impl Index {
    fn address(&self, config: Option<&Path>, environment: &Environment) -> anyhow::Result<Secret> {
        if let Some(name) = &self.address_from {
            if name.contains("://") {
                bail!(
                    "--address-from takes the name of an environment variable: an address on the command line is seen by all who \
                     may list the machine's processes"
                );
            }
            let address = environment.get(name);
            return Ok(Secret::new(address.with_context(|| format!("the environment variable `{name}` is not set"))?));
        }
        let index = config.map(|config| outline(config, environment)).transpose()?.and_then(|outline| outline.index);
        index.context(
            "it is not known where the index is: name a configuration with `ledger.index` by --config, and set the variable that \
             it reads, or name an environment variable with the address by --address-from",
        )
    }
}

async fn fill(ask: &Ask, log: Arc<Log>, address: &Secret) -> anyhow::Result<Document> {
    let mut follower = Follower::new(Arc::clone(&log), address, Begin::AtGaps)?;
    let (mut added, mut progress) = (0, Progress::new("indexed"));
    let step = loop {
        let step = follower.step().await?;
        added += step.added;
        if !step.more {
            break step;
        }
        progress.tell(step.next, step.signed);
    };
    ask.read.set(step.next);
    let mut document = ask.document("The index of the ledger");
    document.facts.extend([
        ("log_indexed", Cell::from(log.name())),
        ("records_indexed", step.next.into()),
        ("records_added", added.into()),
    ]);
    Ok(document)
}

async fn check(ask: &Ask, log: Arc<Log>, address: &Secret) -> anyhow::Result<(Document, bool)> {
    let table = index::table::Table::new(address, log.name())?;
    let mut progress = Progress::new("compared");
    let comparison = index::compare(&table, &log, |done, of| progress.tell(done, of)).await?;
    ask.read.set(comparison.next.saturating_sub(comparison.first));
    Ok((told(ask.document("The index of the ledger, held against it"), &comparison), comparison.is_good()))
}

fn told(mut document: Document, comparison: &Comparison) -> Document {
    let Comparison { first, next, differing, missing, surplus, findings } = comparison;
    let verdict = match comparison.is_good() {
        true => "the index says what the ledger says",
        false => "the index does not say what the ledger says",
    };
    document.facts.extend([
        ("verdict", Cell::from(verdict)),
        ("first_record", (*first).into()),
        ("records_compared", next.saturating_sub(*first).into()),
        ("differing", (*differing).into()),
        ("missing", (*missing).into()),
        ("surplus", (*surplus).into()),
    ]);
    let mut table =
        Table::new("findings", "What is wrong, as far as it is told one by one", &["record", "what", "columns"]);
    table.rows = findings
        .iter()
        .map(|finding| {
            let what = match finding.kind {
                Kind::Differs => "differs",
                Kind::Missing => "missing",
                Kind::Surplus => "surplus",
            };
            vec![finding.number.into(), what.into(), Cell::list(&finding.columns)]
        })
        .collect();
    document.tables = vec![table];
    document
}

/// Tells a person how far it is, where that takes long.
struct Progress {
    what: &'static str,
    told: Instant,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        Self { what, told: Instant::now() }
    }

    fn tell(&mut self, done: u64, of: u64) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            eprintln!("{} {done} of {of} records", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_from_a_variable_or_the_configuration_and_is_never_repeated() {
        let environment = Environment::of([("INDEX", "postgres://me:hunter2@db/x")]);
        let index = |name: Option<&str>| Index { address_from: name.map(str::to_owned), check: false };
        assert_eq!(index(Some("INDEX")).address(None, &environment).unwrap().expose(), "postgres://me:hunter2@db/x");
        let said = |name: Option<&str>| format!("{:#}", index(name).address(None, &environment).unwrap_err());
        assert_eq!(said(Some("OTHER")), "the environment variable `OTHER` is not set");
        assert!(!said(Some("postgres://me:hunter2@db/x")).contains("hunter2"));
        assert!(said(None).contains("--address-from"));
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("pointsman.yaml");
        std::fs::write(&config, "ledger: {index: \"${INDEX}\", keep_days: 400}\n").unwrap();
        let known = index(None).address(Some(&config), &environment).unwrap();
        assert_eq!(known.expose(), "postgres://me:hunter2@db/x");
        let unset = index(None).address(Some(&config), &Environment::of([])).unwrap_err().to_string();
        assert!(unset.contains("set the variable"), "{unset}");
    }
}
