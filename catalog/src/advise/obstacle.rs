//! What stands in the way of a model, and what would change it.

use serde::Serialize;

use super::{Guide, Knows, Looked, Place, Question, knows};
use crate::fit::{self, Fit};
use crate::{Availability, Catalog, Exposure, Kind, Modality, Model, Purpose, Use, decide};

/// A reason not to take a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What sort of reason it is.
    pub trouble: Trouble,
    /// The reason, in one sentence.
    pub reason: String,
    /// What would change it, where something would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// The sort of an obstacle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It cannot be had.
    Unavailable,
    /// The licence decision does not allow the use.
    License,
    /// It does not know the language.
    Language,
    /// It does not read what it should.
    Input,
    /// Its data and code are not open.
    Openness,
    /// Its licence has conditions, and the scenario asks for one without.
    Tier,
    /// It is for other work.
    Category,
    /// None of the scenario's hosts offers it.
    Host,
    /// Its window is too short.
    Context,
    /// It does not fit into the memory, or that is not known.
    Memory,
}

impl Trouble {
    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::Unavailable => "not available",
            Trouble::License => "licence",
            Trouble::Language => "language",
            Trouble::Input => "input",
            Trouble::Openness => "openness",
            Trouble::Tier => "tier",
            Trouble::Category => "other work",
            Trouble::Host => "host",
            Trouble::Context => "context",
            Trouble::Memory => "memory",
        }
    }
}

/// Categories of models that are advised only where research itself is the task.
const NOT_FOR_WORK: [&str; 3] = ["research", "demo", "closed-comparison"];

/// All that stands in the way, the gravest first.
pub(super) fn all(catalog: &Catalog, question: &Question, looked: &Looked<'_>) -> Vec<Obstacle> {
    let model = looked.model;
    let found = [
        license(catalog, question, looked),
        language(question, model),
        input(question, model),
        openness(question, model),
        tier(question, model),
        category(question, looked),
        host(question, looked),
        context(question, model),
        memory(catalog, question, looked),
    ];
    found.into_iter().flatten().collect()
}

fn obstacle(trouble: Trouble, reason: String, change: Option<String>) -> Option<Obstacle> {
    Some(Obstacle { trouble, reason, change })
}

/// The decision's own words. That a model cannot be had is a decision too, and has nothing to do with the use.
fn license(catalog: &Catalog, question: &Question, looked: &Looked<'_>) -> Option<Obstacle> {
    let (model, decision) = (looked.model, &looked.decision);
    if decision.outcome.allows() {
        return None;
    }
    let exists = matches!(model.availability, Availability::Downloadable | Availability::ApiOnly);
    if !exists || model.kind != Kind::Model {
        return obstacle(Trouble::Unavailable, decision.reason.to_string(), None);
    }
    if let Some(need) = decision.missing.first() {
        let change = format!("an attestation of {} for the company (--entity, --config)", need.metric.name());
        return obstacle(Trouble::License, decision.reason.to_string(), Some(change));
    }
    let change = allowed_uses(catalog, model, question).or_else(|| {
        let asks_seat = question.use_.seat.is_none() && decision.rule == "territory-seat-unknown";
        asks_seat.then(|| "a stated seat that the licence does not exclude".to_owned())
    });
    obstacle(Trouble::License, decision.reason.to_string(), change)
}

/// The other uses that the decision would allow, from the same seat.
fn allowed_uses(catalog: &Catalog, model: &Model, question: &Question) -> Option<String> {
    let allows = |purpose, exposure| {
        let other = Use { purpose, exposure, ..question.use_.clone() };
        decide(catalog, model, &other, question.today).outcome.allows()
    };
    let uses: Vec<String> = Purpose::ALL
        .into_iter()
        .filter_map(|purpose| match (allows(purpose, Exposure::Internal), allows(purpose, Exposure::Public)) {
            (true, true) => Some(purpose.name().to_owned()),
            (true, false) => Some(format!("{} with internal exposure", purpose.name())),
            (false, true) => Some(format!("{} with public exposure", purpose.name())),
            (false, false) => None,
        })
        .collect();
    (!uses.is_empty()).then(|| format!("a use that the licence allows: {}", uses.join(", ")))
}

fn language(question: &Question, model: &Model) -> Option<Obstacle> {
    let language = question.language()?;
    if knows(model, language) != Knows::No {
        return None;
    }
    let known = match model.languages.as_slice() {
        [] => "its languages are not known".to_owned(),
        few if few.len() <= MOST_NAMED => format!("its languages are {}", few.join(", ")),
        many => format!("its languages are {} and {} more", many[..MOST_NAMED].join(", "), many.len() - MOST_NAMED),
    };
    let id = &model.id;
    obstacle(Trouble::Language, format!("`{id}` is not known to speak `{language}`: {known}"), None)
}

/// Longer lists are cut.
const MOST_NAMED: usize = 8;

fn input(question: &Question, model: &Model) -> Option<Obstacle> {
    let missing = question.scenario.reads.iter().find(|modality| !model.input().contains(modality))?;
    let what = match missing {
        Modality::Text => "text",
        Modality::Image => "pictures",
        Modality::Audio => "sound",
        Modality::Video => "moving pictures",
        Modality::Embedding => "vectors",
    };
    obstacle(Trouble::Input, format!("`{}` does not read {what}", model.id), None)
}

fn openness(question: &Question, model: &Model) -> Option<Obstacle> {
    if !question.fully_open() || model.openness.as_deref() == Some("fully-open") {
        return None;
    }
    let open = match model.openness.as_deref() {
        Some("closed") => "nothing of it is open",
        Some("weights") => "only the weights are open",
        Some("weights+code") => "weights and code are open, the data is not",
        _ => "it is not known what of it is open",
    };
    let change = (!question.scenario.fully_open).then(|| "not asking for reproducibility".to_owned());
    obstacle(Trouble::Openness, format!("`{}` cannot be trained again: {open}", model.id), change)
}

fn tier(question: &Question, model: &Model) -> Option<Obstacle> {
    let most = question.scenario.max_tier.filter(|most| model.tier > *most)?;
    let reason = format!("the scenario takes licences up to {most}; that of `{}` is {}", model.id, model.tier);
    obstacle(Trouble::Tier, reason, Some("another scenario".to_owned()))
}

/// Only of models that the map does not name: it names a model for a row because it is for that work.
fn category(question: &Question, looked: &Looked<'_>) -> Option<Obstacle> {
    if looked.place != Place::Other {
        return None;
    }
    let (model, scenario) = (looked.model, question.scenario);
    let is = |category: &str| model.categories.iter().any(|known| known == category);
    let of_scenario = scenario.categories.is_empty() || scenario.categories.iter().any(|category| is(category));
    let for_work = scenario.fully_open || !NOT_FOR_WORK.iter().any(|category| is(category));
    let is_base = !scenario.fully_open && !scenario.trains && Guide::builtin().is_base(&model.id);
    if of_scenario && for_work {
        let reason = || format!("`{}` is a checkpoint to tune for a task, not to talk to", model.id);
        return is_base.then(|| Obstacle { trouble: Trouble::Category, reason: reason(), change: None });
    }
    let known = match model.categories.as_slice() {
        [] => "what it is for is not known".to_owned(),
        known => format!("it is for {}", known.join(", ")),
    };
    obstacle(Trouble::Category, format!("`{}` is not advised for this: {known}", model.id), None)
}

/// As with categories, only of models that the map does not name.
fn host(question: &Question, looked: &Looked<'_>) -> Option<Obstacle> {
    let hosts = &question.scenario.hosts;
    let offered = looked.offer.as_ref().is_some_and(|offer| offer.named_host);
    if hosts.is_empty() || offered || looked.place != Place::Other {
        return None;
    }
    obstacle(Trouble::Host, format!("none of {} offers `{}`", hosts.join(", "), looked.model.id), None)
}

fn context(question: &Question, model: &Model) -> Option<Obstacle> {
    let asked = question.context_tokens?;
    let id = &model.id;
    match model.context_tokens {
        Some(window) if window >= asked => None,
        Some(window) => {
            let extended = model.context_extended_tokens.filter(|extended| *extended >= asked);
            let change = match extended {
                Some(extended) => {
                    format!("a context of at most {window} tokens; another setting or checkpoint has {extended}")
                }
                None => format!("a context of at most {window} tokens"),
            };
            let reason = format!("the window of `{id}` has {window} tokens, and {asked} are needed");
            obstacle(Trouble::Context, reason, Some(change))
        }
        None => obstacle(Trouble::Context, format!("the window of `{id}` is not known"), None),
    }
}

fn memory(catalog: &Catalog, question: &Question, looked: &Looked<'_>) -> Option<Obstacle> {
    let memory = question.memory_bytes()?;
    let (model, rungs) = (looked.model, &looked.rungs);
    let id = &model.id;
    if rungs.iter().any(|rung| rung.fit == Some(Fit::Fits)) {
        return None;
    }
    if model.availability != Availability::Downloadable {
        return obstacle(Trouble::Memory, format!("there are no weights of `{id}` to put on a GPU"), None);
    }
    let Some(smallest) = rungs.last() else {
        return obstacle(Trouble::Memory, format!("how much memory `{id}` takes is not known"), None);
    };
    let (tokens, quantization) = (smallest.context_tokens, &smallest.quantization);
    let (total, memory_gb) = (gigabytes(smallest.need.total_bytes), gigabytes(memory));
    let reason = match smallest.fit {
        Some(Fit::Unknown) => format!(
            "the shape of `{id}` is not known, so neither is its cache: at {quantization} with {tokens} tokens it \
             takes at most {total} GB, and {memory_gb} GB are there"
        ),
        _ => format!("`{id}` takes {total} GB at {quantization} with {tokens} tokens, and {memory_gb} GB are there"),
    };
    // Up, so that what is advised holds it.
    let enough = smallest.need.total_bytes.div_ceil(super::GB);
    let longest = catalog
        .quantization(quantization)
        .and_then(|quantization| fit::longest_context(model, quantization, memory, tokens))
        .filter(|longest| *longest >= SHORTEST_WORTH_NAMING);
    let change = match longest {
        Some(longest) => format!("{enough} GB of memory, or a context of at most {longest} tokens"),
        None => format!("{enough} GB of memory"),
    };
    obstacle(Trouble::Memory, reason, Some(change))
}

/// With less context a model is of no use.
const SHORTEST_WORTH_NAMING: u64 = 1_024;

fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / super::GB as f64)
}
