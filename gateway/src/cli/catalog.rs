//! `pointsman catalog`: the models that are known, and what is known of them.

use anyhow::bail;
use catalog::{Decision, Exposure, Model, Purpose, Tier, Use, decide};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigFile, columns::columns, print, print_json};

/// Look up models, licences, prices and what each use is allowed
#[derive(Debug, Args)]
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
    }
}

pub(super) fn known(config: &ConfigFile) -> anyhow::Result<std::sync::Arc<catalog::Catalog>> {
    // The built-in catalog needs no look at the environment.
    if config.config.is_none() {
        return Ok(catalog::Catalog::builtin());
    }
    Ok(config.source().load()?.0.catalog)
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

fn show(args: &Show) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let Some(model) = catalog.resolve(&args.model) else {
        let near = catalog.nearest(&args.model, 3).join("`, `");
        let near = if near.is_empty() { String::new() } else { format!(": did you mean `{near}`?") };
        bail!("the catalog has no model `{}`{near}", args.model.escape_debug());
    };
    if let Some(seat) = args.seat.as_ref().filter(|seat| !catalog::is_country(seat)) {
        let meant = catalog::country_meant(seat).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
        bail!("`{}` is not a country code of ISO 3166, such as DE or KR{meant}", seat.escape_debug());
    }
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
            let exposure = if use_.exposure == Exposure::Public { "public" } else { "internal" };
            let uses = format!("{}, {exposure}", use_.purpose.name());
            [uses, outcome.to_owned(), decision.rule.to_string(), decision.reason.to_string()]
        })
        .collect();
    text.push_str("\nuses\n");
    text.push_str(&columns(["USE", "DECISION", "RULE", "REASON"], &rows));
    print(&text)?;
    Ok(true)
}

/// The decision for every purpose and exposure.
fn decisions(catalog: &catalog::Catalog, model: &Model, seat: Option<&String>) -> Vec<(Use, Decision)> {
    let uses = Purpose::ALL.into_iter().flat_map(|purpose| {
        [Exposure::Internal, Exposure::Public].into_iter().map(move |exposure| Use {
            purpose,
            exposure,
            seat: seat.cloned(),
            end_users: Vec::new(),
        })
    });
    uses.map(|use_| (use_.clone(), decide(catalog, model, &use_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_are_counted_in_millions_and_many_languages_by_number() {
        assert_eq!((parameters(0.6).as_str(), parameters(70.0).as_str()), ("600M", "70B"));
        let codes: Vec<_> = ["ar", "de", "en", "es", "fr", "it", "ko"].map(str::to_owned).into();
        assert_eq!(languages(&codes), "ar,de,en,es,fr,+2");
        assert_eq!(languages(&codes[..2]), "ar,de");
    }
}
