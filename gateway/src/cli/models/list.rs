//! `pointsman models list`: the models of the store, and those that other programs keep.

use anyhow::Context as _;

use super::Models;
use crate::{
    cli::audit::document::{Cell, Document, Table},
    config::Environment,
    models::{Held, State, described::described, elsewhere::elsewhere},
};

pub(super) fn run(args: &Models) -> anyhow::Result<bool> {
    let store = args.store()?;
    let (own, unread) =
        store.models().with_context(|| format!("the store `{}` cannot be read", store.folder().display()))?;
    let mut table = Table::new(
        "models",
        "Models on this machine",
        &["name", "source", "bytes", "quantization", "license", "state"],
    );
    let bytes = own.iter().map(Held::bytes).fold(0, u64::saturating_add);
    table.rows.extend(own.iter().chain(&elsewhere(&Environment::process())).map(row));
    for why in &unread {
        eprintln!("warning: {}", why.escape_debug());
    }
    let mut document = Document::new("Models");
    document.facts = vec![
        ("store", store.folder().display().to_string().into()),
        ("models_of_the_store", (own.len() as u64).into()),
        ("bytes_of_the_store", bytes.into()),
    ];
    document.tables = vec![table];
    args.form.write(&document)?;
    Ok(unread.is_empty())
}

fn row(model: &Held) -> Vec<Cell> {
    let paths: Vec<_> = model.files.iter().map(|file| file.path.clone()).collect();
    let described = described(&paths);
    let license = match &model.manifest {
        Some(manifest) => manifest.license.named.clone(),
        None => described.as_ref().ok().and_then(|of| of.license.clone()),
    };
    let state = match (model.state(), &described) {
        (State::Whole, Err(_)) => "no GGUF that can be read",
        (state, _) => state.name(),
    };
    vec![
        model.name.clone().into(),
        model.source.clone().into(),
        model.bytes().into(),
        Cell::text(described.as_ref().ok().map(|of| of.quantization)),
        Cell::text(license),
        state.into(),
    ]
}
