//! Which model of the catalog a file is, and which contexts may use it.
//!
//! The catalog knows a file by its repository. One that it does not know may be said to be a model of it, unless the page of the
//! repository says that it was made from others. What nobody knows may not be used: a licence that only a page names is nobody's
//! conclusion.

use std::{fs::File, io::Read as _, path::Path};

use catalog::{Card, Catalog, Decision, Declaration, Model, Use, decide};

use super::{Held, hub::Listing, manifest::Terms, reference::Reference};
use crate::{
    config::{Contexts, Weights},
    dispatch::chain,
    settle::today,
};

/// What a context may do with a model.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The context.
    pub context: String,
    /// The decision; none where the catalog does not know the model.
    pub decision: Option<Decision>,
}

impl Verdict {
    /// Whether it may use the model.
    pub fn allows(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.outcome.allows())
    }

    /// The outcome, and the reason for people.
    pub fn words(&self) -> (&'static str, String) {
        match &self.decision {
            Some(decision) => (decision.outcome.name(), decision.reason.to_string()),
            None => (
                "deny",
                "the catalog does not know the model, and unknown is denied until a catalog file describes it"
                    .to_owned(),
            ),
        }
    }
}

/// The model of the catalog with this repository.
pub fn of_repository<'c>(catalog: &'c Catalog, repository: &str) -> Option<&'c Model> {
    catalog.models().find(|model| model.repo.as_deref().is_some_and(|repo| repo.eq_ignore_ascii_case(repository)))
}

/// The terms of what is to be pulled; `said` is the model that it is said to be.
///
/// # Errors
/// The catalog has no such model, or the page of the repository says otherwise.
pub fn of_listing(
    catalog: &Catalog,
    reference: &Reference,
    listing: &Listing,
    said: Option<&str>,
) -> Result<Terms, String> {
    let by_repository = of_repository(catalog, &reference.repository);
    let said = match said {
        None => None,
        Some(name) => {
            let model = catalog.resolve(name);
            Some(model.ok_or_else(|| {
                format!("the catalog has no model `{}`; `pointsman catalog list` has every id", name.escape_debug())
            })?)
        }
    };
    let model = match (by_repository, said) {
        (Some(known), Some(said)) if known.id != said.id => {
            return Err(format!(
                "the catalog knows {} as `{}`, and not as `{}`",
                reference.repository, known.id, said.id
            ));
        }
        (Some(known), _) => Some(known),
        (None, Some(said)) => {
            let is_base = |name: &String| of_repository(catalog, name).is_some_and(|model| model.id == said.id);
            if !listing.base_models.is_empty() && !listing.base_models.iter().any(is_base) {
                let bases = listing.base_models.join(", ");
                return Err(format!(
                    "its page says that it was made from {bases}, and the catalog does not know that as `{}`; a catalog file of the \
                     company can describe the repository",
                    said.id
                ));
            }
            Some(said)
        }
        (None, None) => None,
    };
    let named = match model {
        Some(model) => Some(catalog.licenses_of(model).join(" AND ")),
        None => listing.license.clone(),
    };
    Ok(Terms { model: model.map(|model| model.id.clone()), named })
}

/// The model of the catalog that a held one is, if that is known.
pub fn of_held<'c>(catalog: &'c Catalog, held: &Held) -> Option<&'c Model> {
    match &held.manifest {
        Some(manifest) => catalog.resolve(manifest.license.model.as_deref()?),
        None => {
            let path = held.source.strip_prefix("hf-cache:").or_else(|| held.source.strip_prefix("lm-studio:"))?;
            let mut parts = path.split('/');
            of_repository(catalog, &format!("{}/{}", parts.next()?, parts.next()?))
        }
    }
}

/// Compares what weights, and the model card beside them, say of their licence with the catalog. Weights under a stricter licence
/// than the model that they are served as would be served against it. `by` is what they and the card are called: [`FILE`],
/// [`ADAPTER`], [`PROJECTOR`] or [`DRAFT`].
///
/// # Errors
/// What they say, and what the catalog says.
pub fn of_weights(
    catalog: &Catalog,
    facts: &policies::Deployment,
    by: [&'static str; 2],
    weights: &Weights,
    said: &engine::Facts,
) -> Result<(), String> {
    let card = weights.surroundings().map_or(Ok(None), card_in)?;
    declared(catalog, facts, by, said, card.as_ref())
}

/// What weights, and the card beside them, are called in what is said of them.
pub const FILE: [&str; 2] = ["the file", "the card beside the file"];
/// The same of an adapter over them.
pub const ADAPTER: [&str; 2] = ["the adapter", "the card beside the adapter"];
/// The same of a projector, which is a part of them.
pub const PROJECTOR: [&str; 2] = ["the projector", "the card beside the projector"];

/// The same of a draft beside them, which is a model of its own.
pub const DRAFT: [&str; 2] = ["the draft", "the card beside the draft"];

/// What a file beside the weights says of itself; a folder says nothing but in its card.
///
/// # Errors
/// The file cannot be read.
pub fn said(beside: &Weights, what: &str) -> Result<engine::Facts, String> {
    let Weights::File(path) = beside else { return Ok(engine::Facts::default()) };
    let said = engine::gguf::File::open(path).and_then(|file| engine::Facts::of(&file));
    said.map_err(|error| format!("cannot read the {what}: {}", chain(&error)))
}

fn declared(
    catalog: &Catalog,
    facts: &policies::Deployment,
    [by, by_card]: [&'static str; 2],
    said: &engine::Facts,
    card: Option<&Card>,
) -> Result<(), String> {
    let Some(model) = catalog.served_from(&facts.model, facts.weights.as_ref()) else { return Ok(()) };
    let of_file = Declaration { by, license: said.license.as_deref(), bases: &said.base_models };
    let of_card = card.map(|card| Declaration { by: by_card, license: card.license.as_deref(), bases: &card.bases });
    for finding in std::iter::once(of_file).chain(of_card).flat_map(|said| catalog::compare(catalog, model, said)) {
        if finding.weight == catalog::Weight::Stricter {
            return Err(format!("{finding}; serve it as the model that it is, or describe it in a catalog file"));
        }
        tracing::warn!(deployment = facts.id, %finding, "a file of weights and the catalog do not agree");
    }
    Ok(())
}

/// The model card in a folder of weights, if there is one.
fn card_in(folder: &Path) -> Result<Option<Card>, String> {
    let path = folder.join("README.md");
    let Ok(file) = File::open(&path) else { return Ok(None) };
    let mut text = Vec::new();
    let read = file.take(catalog::MAX_CARD_BYTES as u64).read_to_end(&mut text);
    let read = read.map_err(|error| error.to_string());
    read.and_then(|_| Card::read(&String::from_utf8_lossy(&text)))
        .map_err(|why| format!("the card `{}` cannot be read, and may name a stricter licence: {why}", path.display()))
}

/// What each context may do with a model, today.
pub fn verdicts(catalog: &Catalog, model: Option<&Model>, contexts: &Contexts) -> Vec<Verdict> {
    let decided = |use_: &Use| model.map(|model| decide(catalog, model, use_, today()));
    contexts
        .iter()
        .map(|(name, context)| Verdict { context: name.to_string(), decision: decided(&context.use_) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(license: Option<&str>, base_models: &[&str]) -> Listing {
        let base_models = base_models.iter().map(|name| (*name).to_owned()).collect();
        Listing { commit: "0".repeat(40), license: license.map(str::to_owned), base_models, files: Vec::new() }
    }

    #[test]
    fn the_catalog_knows_a_repository_and_a_page_that_says_otherwise_is_heeded() {
        let catalog = Catalog::builtin();
        let known = catalog.models().find(|model| model.repo.is_some()).unwrap();
        let repo = known.repo.clone().unwrap();
        let of = |text: &str, page: &Listing, said| of_listing(&catalog, &text.parse().unwrap(), page, said);
        let terms = of(&format!("hf:{repo}"), &listing(Some("mit"), &[]), None).unwrap();
        assert_eq!(terms.model.as_deref(), Some(known.id.as_str()));
        let page = listing(Some("mit"), &[repo.as_str()]);
        let unknown = of("hf:nobody/knows-this", &page, None).unwrap();
        assert_eq!((unknown.model, unknown.named.as_deref()), (None, Some("mit")));
        let said = of("hf:nobody/knows-this", &page, Some(&known.id)).unwrap();
        assert_eq!(said.model.as_deref(), Some(known.id.as_str()));
        let other = listing(Some("mit"), &["nobody/other"]);
        assert!(of("hf:nobody/knows-this", &other, Some(&known.id)).unwrap_err().contains("made from nobody/other"));
        assert!(of("hf:nobody/knows-this", &page, Some("no-such-model")).unwrap_err().contains("no model"));
    }
}
