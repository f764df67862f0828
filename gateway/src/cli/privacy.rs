//! `pointsman privacy`: which personal data there is, and erasing somebody from the ledger without breaking a proof.

mod folder;
mod inventory;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::audit::{
    Ask,
    document::{Cell, Document, Form, Table},
    join::Told,
};
use crate::{
    config::{DATA_DIR, Environment, Outline, ledger_folder, outline},
    settle::{now_ms, record::Decision},
    subjects::{self, EraseError, Erased, Erasing, erase},
};

const AFTER: &str = "\
Records name a caller by a pseudonym that changes every `ledger.pseudonym_days`, and beside the log stands whose it is. What is
erased goes from there; the log stays as it is, so every proof still verifies. Each gateway has a ledger of its own: erase at
all of them. Copies that somebody made are not reached.";

/// Tell which personal data is kept, and erase somebody from the ledger without breaking a proof
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Privacy {
    /// Folder of the ledger's data; default: that of the configuration
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file that names the folder, and says how long what is kept
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List which kinds of personal data are kept, where, until when, and how they are erased
    Inventory,
    Erase(Erase),
}

/// Erase who stands behind the pseudonyms of a key, or of a value that is personal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman privacy erase --key k0123456789ab --config pointsman.yaml
  pointsman privacy erase --header x-user=ann@example.com --despite-hold case-17 --config pointsman.yaml

A running gateway forgets within ten seconds, or at once by `POST /reload` at its admin listener; the next request of the same
key gets another pseudonym. Exit status: 1 where nothing was found.")]
struct Erase {
    #[command(flatten)]
    whom: Whom,
    /// Erase although this hold covers it; the log says that it was passed over. Give it again for more
    #[arg(long = "despite-hold", value_name = "NAME")]
    despite_holds: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// A key by its id, or the subject of a token as reports name it
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// A value of a declared header
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Option<(String, String)>,
    /// A value of a declared entry of `metadata`
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Option<(String, String)>,
}

pub(super) fn run(args: &Privacy) -> anyhow::Result<bool> {
    let outline = args.config.as_ref().map(|config| outline(config, &Environment::process())).transpose()?;
    let data_dir = match (&args.data_dir, &outline) {
        (Some(dir), _) => dir.clone(),
        (None, Some(outline)) => outline.data_dir.clone(),
        (None, None) => PathBuf::from(DATA_DIR),
    };
    let (document, ok) = match &args.command {
        Command::Inventory => (inventory::document(&data_dir, outline.as_ref())?, true),
        Command::Erase(asked) => {
            let outline = outline.context("say which configuration has the holds that may cover it: --config FILE")?;
            erased(asked, &data_dir, &outline)?
        }
    };
    args.form.write(&document)?;
    Ok(ok)
}

impl Whom {
    /// Under what it is kept.
    fn subject(&self) -> String {
        match (&self.key, &self.header, &self.metadata) {
            (Some(key), ..) => key.clone(),
            (None, Some((name, value)), _) => subjects::of_value("header", &name.to_ascii_lowercase(), value),
            (None, None, Some((name, value))) => subjects::of_value("metadata", name, value),
            // The command line asks for one of them.
            (None, None, None) => String::new(),
        }
    }

    /// Whether a record holds it as it is.
    fn is_plain_in(&self, decision: &Decision<'_>) -> bool {
        let asked = decision.asked.as_ref();
        let holds = |wanted: &Option<(String, String)>, is_header: bool| {
            let Some(((name, value), asked)) = wanted.as_ref().zip(asked) else { return false };
            let pairs = if is_header { &asked.headers } else { &asked.metadata };
            pairs.iter().any(|(known, held)| {
                held == value && if is_header { known.eq_ignore_ascii_case(name) } else { known == name }
            })
        };
        self.key.is_some() && decision.key == self.key.as_deref().map(Into::into)
            || holds(&self.header, true)
            || holds(&self.metadata, false)
    }
}

/// Erases a subject; false where there was nothing.
fn erased(args: &Erase, data_dir: &Path, outline: &Outline) -> anyhow::Result<(Document, bool)> {
    let ledger = ledger_folder(data_dir);
    anyhow::ensure!(ledger.is_dir(), "there is no ledger in `{}`; name its folder with --data-dir", data_dir.display());
    let holds = &outline.kept.holds;
    if let Some(unknown) = args.despite_holds.iter().find(|name| !holds.iter().any(|hold| hold.name == **name)) {
        let names: Vec<_> = holds.iter().map(|hold| hold.name.as_str()).collect();
        let there_are = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        anyhow::bail!("there is no hold `{}` in the configuration; there are: {there_are}", unknown.escape_debug());
    }
    let subject = args.whom.subject();
    let erasing = Erasing { subject: &subject, holds, despite: &args.despite_holds, now_ms: now_ms() };
    let gone = erase(&ledger, &erasing).map_err(|error| match &error {
        EraseError::Held { hold, .. } => {
            anyhow::anyhow!("{error}; `--despite-hold {hold}` erases all the same, and the log says so")
        }
        EraseError::Io { .. } => error.into(),
    })?;
    let plain = plain(&args.whom, data_dir)?;
    let elsewhere = match &args.whom.key {
        Some(id) => folder::that_name(data_dir, id)?,
        None => Vec::new(),
    };
    let epochs = gone.iter().map(|erased| &erased.epoch).collect::<BTreeSet<_>>().len();
    let result = match (gone.is_empty(), plain) {
        (false, _) => "erased; the log is as it was, so every proof still verifies",
        (true, 0) => "nothing was found: it never asked, or was erased before",
        (true, _) => "nothing was found that can be erased: records hold it as it is",
    };
    let mut document = Document::new("Erasure from the ledger's subjects");
    document.facts = vec![
        ("result", result.into()),
        ("epochs", (epochs as u64).into()),
        ("pseudonyms", (gone.len() as u64).into()),
        ("despite_holds", Cell::list(despite(&gone))),
        ("records_that_hold_it_as_it_is", plain.into()),
        ("they_go", inventory::plainly_kept(Some(&outline.kept)).into()),
        ("other_files_that_name_it", Cell::list(elsewhere)),
    ];
    if plain == 0 {
        document.facts.retain(|(name, _)| *name != "they_go");
    }
    let mut table = Table::new("erased", "Pseudonyms that stand for nobody now", &["epoch", "pseudonym"]);
    let is_new = !gone.is_empty();
    table.rows = gone.into_iter().map(|erased| vec![erased.epoch.into(), erased.pseudonym.into()]).collect();
    document.tables = vec![table];
    Ok((document, is_new))
}

/// The holds that were passed over.
fn despite(gone: &[Erased]) -> BTreeSet<&String> {
    gone.iter().flat_map(|erased| &erased.despite_holds).collect()
}

/// Records that hold it as it is.
fn plain(whom: &Whom, data_dir: &Path) -> anyhow::Result<u64> {
    let mut plain = 0;
    for told in Ask::of(data_dir.to_owned()).as_recorded()? {
        if let Told::Request(entry) = told? {
            plain += u64::from(whom.is_plain_in(&entry.decision));
        }
    }
    Ok(plain)
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("expected a name and a value, such as `x-user=ann@example.com`")?;
    Ok((name.to_owned(), value.to_owned()))
}
