//! The command line: one file a command.
//!
//! Reports go to stdout, what a person should know beside them to stderr, and `--json` makes a report one JSON value.
//! Exit status: 0 all is well, 1 something is wrong and was said, 2 the command line itself is wrong.

mod advise;
mod audit;
mod backtest;
mod bench;
mod bom;
mod catalog;
mod check;
mod columns;
mod curl;
mod diff;
mod explain;
mod fmt;
mod import;
mod keys;
mod license;
mod mock;
mod models;
mod privacy;
mod prove;
mod serve;
mod test;
mod world;
mod wrapped;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use policies::Report;

use crate::{
    config::{DATA_DIR, Environment, Overrides, outline},
    runtime::Source,
};

const EXAMPLES: &str = "\
Examples:
  pointsman serve                                  the demo model on 127.0.0.1:8080, no key needed
  GROQ_API_KEY=... pointsman serve                 and every model that Groq is known to offer
  pointsman serve --models ./models                and every model in a folder that the catalog knows
  pointsman serve --config pointsman.yaml          as configured
  pointsman check --config pointsman.yaml          every problem of a configuration
  pointsman explain --request request.json         who would serve a request, and why
  pointsman backtest --config new.yaml --since 30d what a changed configuration would have done
  pointsman test --mutate mine.yaml                the tests of policies, and what they leave out
  pointsman diff old.yaml new.yaml                 which requests a change of policies moves
  pointsman prove 'no revenue context reaches tier >= 4'    looked for among all requests there can be
  pointsman catalog list --tier 1 --language ko    models by licence tier and language
  pointsman license explain llama-4-scout --use revenue --seat FR    which clause, and what would change it
  pointsman advise --language ko --gpu 24GB        models to take for a task, and why
  pointsman import litellm config.yaml --out .     a configuration and policies out of LiteLLM's
  pointsman keys new --config pointsman.yaml --team support --context bot
  pointsman audit report --since 2026-11-01        what was asked, served and refused
  pointsman models pull hf:Qwen/Qwen3-8B-GGUF:Qwen3-8B-Q4_K_M.gguf    a model file, with its licence
  pointsman bench engines model.gguf --plot out.svg    how fast each engine is here, and what the machine could do
  pointsman privacy inventory                      which personal data is kept, until when, and how it is erased

Exit status: 0 all is well, 1 something is wrong and was said, 2 the command line itself is wrong.";

/// One endpoint for all models: routed by policy, bound by licences, every decision on record
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Explain(explain::Explain),
    Backtest(backtest::Backtest),
    Test(test::Test),
    Diff(diff::DiffArgs),
    Prove(prove::Prove),
    Fmt(fmt::Fmt),
    Catalog(catalog::Catalog),
    License(license::License),
    Advise(advise::Advise),
    Import(import::Import),
    Keys(keys::Keys),
    // The largest by far.
    Audit(Box<audit::Audit>),
    Privacy(privacy::Privacy),
    Models(models::Models),
    Bench(bench::Bench),
    Mock(mock::Mock),
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    // Some builds have two providers, of which `rustls` takes neither by itself; ours is set before anything asks for one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args).map(|()| true),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Catalog(args) => catalog::run(&args),
        Command::License(args) => license::run(&args),
        Command::Advise(args) => advise::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Privacy(args) => privacy::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Audit(args) => match audit::run(&args) {
            Ok(status) => return status,
            Err(error) => Err(error),
        },
        Command::Mock(args) => mock::run(&args).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // A report says `error[...]` itself; anything else is one line with its causes.
            match error.downcast_ref::<Report>() {
                Some(report) => eprintln!("{}", report.render(io::stderr().is_terminal())),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// The configuration that a command looks at.
#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file; without one, what `pointsman serve` does without one
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of models that are served beside, as `pointsman serve --models DIR` has it
    #[arg(long, value_name = "DIR", env = "POINTSMAN_MODELS")]
    models: Option<PathBuf>,
}

impl ConfigFile {
    /// A file and nothing beside.
    fn at(file: &Path) -> Self {
        Self { config: Some(file.to_owned()), models: None }
    }

    fn source(&self) -> Source {
        let overrides = Overrides { models: self.models.clone(), ..Overrides::default() };
        Source { file: self.config.clone(), overrides }
    }

    /// How messages call it.
    fn name(&self) -> String {
        self.config
            .as_deref()
            .map(Path::display)
            .map_or_else(|| "the built-in configuration".to_owned(), |path| path.to_string())
    }
}

/// The data folder that the command line names, else that of a configuration, else the one without either.
fn data_folder(named: Option<&Path>, config: Option<&Path>) -> anyhow::Result<PathBuf> {
    Ok(match (named, config) {
        (Some(named), _) => named.to_owned(),
        (None, Some(config)) => outline(config, &Environment::process())?.data_dir,
        (None, None) => PathBuf::from(DATA_DIR),
    })
}

/// Prints a report. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a report as JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
