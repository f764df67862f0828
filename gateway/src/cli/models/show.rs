//! `pointsman models show`: what a model is, what it needs, who may use it, and who can load it.

use clap::Args;
use engine::CacheType;

use super::{Models, find};
use crate::{
    cli::audit::document::{Cell, Document, Table},
    config::{Config, Weights},
    engines::Kind,
    models::{
        Held,
        described::described,
        terms::{of_held, verdicts},
    },
};

/// Tokens that the need of memory is told for, where nobody says how many.
const CONTEXT: u64 = 8_192;

/// Show what a model is, what memory it needs, which contexts may use it and which engine can load it
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Name of the model, as `pointsman models list` has it
    name: String,
    /// Tokens that the need of memory is told for; default: what it was made for, at most 8192
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    context: Option<u64>,
}

pub(super) fn run(args: &Models, asked: &Show) -> anyhow::Result<bool> {
    let config = args.loaded()?;
    let held = find(&args.store_of(&config), &asked.name)?;
    args.form.write(&document(&config, &held, asked.context))?;
    Ok(true)
}

/// What is known of a model.
pub(super) fn document(config: &Config, held: &Held, context: Option<u64>) -> Document {
    let paths: Vec<_> = held.files.iter().map(|file| file.path.clone()).collect();
    let mut document = Document::new(format!("Model {}", held.name.escape_debug()));
    let facts = &mut document.facts;
    facts.extend([
        ("source", held.source.clone().into()),
        ("state", held.state().name().into()),
        ("bytes", held.bytes().into()),
    ]);
    let model = of_held(&config.catalog, held);
    facts.push(("model_of_the_catalog", Cell::text(model.map(|model| model.id.clone()))));
    if let Some(manifest) = &held.manifest {
        facts.extend([
            ("revision", manifest.revision.clone().into()),
            ("license", Cell::text(manifest.license.named.clone())),
            ("pulled", Cell::Time(manifest.pulled)),
            ("accepted_by", Cell::text(manifest.accepted_by.clone())),
            ("for_research", if manifest.for_research { "yes" } else { "no" }.into()),
        ]);
    }
    match described(&paths) {
        Ok(of) => {
            let context = context.unwrap_or_else(|| of.context.unwrap_or(CONTEXT).min(CONTEXT));
            facts.extend([
                ("architecture", of.architecture.clone().into()),
                ("quantization", of.quantization.into()),
                ("parameters", of.parameters.into()),
                ("context_tokens", of.context.map_or(Cell::None, Cell::Count)),
                ("license_that_the_file_names", Cell::text(of.license.clone())),
                ("bytes_of_weights", of.weights.into()),
                ("memory_for_tokens", context.into()),
                ("bytes_of_memory", of.memory(context, CacheType::F16).map_or(Cell::None, Cell::Count)),
            ]);
        }
        Err(why) => facts.push(("file", why.into())),
    }
    let mut engines = Table::new("engines", "Engines of this gateway", &["engine", "loads", "why"]);
    engines.rows.extend(paths.first().into_iter().flat_map(|first| {
        Kind::ALL.into_iter().map(move |kind| match kind.reads(&Weights::at(first.clone())) {
            Ok(()) => vec![kind.name().into(), "yes".into(), Cell::None],
            Err(why) => vec![kind.name().into(), "no".into(), why.into()],
        })
    }));
    let mut contexts = Table::new("contexts", "Who may use it", &["context", "outcome", "reason"]);
    contexts.rows.extend(verdicts(&config.catalog, model, &config.contexts).into_iter().map(|verdict| {
        let (outcome, reason) = verdict.words();
        vec![verdict.context.into(), outcome.into(), reason.into()]
    }));
    let mut files = Table::new("files", "Files", &["file", "bytes", "sha256"]);
    files.rows.extend(
        held.files.iter().map(|file| {
            vec![file.path.display().to_string().into(), file.bytes.into(), Cell::text(file.sha256.clone())]
        }),
    );
    document.tables = vec![contexts, engines, files];
    document
}
