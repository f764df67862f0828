//! `pointsman models`: pulls model files from the hub, on terms that are shown and recorded, and tells what is on this machine.

mod list;
mod progress;
mod pull;
mod rm;
mod show;
mod verify;

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{audit::document::Form, data_folder};
use crate::{
    config::{Config, Environment, Overrides},
    models::{Held, Store, elsewhere::elsewhere},
    runtime::Source,
};

const AFTER: &str = "\
Examples:
  pointsman models pull hf:Qwen/Qwen3-8B-GGUF:Qwen3-8B-Q4_K_M.gguf --model qwen3-8b --config pointsman.yaml
  pointsman models pull hf:OWNER/REPO:FILE@COMMIT --accept-license --as ann
  pointsman models list
  pointsman models show Qwen3-8B-Q4_K_M --context 32768 --config pointsman.yaml
  pointsman models verify

Environment: HF_ENDPOINT another hub, HF_TOKEN a token for it, HF_HUB_OFFLINE=1 asks none. What the cache of the hub (HF_HOME),
Ollama (OLLAMA_MODELS) and LM Studio keep is listed too, read where it lies, and never changed.";

/// Pull model files from the hub with their licences, and tell what is on this machine
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Models {
    /// Folder of the store; default: `models` in the data folder
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    /// Data folder of the gateway, which records what was accepted; default: that of the configuration
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file with the contexts that licences are decided for; without one, what `pointsman serve` does without one
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(pull::Pull),
    /// List the models on this machine
    List,
    Show(show::Show),
    Verify(verify::Verify),
    Rm(rm::Rm),
}

/// False where a model is not what it should be.
pub(super) fn run(args: &Models) -> anyhow::Result<bool> {
    match &args.command {
        Command::Pull(asked) => pull::run(args, asked),
        Command::List => list::run(args),
        Command::Show(asked) => show::run(args, asked),
        Command::Verify(asked) => verify::run(args, asked),
        Command::Rm(asked) => rm::run(args, asked),
    }
}

impl Models {
    /// The configuration, with the data folder of the command line.
    fn loaded(&self) -> anyhow::Result<Config> {
        let overrides = Overrides { data_dir: self.data_dir.clone(), ..Overrides::default() };
        Ok(Source { file: self.config.clone(), overrides }.load()?.0)
    }

    /// The store, where the rest of the configuration does not matter.
    fn store(&self) -> anyhow::Result<Store> {
        let folder = match &self.store {
            Some(store) => store.clone(),
            None => data_folder(self.data_dir.as_deref(), self.config.as_deref())?.join("models"),
        };
        Ok(Store::in_folder(folder))
    }

    /// The store of a configuration.
    fn store_of(&self, config: &Config) -> Store {
        Store::in_folder(self.store.clone().unwrap_or_else(|| config.data_dir.join("models")))
    }
}

/// The model of this name, of the store or of another program.
fn find(store: &Store, name: &str) -> anyhow::Result<Held> {
    let own = store.model(name).context("the store cannot be read")?;
    if let Some(model) = own {
        return Ok(model);
    }
    let others = elsewhere(&Environment::process());
    match others.into_iter().find(|model| model.name == name) {
        Some(model) => Ok(model),
        None => bail!(
            "there is no model `{}` in `{}` or with other programs; `pointsman models list` lists them",
            name.escape_debug(),
            store.folder().display()
        ),
    }
}

/// Asks whoever sits at the terminal; false where nobody does.
fn typed_yes(to: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("Type yes to {to}: ");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().eq_ignore_ascii_case("yes"))
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
