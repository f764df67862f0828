//! `pointsman catalog licenses|hosts|servers|...`: the rows that are no models, as a list or one in full.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{known, languages};
use crate::cli::{ConfigFile, columns::columns, print, print_json};

const EXAMPLES: &str = "\
Examples, the same for every list:
  pointsman catalog hosts               a line for each
  pointsman catalog hosts groq          everything that is known of one, with its sources
  pointsman catalog hosts --json        all of it as one JSON array";

/// What every list of rows takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Rows {
    /// Show everything that is known of this one
    id: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// JSON instead of text: an array, or one object with an id
    #[arg(long)]
    json: bool,
}

pub(super) fn licenses(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let uses = |id: &str| catalog.models().filter(|model| model.licenses().any(|license| license == id)).count();
    let headings = ["ID", "TIER", "ALLOWS", "DUTIES", "TEXT READ", "MODELS", "NAME"];
    show(
        args,
        "licence",
        catalog.licenses().collect(),
        |license| &license.id,
        headings,
        |license| {
            [
                license.id.clone(),
                license.tier.number().to_string(),
                license.allows.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(","),
                license.obligations.len().to_string(),
                word(&license.text),
                uses(&license.id).to_string(),
                license.name.clone(),
            ]
        },
    )
}

pub(super) fn hosts(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let offered = |id: &str| catalog.prices().filter(|price| price.host == id && price.is_offered()).count();
    let headings = ["ID", "KIND", "API", "COUNTRY", "REGIONS", "PRICES", "KEY", "ADDRESS"];
    show(
        args,
        "host",
        catalog.hosts().collect(),
        |host| &host.id,
        headings,
        |host| {
            let regions = host.region.iter().chain(host.regional_base_urls.keys());
            [
                host.id.clone(),
                word(&host.kind),
                word(&host.dialect),
                text(&host.company_country),
                regions.cloned().collect::<Vec<_>>().join(","),
                offered(&host.id).to_string(),
                host.key_env.first().cloned().unwrap_or_default(),
                host.base_url.clone(),
            ]
        },
    )
}

pub(super) fn servers(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let headings = ["ID", "KIND", "STATUS", "PORT", "HEALTH", "METRICS", "LONG PROMPT", "HARDWARE"];
    show(
        args,
        "server",
        catalog.servers().collect(),
        |server| &server.id,
        headings,
        |server| {
            let metrics = match (&server.metrics_path, &server.metrics_flag) {
                (Some(path), Some(flag)) => format!("{path} with {flag}"),
                (path, _) => text(path),
            };
            [
                server.id.clone(),
                word(&server.kind),
                server.status.clone(),
                text(&server.default_port),
                text(&server.health_path),
                metrics,
                server.long_prompt.as_ref().map(word).unwrap_or_default(),
                server.hardware.join(","),
            ]
        },
    )
}

pub(super) fn quantizations(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let headings = ["ID", "FORMAT", "BITS", "POINTS LOST", "SERVERS"];
    show(
        args,
        "quantization",
        catalog.quantizations().collect(),
        |row| &row.id,
        headings,
        |row| {
            [
                row.id.clone(),
                row.format.clone(),
                row.bits_per_weight.map(range).unwrap_or_default(),
                row.quality_loss_points.map(range).unwrap_or_default(),
                row.servers.join(","),
            ]
        },
    )
}

pub(super) fn benchmarks(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let scores = |id: &str| catalog.models().filter(|model| model.benchmarks.contains_key(id)).count();
    let headings = ["ID", "KIND", "UNIT", "TOP", "SATURATED", "LANGUAGES", "SCORES", "MEASURES"];
    show(
        args,
        "benchmark",
        catalog.benchmarks().collect(),
        |row| &row.id,
        headings,
        |row| {
            [
                row.id.clone(),
                word(&row.kind),
                row.unit.as_ref().map(word).unwrap_or_default(),
                text(&row.top_score),
                if row.saturated { "yes".to_owned() } else { String::new() },
                languages(&row.languages),
                scores(&row.id).to_string(),
                row.measures.clone(),
            ]
        },
    )
}

pub(super) fn fine_tuning(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let headings = ["ID", "KIND", "MAKES", "BOUND BY TERMS OF", "DOES"];
    show(
        args,
        "method or tool of fine-tuning",
        catalog.fine_tunings().collect(),
        |row| &row.id,
        headings,
        |row| {
            [
                row.id.clone(),
                word(&row.kind),
                row.makes.iter().map(word).collect::<Vec<_>>().join(","),
                row.binds.as_ref().map(word).unwrap_or_default(),
                row.does.clone(),
            ]
        },
    )
}

pub(super) fn hardware(args: &Rows) -> anyhow::Result<bool> {
    let catalog = known(&args.config)?;
    let headings = ["ID", "KIND", "VENDOR", "MEMORY GB", "COMPUTES IN", "HOST"];
    show(
        args,
        "hardware",
        catalog.all_hardware().collect(),
        |row| &row.id,
        headings,
        |row| {
            [
                row.id.clone(),
                word(&row.kind),
                row.vendor.clone(),
                row.memory_gb.iter().map(f64::to_string).collect::<Vec<_>>().join(" or "),
                row.computes.join(","),
                text(&row.host),
            ]
        },
    )
}

/// All rows in columns, or the one that is asked for with all that it says.
fn show<T: Serialize, const N: usize>(
    args: &Rows,
    what: &str,
    rows: Vec<&T>,
    id: impl Fn(&T) -> &String,
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> anyhow::Result<bool> {
    let Some(wanted) = &args.id else {
        match args.json {
            true => print_json(&rows)?,
            false => print(&columns(headings, &rows.iter().map(|row| cells(row)).collect::<Vec<_>>()))?,
        }
        return Ok(!rows.is_empty());
    };
    let Some(row) = rows.iter().find(|row| id(row) == wanted) else {
        let ids: Vec<_> = rows.iter().map(|row| id(row).as_str()).collect();
        bail!("the catalog has no {what} `{}`; it has {}", wanted.escape_debug(), ids.join(", "));
    };
    match args.json {
        true => print_json(row)?,
        false => print(&serde_saphyr::to_string(row)?)?,
    }
    Ok(true)
}

/// A word of a closed vocabulary, as data files write it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn text(value: &Option<impl ToString>) -> String {
    value.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn range([least, most]: [f64; 2]) -> String {
    match least == most {
        true => least.to_string(),
        false => format!("{least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ranges_read_as_data_files_write_them() {
        assert_eq!(word(&catalog::BenchmarkKind::JudgedByModel), "judged-by-model");
        assert_eq!((range([4.0, 4.0]).as_str(), range([1.6, 8.0]).as_str()), ("4", "1.6 to 8"));
        assert_eq!((text(&Some(8000)).as_str(), text(&None::<u16>).as_str()), ("8000", ""));
    }

    #[test]
    fn an_id_that_no_row_has_is_answered_with_those_that_there_are() {
        let config = ConfigFile { config: None, models: None };
        let wrong = hosts(&Rows { id: Some("grok\n".to_owned()), config, json: false });
        let told = wrong.expect_err("no such host").to_string();
        assert!(told.starts_with(r"the catalog has no host `grok\n`; it has together, "), "{told}");
    }
}
