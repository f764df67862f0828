//! `pointsman import`: the configuration of another gateway, as far as ours can say the same, and what became of the rest.

mod finding;
mod litellm;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use catalog::Catalog;
use clap::{Args, Subcommand};
use serde_json::json;

use self::finding::{Finding, Grade};
use super::{check::counted, print, print_json, wrapped::wrapped};
use crate::config::{report::Problems, yaml};

/// Make a configuration and policies out of another gateway's
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From a configuration of the LiteLLM proxy
    Litellm(Litellm),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each thing that the file says is graded:
  exact        the result says the same
  approximate  it says much the same; the difference is told
  manual       somebody has to do what is told
  unsupported  there is nothing to say it with

Secrets are never copied: a key that stands in the file becomes the name of a variable.

Examples:
  pointsman import litellm config.yaml                  the two files and the findings, printed
  pointsman import litellm config.yaml --out pointsman  the two files, written; then `pointsman check`
  pointsman import litellm config.yaml --json | jq '.findings[] | select(.grade != \"exact\")'")]
struct Litellm {
    /// The configuration of the LiteLLM proxy
    file: PathBuf,
    /// Folder to write pointsman.yaml and policies.yaml into; without it they are printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "out")]
    force: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What an import makes.
struct Imported {
    /// Names and texts of the files.
    files: [(&'static str, String); 2],
    findings: Vec<Finding>,
}

pub(super) fn run(args: &Import) -> anyhow::Result<bool> {
    let Command::Litellm(args) = &args.command;
    let mut problems = Problems::default();
    let read = problems
        .read(&args.file, "LiteLLM configuration")
        .and_then(|source| yaml::parse(&source, &mut problems).map(|tree| (source, tree)));
    let Some((source, tree)) = read else { return Err(problems.into_report().into()) };
    let imported = litellm::import(&source, &tree, &Catalog::builtin());
    if let Some(out) = &args.out {
        write(out, &imported.files, args.force)?;
    }
    match args.json {
        true => {
            let files: serde_json::Map<_, _> =
                imported.files.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
            print_json(&json!({ "files": files, "findings": imported.findings }))?;
        }
        false => print(&text(&imported, args.out.as_deref()))?,
    }
    Ok(true)
}

/// Writes both files or, where one of them is there already, neither.
fn write(folder: &Path, files: &[(&str, String)], force: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let there: Vec<_> = files.iter().map(|(name, _)| folder.join(name)).filter(|path| path.exists()).collect();
    if let (false, Some(path)) = (force, there.first()) {
        bail!("{} is there already; --force replaces it", path.display());
    }
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn text(imported: &Imported, out: Option<&Path>) -> String {
    let mut text = String::new();
    for (name, file) in &imported.files {
        match out {
            Some(folder) => text += &format!("wrote {}\n", folder.join(name).display()),
            None => text += &format!("--- {name}\n{file}\n"),
        }
    }
    text += "\n";
    for Finding { grade, file, line, read, became, next } in &imported.findings {
        text += &wrapped(&format!("{:<13}", grade.to_string()), &format!("{file}:{line}: {read}"));
        text += &wrapped("             ", became);
        if let Some(next) = next {
            text += &wrapped("             next: ", next);
        }
    }
    let counts = Grade::ALL.map(|grade| {
        let count = imported.findings.iter().filter(|finding| finding.grade == grade).count();
        format!("{count} {grade}")
    });
    text + &format!("{}: {}\n", counted(imported.findings.len(), "finding"), counts.join(", "))
}
