//! `pointsman license notice`: what a product has to say of the models in it, as a NOTICE file or a page of attributions.

use catalog::{Model, Use, notice};
use clap::Args;

use crate::{
    cli::{ConfigFile, print, print_json},
    settle,
};

/// Write the NOTICE of a product: the licences of the models that its context may use, and what they ask for
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman license notice --config pointsman.yaml --context support-bot > NOTICE
  pointsman license notice --config pointsman.yaml --context support-bot --html > attributions.html")]
pub(super) struct NoticeOf {
    /// The context of the product [default: all of them]
    #[arg(long, value_name = "NAME")]
    context: Vec<String>,
    /// A page that reads without scripts instead of text
    #[arg(long, conflicts_with = "json")]
    html: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &NoticeOf) -> anyhow::Result<bool> {
    let config = args.config.source().load()?.0;
    if let Some(unknown) = args.context.iter().find(|name| !config.contexts.contains_key(*name)) {
        anyhow::bail!("{} has no context `{}`", args.config.name(), unknown.escape_debug());
    }
    let wanted = |name: &String| args.context.is_empty() || args.context.contains(name);
    let contexts: Vec<_> = config.contexts.values().filter(|context| wanted(&context.name)).collect();
    let mut used: Vec<(&Model, &Use)> = Vec::new();
    for deployment in &config.deployments {
        let facts = &deployment.facts;
        let Some(model) = config.catalog.served_from(&facts.model, facts.weights.as_ref()) else { continue };
        let draft = facts.draft.as_deref().and_then(|draft| config.catalog.model(draft));
        for model in std::iter::once(model).chain(draft) {
            if !used.iter().any(|(known, _)| std::ptr::eq(*known, model)) {
                used.extend(contexts.iter().map(|context| (model, &*context.use_)));
            }
        }
    }
    let notice = notice(&config.catalog, &used, settle::today());
    match (args.json, args.html) {
        (true, _) => print_json(&notice)?,
        (false, true) => print(&notice.to_html())?,
        (false, false) => print(&notice.to_text())?,
    }
    Ok(true)
}
