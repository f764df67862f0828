//! `pointsman catalog`: the models that are known, and what is known of them.

mod as_of;
mod conflicts;
mod diff;
mod rows;
mod validate;

use std::path::PathBuf;

use anyhow::bail;
use catalog::{Decision, Exposure, Model, Purpose, Tier, Use, decide};
use clap::{Args, Subcommand};
use policies::Report;
use serde_json::json;

use super::{ConfigFile, columns::columns, print, print_json};
use crate::config::{of_catalog, report::Problems, source::Source};

const EXAMPLES: &str = "\
Examples:
  pointsman catalog list --tier 1 --language ko      models free for business that know Korean
  pointsman catalog show qwen3-32b --seat DE         one model: licences, prices, allowed uses
  pointsman catalog hosts groq                       one host: address, limits, peculiarities
  pointsman catalog conflicts --tier                 where the map gets a licence tier wrong
  pointsman catalog validate acme.yaml               every problem of a company's own file
  pointsman catalog diff builtin acme.yaml           what that file adds
  pointsman catalog as-of MODEL --valid 2024-10-08   the licences that held on that day";

/// Look up models, licences, hosts and the rest, and what each use is allowed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Catalog {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List models
    List(List),
    /// Show everything that is known of one model
    Show(Show),
    Bom(super::bom::Bom),
    /// List licences, or show one
    Licenses(rows::Rows),
    /// List hosts, or show one
    Hosts(rows::Rows),
    /// List servers that a company runs itself, or show one
    Servers(rows::Rows),
    /// List quantizations, or show one
    Quantizations(rows::Rows),
    /// List benchmarks, or show one
    Benchmarks(rows::Rows),
    /// List ways of fine-tuning and tools for it, or show one
    FineTuning(rows::Rows),
    /// List hardware, or show one piece
    Hardware(rows::Rows),
    Conflicts(conflicts::Conflicts),
    Diff(diff::Diff),
    Validate(validate::Validate),
    AsOf(as_of::AsOf),
}

#[derive(Debug, Args)]
struct List {
    /// Only this licence tier: 1 free, 2 conditional, 3 research, 4 non-commercial, 5 closed
    #[arg(long, value_name = "1..5", value_parser = clap::value_parser!(u8).range(1..=5))]
    tier: Option<u8>,
    /// Only models that know this language, as in ISO 639-1: en, ko, ja, zh
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Only models under this licence
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON array instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// Catalog id, repository, or another name of the model
    model: String,
    /// Seat of the company that the decisions are for, as a country code
    #[arg(long, value_name = "COUNTRY")]
    seat: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// False if there is nothing to show.
pub(super) fn run(args: &Catalog) -> anyhow::Result<bool> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Bom(args) => super::bom::run(args),
        Command::Licenses(args) => rows::licenses(args),
        Command::Hosts(args) => rows::hosts(args),
        Command::Servers(args) => rows::servers(args),
        Command::Quantizations(args) => rows::quantizations(args),
        Command::Benchmarks(args) => rows::benchmarks(args),
        Command::FineTuning(args) => rows::fine_tuning(args),
        Command::Hardware(args) => rows::hardware(args),
        Command::Conflicts(args) => conflicts::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Validate(args) => validate::run(args),
        Command::AsOf(args) => as_of::run(args),
    }
}

pub(super) fn known(config: &ConfigFile) -> anyhow::Result<std::sync::Arc<catalog::Catalog>> {
    // The built-in catalog needs no look at the environment.
    if config.config.is_none() {
        return Ok(catalog::Catalog::with_assumptions());
    }
    Ok(config.source().load()?.0.catalog)
}

/// The built-in catalog with a company's files over it, or every problem of them.
fn company(files: &[PathBuf]) -> Result<catalog::Catalog, Report> {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    for file in files {
        match Source::read(file, "catalog file") {
            Ok(source) => sources.push(source),
            Err(mut unreadable) => {
                // What it advises is about files that a configuration names.
                unreadable.hint = None;
                problems.push(*unreadable);
            }
        }
    }
    let texts: Vec<_> = sources.iter().map(|source| (source.name.to_string(), source.text.to_string())).collect();
    let read = catalog::Catalog::builtin().with_overlays(&texts);
    let read = read.map_err(|found| problems.extend(found.into_iter().map(|problem| of_catalog(problem, &sources))));
    let report = problems.into_report();
    read.ok().filter(|_| report.is_empty()).ok_or(report)
}

fn list(args: &List) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let tier = args.tier.map(Tier::try_from).transpose()?;
    if let Some(license) = args.license.as_deref().filter(|license| catalog.license(license).is_none()) {
        let ids: Vec<_> = catalog.licenses().map(|license| license.id.as_str()).collect();
        bail!("the catalog has no licence `{license}`; it has {}", ids.join(", "));
    }
    let mut models: Vec<&Model> = catalog
        .models()
        .filter(|model| tier.is_none_or(|tier| model.tier == tier))
        .filter(|model| args.license.as_deref().is_none_or(|license| model.licenses().any(|id| id == license)))
        .filter(|model| args.language.as_ref().is_none_or(|language| model.languages.contains(language)))
        .collect();
    models.sort_by(|a, b| a.id.cmp(&b.id));
    if args.json {
        print_json(&models)?;
        return Ok(!models.is_empty());
    }
    let rows: Vec<_> = models
        .iter()
        .map(|model| {
            [
                model.id.clone(),
                model.developer.clone(),
                model.parameters_b.map(parameters).unwrap_or_default(),
                model.context_tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
                model.tier.number().to_string(),
                model.licenses().collect::<Vec<_>>().join("+"),
                languages(&model.languages),
            ]
        })
        .collect();
    print(&columns(["ID", "DEVELOPER", "PARAMS", "CONTEXT", "TIER", "LICENCE", "LANGUAGES"], &rows))?;
    Ok(!models.is_empty())
}

fn parameters(billions: f64) -> String {
    match billions {
        b if b < 1.0 => format!("{}M", (b * 1e3).round()),
        b => format!("{b}B"),
    }
}

/// A few languages by name, many by number.
fn languages(codes: &[String]) -> String {
    match codes.len() {
        0..=6 => codes.join(","),
        many => format!("{},+{}", codes[..5].join(","), many - 5),
    }
}

/// The model that goes by this name.
pub(super) fn find<'a>(catalog: &'a catalog::Catalog, name: &str) -> anyhow::Result<&'a Model> {
    let Some(model) = catalog.resolve(name) else {
        let near = catalog.nearest(name, 3).join("`, `");
        let near = if near.is_empty() { String::new() } else { format!(": did you mean `{near}`?") };
        bail!("the catalog has no model `{}`{near}", name.escape_debug());
    };
    Ok(model)
}

/// Refuses a seat that is no country: no territorial clause would meet it.
pub(super) fn seat(seat: Option<&String>) -> anyhow::Result<()> {
    if let Some(seat) = seat.filter(|seat| !catalog::is_country(seat)) {
        let meant = catalog::country_meant(seat).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
        bail!("`{}` is not a country code of ISO 3166, such as DE or KR{meant}", seat.escape_debug());
    }
    Ok(())
}

fn show(args: &Show) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let model = find(&catalog, &args.model)?;
    seat(args.seat.as_ref())?;
    let licenses: Vec<_> = model.licenses().filter_map(|id| catalog.license(id)).collect();
    let offers: Vec<_> = catalog.hosts().flat_map(|host| catalog.offers(&host.id, &model.id)).collect();
    let decisions = decisions(&catalog, model, args.seat.as_ref());
    if args.json {
        let decisions: Vec<_> =
            decisions.iter().map(|(use_, decision)| json!({ "use": use_, "decision": decision })).collect();
        print_json(&json!({ "model": model, "licenses": licenses, "offers": offers, "decisions": decisions }))?;
        return Ok(true);
    }
    let mut text = serde_saphyr::to_string(model)?;
    for license in licenses {
        text.push_str(&format!("\nlicence {}\n", license.id));
        text.extend(serde_saphyr::to_string(license)?.lines().map(|line| format!("  {line}\n")));
    }
    let price = |usd: Option<f64>| usd.map(|usd| usd.to_string()).unwrap_or_default();
    let rows: Vec<_> = offers
        .iter()
        .map(|offer| {
            let (input, output) = (price(offer.input_usd_per_million), price(offer.output_usd_per_million));
            [offer.host.clone(), offer.name.clone(), input, output, offer.as_of.clone()]
        })
        .collect();
    text.push_str("\noffered at (US dollars for a million tokens)\n");
    text.push_str(&match rows.is_empty() {
        true => "no host that the catalog knows\n".to_owned(),
        false => columns(["HOST", "NAME", "INPUT", "OUTPUT", "AS OF"], &rows),
    });
    let rows: Vec<_> = decisions
        .iter()
        .map(|(use_, decision)| {
            let outcome = if decision.outcome.allows() { "allowed" } else { "denied" };
            [use_name(use_), outcome.to_owned(), decision.rule.to_string(), decision.reason.to_string()]
        })
        .collect();
    text.push_str("\nuses\n");
    text.push_str(&columns(["USE", "DECISION", "RULE", "REASON"], &rows));
    print(&text)?;
    Ok(true)
}

fn use_name(use_: &Use) -> String {
    let exposure = if use_.exposure == Exposure::Public { "public" } else { "internal" };
    format!("{}, {exposure}", use_.purpose.name())
}

/// The decision for every purpose and exposure.
fn decisions(catalog: &catalog::Catalog, model: &Model, seat: Option<&String>) -> Vec<(Use, Decision)> {
    let uses = Purpose::ALL.into_iter().flat_map(|purpose| {
        [Exposure::Internal, Exposure::Public]
            .into_iter()
            .map(move |exposure| Use { seat: seat.cloned(), ..Use::new(purpose, exposure) })
    });
    uses.map(|use_| (use_.clone(), decide(catalog, model, &use_, crate::settle::today()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A company's file with one licence and one model.
    pub(super) const ACME: &str = "\
licenses:
  - id: acme-terms
    name: Acme Terms
    tier: 2
    allows: [revenue, internal, research, personal]
    text: full
models:
  - id: acme-1
    name: Acme One
    family: acme
    availability: downloadable
    # Who made it.
    developer: Acme
    license: acme-terms
    tier: 2
    repo: acme/one
";

    /// These files in a folder that lasts as long as the first value.
    pub(super) fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<_> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            std::fs::write(path, text).expect("a file");
        }
        (folder, paths)
    }

    #[test]
    fn small_models_are_counted_in_millions_and_many_languages_by_number() {
        assert_eq!((parameters(0.6).as_str(), parameters(70.0).as_str()), ("600M", "70B"));
        let codes: Vec<_> = ["ar", "de", "en", "es", "fr", "it", "ko"].map(str::to_owned).into();
        assert_eq!(languages(&codes), "ar,de,en,es,fr,+2");
        assert_eq!(languages(&codes[..2]), "ar,de");
    }
}
