//! `pointsman license check-evidence`: looks once at the pages of evidence, as a gateway does by itself, and prints what it saw.

use anyhow::bail;
use catalog::{Evidence, PageResult};
use clap::Args;
use serde_json::json;

use crate::{
    cli::{ConfigFile, columns::columns, print, print_json},
    evidence::{
        self,
        page::{Look, Page, look},
    },
};

/// Look at the pages that show what licences ask for: whether it is there, and the digest for `sha256` of the row
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman license check-evidence --config pointsman.yaml                every row with `check_days`
  pointsman license check-evidence help-page --config pointsman.yaml      a row, also one that is not checked by itself

Nothing is recorded: the ledger is the running gateway's, which looks at rows with `check_days` by itself.
`ledger.evidence_from` of the configuration names networks that pages may be on beside what everybody can reach.

Exit status: 0 every page is as its row says, 1 one is not.")]
pub(super) struct CheckEvidence {
    /// Rows of `evidence` [default: those with `check_days`]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// True if every page is as its row says.
pub(super) fn run(args: &CheckEvidence) -> anyhow::Result<bool> {
    let config = args.config.source().load()?.0;
    let rows = asked(args, config.catalog.evidence().collect())?;
    let fetcher = evidence::fetcher(&config.ledger)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let looks: Vec<(&str, &Page, Look)> =
        rows.iter().map(|(id, page)| (*id, page, runtime.block_on(look(&fetcher, page)))).collect();
    let all_found = looks.iter().all(|(_, _, look)| look.result == PageResult::Found);
    if args.json {
        let looks: Vec<_> =
            looks.iter().map(|(id, page, look)| json!({ "id": id, "page": page, "look": look })).collect();
        print_json(&looks)?;
        return Ok(all_found);
    }
    if looks.is_empty() {
        print(&format!("no row of evidence in {} says `check_days`\n", args.config.name()))?;
        return Ok(true);
    }
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let cells = |(id, page, look): &(&str, &Page, Look)| {
        [
            (*id).to_owned(),
            look.result.name().to_owned(),
            number(look.http.map(u64::from)),
            number(look.bytes),
            look.sha256.clone().unwrap_or_default(),
            page.url.clone(),
            look.error.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = looks.iter().map(cells).collect();
    print(&columns(["EVIDENCE", "RESULT", "HTTP", "BYTES", "SHA256", "URL", "WHY"], &rows))?;
    eprintln!("nothing was recorded: a running gateway looks at rows with `check_days` by itself, and records that");
    Ok(all_found)
}

/// The pages that are asked for, with the ids of their rows.
fn asked<'c>(args: &CheckEvidence, rows: Vec<&'c Evidence>) -> anyhow::Result<Vec<(&'c str, Page)>> {
    if args.ids.is_empty() {
        let checked = rows.into_iter().filter(|row| row.check_days.is_some());
        return Ok(checked.filter_map(|row| Some((row.id.as_str(), Page::of(row)?))).collect());
    }
    let page = |id: &String| {
        let Some(row) = rows.iter().find(|row| row.id == *id) else {
            let known: Vec<_> = rows.iter().map(|row| format!("`{}`", row.id)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            bail!("{} has no evidence `{}`; it has {known}", args.config.name(), id.escape_debug());
        };
        match Page::of(row) {
            Some(page) => Ok((row.id.as_str(), page)),
            None => bail!("the evidence `{id}` has no `url`, so there is no page to look at; write it into its row"),
        }
    };
    args.ids.iter().map(page).collect()
}
