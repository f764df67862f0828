//! `pointsman catalog validate`: every problem of a company's catalog files, with its place.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use catalog::Catalog;
use clap::Args;
use policies::Report;
use serde_json::json;

use super::company;
use crate::cli::{check::counted, print, print_json};

const EXAMPLES: &str = "\
Examples:
  pointsman catalog validate acme.yaml                 one file, over the built-in catalog
  pointsman catalog validate models.yaml terms.yaml    files that name rows of each other
  pointsman catalog validate --json acme.yaml          for an editor or a pipeline";

/// Check a company's catalog files: every problem, with file, line and column
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Validate {
    /// Catalog files; they are read together, as a configuration that lists them does
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if the files can be used.
pub(super) fn run(args: &Validate) -> anyhow::Result<bool> {
    let read = company(&args.files);
    let added = read.as_ref().map(added).unwrap_or_default();
    let report = read.as_ref().err().cloned().unwrap_or_default();
    if args.json {
        let added: serde_json::Map<_, _> =
            added.iter().map(|(what, count)| ((*what).to_owned(), (*count).into())).collect();
        print_json(&json!({ "ok": read.is_ok(), "diagnostics": report.diagnostics, "rows": added }))?;
    } else {
        let names: Vec<_> = args.files.iter().map(|file| file.display().to_string()).collect();
        print(&text(&names.join(", "), &report, &added, io::stdout().is_terminal()))?;
    }
    Ok(read.is_ok())
}

/// How many rows of each kind the files bring, for kinds of which they bring any.
fn added(catalog: &Catalog) -> Vec<(&'static str, usize)> {
    let counts = |catalog: &Catalog| {
        [
            ("model", catalog.models().count()),
            ("licence", catalog.licenses().count()),
            ("host", catalog.hosts().count()),
            ("server", catalog.servers().count()),
            ("quantization", catalog.quantizations().count()),
            ("price", catalog.prices().count()),
            ("benchmark", catalog.benchmarks().count()),
            ("fine-tuning row", catalog.fine_tunings().count()),
            ("hardware row", catalog.all_hardware().count()),
            ("attestation", catalog.attestations().count()),
            ("agreement", catalog.agreements().count()),
            ("waiver", catalog.waivers().count()),
            ("clarification", catalog.clarifications().count()),
            ("rule", catalog.company_rules().count()),
            ("signer", catalog.signers().count()),
            ("evidence row", catalog.evidence().count()),
        ]
    };
    let builtin = counts(&Catalog::builtin());
    let more = counts(catalog).into_iter().zip(builtin).map(|((what, all), (_, ours))| (what, all - ours));
    more.filter(|(_, count)| *count > 0).collect()
}

fn text(names: &str, report: &Report, added: &[(&str, usize)], color: bool) -> String {
    if !report.is_empty() {
        return format!("{}\n\n{names}: {}\n", report.render(color), counted(report.diagnostics.len(), "problem"));
    }
    let added: Vec<_> = added.iter().map(|(what, count)| counted(*count, what)).collect();
    let added = if added.is_empty() { "no rows".to_owned() } else { added.join(", ") };
    format!("{names}: {added}; nothing is wrong\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::tests::{ACME, files};

    #[test]
    fn a_good_file_is_told_by_what_it_brings() {
        let (_folder, paths) = files(&[("acme.yaml", ACME)]);
        let catalog = company(&paths).expect("a good file");
        assert_eq!(added(&catalog), [("model", 1), ("licence", 1)]);
        let text = text("acme.yaml", &Report::default(), &added(&catalog), false);
        assert_eq!(text, "acme.yaml: 1 model, 1 licence; nothing is wrong\n");
    }

    #[test]
    fn every_problem_of_every_file_is_told_with_its_place() {
        let bad = ACME.replace("license: acme-terms", "license: acme-term").replace("developer:", "developr:");
        let other = ACME.replace("acme-", "other-").replace("license: other-terms", "license: mot");
        let (folder, mut paths) = files(&[("bad.yaml", &bad), ("other.yaml", &other)]);
        paths.push(folder.path().join("missing.yaml"));
        let report = company(&paths).map(|_| ()).expect_err("three problems");
        let text = text("three files", &report, &[], false);
        for told in
            ["bad.yaml:13:5", "other.yaml:14:14", "did you mean `mit`?", "did you mean `developer`?", "no such file"]
        {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(text.ends_with("three files: 3 problems\n"), "{text}");
    }
}
