//! `pointsman models rm`: removes a model of the store, and of nobody else.

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{Models, find, size, typed_yes};

/// Remove a model of the store; what was accepted stays on record
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Name of the model, as `pointsman models list` has it
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Models, asked: &Rm) -> anyhow::Result<bool> {
    let store = args.store()?;
    let model = find(&store, &asked.name)?;
    if model.manifest.is_none() {
        bail!(
            "`{}` is another program's, and only what is in `{}` is removed here",
            model.name.escape_debug(),
            store.folder().display()
        );
    }
    ensure!(
        asked.yes || typed_yes(&format!("remove `{}` ({})", model.name, size(model.bytes())))?,
        "nothing was removed: `--yes` removes it without being asked"
    );
    store.remove(&model.name).with_context(|| format!("`{}` cannot be removed", model.name))?;
    eprintln!("removed `{}`, {}", model.name, size(model.bytes()));
    Ok(true)
}
