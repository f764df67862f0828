//! Which models to take for a task, in order, and why not the others.
//!
//! [`advise`] ranks: the map's choices for the scenario in their order, what the map answers to its questions,
//! fallbacks for business, then every other model of the catalog that is for such work. Whether a licence allows the
//! use is [`decide()`]'s answer and nobody else's; memory is worked out by [`crate::fit`].
//!
//! Every model of the catalog is in the advice: chosen, or ruled out with all that stands in its way and what would
//! change it. Among models that the map does not name the order is that of language, tier, year and size: benchmarks of
//! different makers are not compared.
//!
//! Does not know: how good a model is at your task, what a GPU costs, whether a host is up.

mod guide;
mod obstacle;
mod offer;

use std::cmp::Reverse;
use std::collections::HashSet;

use serde::Serialize;

use crate::fit::{self, Fit, Need};
use crate::{Availability, Catalog, Date, Decision, Model, Use, decide};

use guide::{Answers, GB};
pub use guide::{Fork, ForkAnswer, Guide, LicenseFirst, Order, Scenario, Trap};
pub use obstacle::{Obstacle, Trouble};
pub use offer::Offer;

/// The context that has to fit where the question states none; a model with a shorter window is taken at its window.
pub const CONTEXT_UNASKED: u64 = 8_192;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The row of the matrix that it is about.
    pub scenario: &'static Scenario,
    /// What the model is used for: it decides about licences.
    pub use_: Use,
    /// The day that decisions are for.
    pub today: Date,
    /// The language that a model must know, as in ISO 639-1; else that of the scenario.
    pub language: Option<String>,
    /// The memory that it must fit into; else that of the scenario.
    pub memory_bytes: Option<u64>,
    /// The tokens of context that are needed.
    pub context_tokens: Option<u64>,
    /// Whether data and code must be open beside the weights.
    pub fully_open: bool,
}

impl Question {
    /// The language that counts.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref().or(self.scenario.language.as_deref())
    }

    /// The memory that counts. Training needs another amount than serving, so there is none then.
    pub fn memory_bytes(&self) -> Option<u64> {
        let of_scenario = || self.scenario.memory_gb.map(|gb| gb * GB);
        self.memory_bytes.or_else(of_scenario).filter(|_| !self.scenario.trains)
    }

    fn fully_open(&self) -> bool {
        self.fully_open || self.scenario.fully_open
    }

    /// The context that has to fit for a model.
    fn least_context(&self, model: &Model) -> u64 {
        let unasked = || model.context_tokens.map_or(CONTEXT_UNASKED, |window| window.min(CONTEXT_UNASKED));
        self.context_tokens.unwrap_or_else(unasked)
    }
}

/// The models to take, the best first, and all others with the reasons against them.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// Models to take.
    pub choices: Vec<Choice>,
    /// Models not to take: those that the map names for the scenario first.
    pub ruled_out: Vec<RuledOut>,
}

/// A model to take.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// Its place, from 1.
    pub rank: usize,
    /// Its id.
    pub model: String,
    /// How it got there.
    pub place: Place,
    /// The same in words.
    pub why: String,
    /// Whether it can be had.
    pub availability: Availability,
    /// The context window that the vendor states.
    pub context_tokens: Option<u64>,
    /// What its licences say to the use.
    pub decision: Decision,
    /// The ways to store its weights that were looked at, the best first.
    pub rungs: Vec<Rung>,
    /// The best that fits; where no memory was asked about, the smallest.
    pub quantization: Option<String>,
    /// The cheapest offer of a host.
    pub offer: Option<Offer>,
    /// What an operator should know.
    pub note: Option<String>,
}

impl Choice {
    /// The way to store the weights that is advised.
    pub fn rung(&self) -> Option<&Rung> {
        self.rungs.iter().find(|rung| Some(&rung.quantization) == self.quantization.as_ref())
    }
}

/// A model not to take.
#[derive(Clone, Debug, Serialize)]
pub struct RuledOut {
    /// Its id.
    pub model: String,
    /// Where it would have stood.
    pub place: Place,
    /// All that stands in its way; never empty.
    pub obstacles: Vec<Obstacle>,
}

/// How a model got into the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The map's first choice for the scenario.
    First,
    /// The map's second choice.
    Second,
    /// The map's answer to the question of this number.
    Answer(u8),
    /// What to take where licences close the map's choices to business.
    Fallback,
    /// It is for such work too.
    Other,
}

/// One way to store the weights of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Rung {
    /// The id of the quantization.
    pub quantization: String,
    /// The tokens of context that `need` is for.
    pub context_tokens: u64,
    /// What it takes.
    pub need: Need,
    /// Whether that fits; `None` where no memory was asked about.
    pub fit: Option<Fit>,
    /// The longest context that fits, no longer than the model's window.
    pub longest_context: Option<u64>,
}

/// Ranks the models of `catalog` for a question.
pub fn advise(catalog: &Catalog, question: &Question) -> Advice {
    let mut advice = Advice { choices: Vec::new(), ruled_out: Vec::new() };
    for (model, place) in in_order(catalog, question) {
        let decision = decide(catalog, model, &question.use_, question.today);
        let rungs = rungs(catalog, question, model);
        let offer = offer::cheapest(catalog, question, model);
        let looked = Looked { model, place, decision, rungs, offer };
        let obstacles = obstacle::all(catalog, question, &looked);
        if obstacles.is_empty() {
            let rank = advice.choices.len() + 1;
            advice.choices.push(looked.choice(question, rank));
        } else {
            advice.ruled_out.push(RuledOut { model: model.id.clone(), place, obstacles });
        }
    }
    advice
}

/// A model with what was found out about it.
struct Looked<'a> {
    model: &'a Model,
    place: Place,
    decision: Decision,
    rungs: Vec<Rung>,
    offer: Option<Offer>,
}

impl Looked<'_> {
    fn choice(self, question: &Question, rank: usize) -> Choice {
        let best = self.rungs.iter().find(|rung| rung.fit == Some(Fit::Fits));
        let smallest = || self.rungs.last().filter(|_| question.memory_bytes().is_none());
        let quantization = best.or_else(smallest).map(|rung| rung.quantization.clone());
        Choice {
            rank,
            model: self.model.id.clone(),
            place: self.place,
            why: why(question, self.model, self.place),
            availability: self.model.availability,
            context_tokens: self.model.context_tokens,
            decision: self.decision,
            rungs: self.rungs,
            quantization,
            offer: self.offer,
            note: self.model.note.clone(),
        }
    }
}

/// Every model once: those that are named in their order, then the rest.
fn in_order<'a>(catalog: &'a Catalog, question: &Question) -> Vec<(&'a Model, Place)> {
    let (guide, scenario) = (Guide::builtin(), question.scenario);
    let row = [(&scenario.first, Place::First), (&scenario.second, Place::Second)];
    let row = row.into_iter().flat_map(|(ids, place)| ids.iter().map(move |id| (id, place)));
    let answers = guide.answers(&scenario.id, question.memory_bytes());
    let answers =
        answers.into_iter().flat_map(|(n, answer)| answer.models.iter().map(move |id| (id, Place::Answer(n))));
    let fallbacks = scenario.fallbacks.iter().map(|id| (id, Place::Fallback));
    let named: Vec<(&String, Place)> = match scenario.answers {
        Answers::Before => answers.chain(row).chain(fallbacks).collect(),
        Answers::After => row.chain(answers).chain(fallbacks).collect(),
    };
    let mut seen = HashSet::new();
    let mut models: Vec<_> = named
        .into_iter()
        .filter_map(|(id, place)| Some((catalog.model(id)?, place)))
        .filter(|(model, _)| seen.insert(model.id.as_str()))
        .collect();
    let mut others: Vec<&Model> = catalog.models().filter(|model| !seen.contains(model.id.as_str())).collect();
    others.sort_by_cached_key(|model| standing(catalog, question, model));
    models.extend(others.into_iter().map(|model| (model, Place::Other)));
    models
}

/// What orders the models that the map does not name; the smallest comes first, and the id settles what is equal.
type Standing = (Knows, bool, u64, Reverse<u16>, Reverse<u64>, String);

fn standing(catalog: &Catalog, question: &Question, model: &Model) -> Standing {
    let language = question.language().map_or(Knows::Well, |language| knows(model, language));
    // Whole numbers can be sorted; a millionth of a dollar or of 1e9 parameters is nothing.
    let millionths = |number: f64| (number * 1e6) as u64;
    let first = Guide::builtin().license_first(question.use_.purpose);
    let stricter = first.is_some_and(|first| model.tier > first.tier);
    let (stricter, price) = match question.scenario.order {
        Order::Newest => (stricter, 0),
        Order::Cheapest => {
            let price = offer::cheapest(catalog, question, model).map(|offer| millionths(offer.blended()));
            (false, price.unwrap_or(u64::MAX))
        }
    };
    let size = Reverse(model.parameters_b.map_or(0, millionths));
    (language, stricter, price, Reverse(year(model).unwrap_or(0)), size, model.id.clone())
}

/// How well a model knows a language, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knows {
    Well,
    Listed,
    /// It knows many languages, and nobody lists them.
    Perhaps,
    No,
}

fn knows(model: &Model, language: &str) -> Knows {
    let has = |languages: &[String], code: &str| languages.iter().any(|known| known.eq_ignore_ascii_case(code));
    if has(&model.strong_languages, language) {
        Knows::Well
    } else if has(&model.languages, language) {
        Knows::Listed
    } else if has(&model.languages, "mul") {
        Knows::Perhaps
    } else {
        Knows::No
    }
}

fn year(model: &Model) -> Option<u16> {
    model.release_date.as_deref()?.get(..4)?.parse().ok()
}

fn why(question: &Question, model: &Model, place: Place) -> String {
    match place {
        Place::First => "the map's first choice".to_owned(),
        Place::Second => "the map's second choice".to_owned(),
        Place::Answer(n) => format!("the map's answer to question {n}"),
        Place::Fallback => "fallback for business".to_owned(),
        Place::Other => {
            let language = question.language().map(|language| match knows(model, language) {
                Knows::Well => format!("strong in {language}"),
                Knows::Listed => format!("knows {language}"),
                Knows::Perhaps | Knows::No => format!("many languages, perhaps {language}"),
            });
            let year = year(model).map(|year| format!("released in {year}"));
            let words: Vec<_> = language.into_iter().chain(year).collect();
            if words.is_empty() {
                "for such work too".to_owned()
            } else {
                format!("for such work too: {}", words.join(", "))
            }
        }
    }
}

/// The ways to store the weights that the scenario looks at, with what each takes. Empty where that cannot be known.
fn rungs(catalog: &Catalog, question: &Question, model: &Model) -> Vec<Rung> {
    if model.availability != Availability::Downloadable || question.scenario.trains {
        return Vec::new();
    }
    let (memory, context_tokens) = (question.memory_bytes(), question.least_context(model));
    let ids = Guide::builtin().quantizations(question.scenario);
    ids.iter()
        .filter_map(|id| {
            let quantization = catalog.quantization(id)?;
            let need = fit::need(model, quantization, context_tokens)?;
            let longest = |memory| fit::longest_context(model, quantization, memory, model.context_tokens?);
            Some(Rung {
                quantization: id.clone(),
                context_tokens,
                need,
                fit: memory.map(|memory| need.fit(memory)),
                longest_context: memory.and_then(longest),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
