//! `pointsman models pull`: shows on which terms a model is to be had, has them accepted, and brings its files.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{Models, progress::Progress, show, size, typed_yes};
use crate::{
    config::{Config, Environment},
    digest,
    models::{
        Store,
        accepted::{self, Accepted},
        download::{self, begun, download},
        hub::{Hub, Listing, Offered},
        manifest::{Kept, Manifest, Terms, name_of},
        pick::pick,
        reference::{Reference, is_name},
        terms::{Verdict, of_listing, verdicts},
    },
    settle::now_ms,
};

/// Pull a GGUF model: shows its licence and the decision for each context, and what comes is checked
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// What to pull: hf:OWNER/REPO[:FILE][@REVISION]; the file may be left out where there is only one
    source: Reference,
    /// Its name in the store; default: that of the file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Model of the catalog that it is, where the catalog does not know the repository
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Accept the licence without being asked
    #[arg(long)]
    accept_license: bool,
    /// Who accepts it: a key id or a name; kept beside the model and not in the ledger
    #[arg(long = "as", value_name = "NAME")]
    by: Option<String>,
    /// Pull it although no context may use it: for research, as the ledger will say
    #[arg(long)]
    for_research: bool,
}

/// What is to be pulled.
struct Wanted {
    name: String,
    source: String,
    listing: Listing,
    files: Vec<Offered>,
}

pub(super) fn run(args: &Models, asked: &Pull) -> anyhow::Result<bool> {
    if let Some(by) = &asked.by {
        let is_name = (1..=100).contains(&by.chars().count()) && !by.chars().any(char::is_control);
        ensure!(is_name, "--as takes a key id or a name of at most 100 characters");
    }
    let config = args.loaded()?;
    let options = remote::ClientOptions { proxies: remote::Proxies::environment(), ..remote::ClientOptions::default() };
    let hub = Hub::of(&Environment::process(), remote::Client::new(&options)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wanted = runtime.block_on(wanted(&hub, asked))?;
    let store = args.store_of(&config);
    let there = store.model(&wanted.name).context("the store cannot be read")?;
    if let Some(there) = there {
        let digests = there.files.iter().filter_map(|file| file.sha256.as_deref());
        if digests.eq(wanted.files.iter().map(|file| file.sha256.as_str())) {
            eprintln!("`{}` is there already; `pointsman models verify {}` reads it anew", there.name, there.name);
            args.form.write(&show::document(&config, &there, None))?;
            return Ok(true);
        }
        bail!(
            "`{}` is in the store already, from {} at {}: remove it (`pointsman models rm {}`), or give this one another name (--name)",
            there.name,
            there.source,
            there.manifest.map(|manifest| manifest.revision).unwrap_or_default(),
            there.name
        );
    }
    let terms = of_listing(&config.catalog, &asked.source, &wanted.listing, asked.model.as_deref())
        .map_err(anyhow::Error::msg)?;
    let model = terms.model.as_deref().and_then(|id| config.catalog.resolve(id));
    let verdicts = verdicts(&config.catalog, model, &config.contexts);
    shown(&wanted, &terms, &verdicts);
    let is_usable = verdicts.iter().any(Verdict::allows);
    ensure!(
        is_usable || asked.for_research,
        "nothing was pulled: no context {} may use it. `pointsman license explain` says what would change a decision; a catalog file \
         describes a model that is not known, and --model says which known one this is; --for-research pulls it all the same, on record",
        args.config
            .as_ref()
            .map_or("of the built-in configuration".to_owned(), |file| format!("of {}", file.display()))
    );
    has_room(&store, &wanted)?;
    ensure!(
        asked.accept_license || typed_yes("accept the licence and pull it")?,
        "nothing was pulled: the licence was not accepted; --accept-license accepts it, and --as NAME says who does"
    );
    let _one = store.lock(&wanted.name)?;
    runtime.block_on(brought(&hub, &asked.source.repository, &wanted, &store))?;
    let for_research = !is_usable;
    kept(&config, &store, &wanted, terms, asked.by.clone(), for_research)?;
    let held = store.model(&wanted.name)?.context("the store lost the model while it was pulled")?;
    args.form.write(&show::document(&config, &held, None))?;
    Ok(true)
}

/// Asks the hub what is to be pulled.
async fn wanted(hub: &Hub, asked: &Pull) -> anyhow::Result<Wanted> {
    let source = &asked.source;
    let listing = hub.listing(source).await?;
    let files = pick(&listing.files, source.file.as_deref())
        .map_err(|why| anyhow::anyhow!("nothing of {} can be pulled: {why}", source.repository))?;
    let first = files.first().map(|file| file.path.clone()).unwrap_or_default();
    let name = match &asked.name {
        Some(name) => Some(name.clone()).filter(|name| is_name(name)),
        None => name_of(&first),
    };
    let name = name.context("a model has a name of letters, digits, `.`, `-` and `_`: give it one with --name")?;
    let source = Reference { file: Some(first), ..source.clone() }.to_string();
    Ok(Wanted { name, source, listing, files })
}

/// Says what it is and who may use it, before anything is pulled.
fn shown(wanted: &Wanted, terms: &Terms, verdicts: &[Verdict]) {
    let bytes = wanted.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let plain = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).collect() };
    eprintln!(
        "{} at {}: {} file(s), {}",
        plain(&wanted.source),
        wanted.listing.commit,
        wanted.files.len(),
        size(bytes)
    );
    let named = plain(terms.named.as_deref().unwrap_or("none named"));
    match &terms.model {
        Some(model) => eprintln!("licence: {named}, of `{model}` in the catalog"),
        None => eprintln!("licence: {named}, as its page names it; the catalog does not know the repository"),
    }
    if !wanted.listing.base_models.is_empty() {
        eprintln!("made from, as its page says: {}", wanted.listing.base_models.join(", "));
    }
    for verdict in verdicts {
        let (outcome, reason) = verdict.words();
        eprintln!("context `{}`: {} - {reason}", verdict.context, outcome.replace('_', " "));
        let obligations = verdict.decision.as_ref().map(|decision| decision.obligations.clone()).unwrap_or_default();
        obligations.iter().for_each(|owed| eprintln!("  owes: {owed}"));
    }
}

/// Whether the disk has room for what is not there yet.
fn has_room(store: &Store, wanted: &Wanted) -> anyhow::Result<()> {
    let cannot = || format!("the store `{}` cannot be used", store.folder().display());
    DirBuilder::new().recursive(true).mode(0o700).create(store.folder()).with_context(cannot)?;
    let room = store.room().with_context(cannot)?;
    let folder = store.of(&wanted.name);
    let left = |file: &Offered| {
        let target = folder.join(file_name(file));
        // Of a split model some may have come whole.
        match target.metadata() {
            Ok(of) if of.len() == file.bytes => 0,
            _ => file.bytes.saturating_sub(begun(&target, &wanted.listing.commit, file)),
        }
    };
    let needed = wanted.files.iter().map(left).fold(0, u64::saturating_add);
    ensure!(
        needed <= room,
        "nothing was pulled: it needs {} more and the disk of `{}` has {} left; make room, or name another folder with --store",
        size(needed),
        store.folder().display(),
        size(room)
    );
    Ok(())
}

fn file_name(file: &Offered) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

/// Brings every file that is not there yet.
async fn brought(hub: &Hub, repository: &str, wanted: &Wanted, store: &Store) -> anyhow::Result<()> {
    let (folder, commit) = (store.of(&wanted.name), &wanted.listing.commit);
    for file in &wanted.files {
        let target = folder.join(file_name(file));
        let mut progress = Progress::of(file_name(file), file.bytes);
        // A part of a split model that came whole before another one broke off.
        let is_there = target.metadata().is_ok_and(|of| of.len() == file.bytes)
            && File::open(&target)
                .and_then(|file| digest::of(file, &mut |_| {}))
                .is_ok_and(|digest| digest == file.sha256);
        if is_there {
            progress.at(file.bytes);
            continue;
        }
        let from = download::Origin { hub, repository, commit, file };
        download(from, &target, &mut |bytes| progress.at(bytes)).await?;
    }
    Ok(())
}

/// Leaves the acceptance for the gateway's ledger, and then makes what was pulled a model of the store.
fn kept(
    config: &Config,
    store: &Store,
    wanted: &Wanted,
    terms: Terms,
    by: Option<String>,
    for_research: bool,
) -> anyhow::Result<()> {
    let (now, revision) = (now_ms(), wanted.listing.commit.clone());
    let accepted = Accepted {
        accepted: now,
        source: wanted.source.clone(),
        revision: revision.clone(),
        sha256: wanted.files.iter().map(|file| file.sha256.clone()).collect(),
        license: terms.named.clone(),
        model: terms.model.clone(),
        for_research,
    };
    accepted::leave(&config.data_dir, &accepted).with_context(|| {
        format!("the acceptance cannot be left in `{}` for the gateway to record", config.data_dir.display())
    })?;
    let file =
        |file: &Offered| Kept { name: file_name(file).to_owned(), sha256: file.sha256.clone(), bytes: file.bytes };
    let files = wanted.files.iter().map(file).collect();
    let manifest =
        Manifest { accepted_by: by, for_research, ..Manifest::new(wanted.source.clone(), revision, files, terms, now) };
    manifest.write(&store.of(&wanted.name)).context("the manifest of the model cannot be written")
}
