//! What a company has stated, bought or excepted: attestations, agreements and waivers, as rows of its own catalog file.
//!
//! Each has an end, each names who stands for it, and each counts only for the entity and contexts that it names. On a day
//! outside its time it is not there. Knows nothing of how a decision weighs them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Answer, Catalog, Condition, Date, Metric, Month, Scope, Signature, Use};

/// What ends within so many days is worth a look.
pub(crate) const SOON_DAYS: u16 = 30;

/// Somebody answers for a figure or a fact about an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Its name, unique.
    pub id: String,
    /// The entity that it is about, affiliates included.
    pub entity: String,
    /// What was measured or asked.
    pub metric: Metric,
    /// The licences that a question was answered for; figures need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// The contexts whose products it is about; none means all of the entity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
    /// The month that was measured. Without one it speaks of every month up to the day it was signed, and goes on to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<Month>,
    /// The figure was no greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// The figure was greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_than: Option<u64>,
    /// The answer to a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who answers for it.
    pub signed_by: String,
    /// The day on which it was signed.
    pub signed: Date,
    /// The last day on which it may be relied on.
    pub valid_until: Date,
    /// Where the evidence is: an address or a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The signature of `signed_by` in Base64: see `signers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// It speaks of the entity as it was before another company joined: only in catalogs that suppose so.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) without_affiliates: bool,
}

/// A contract that gives rights which the public licence holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its name, unique.
    pub id: String,
    /// The public licences that it stands in for.
    pub licenses: Vec<String>,
    /// The models that it covers; none means all under those licences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The entity that has it.
    pub entity: String,
    /// The contexts that it covers; none means all of the entity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
    /// Its first day.
    pub valid_from: Date,
    /// Its last day.
    pub valid_until: Date,
    /// What it asks for, in plain words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
    /// Digest or address of the document.
    pub document: String,
}

/// An exception that somebody answers for: the rules that it names do not refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Its name, unique.
    pub id: String,
    /// The rules that it lifts, and no others.
    pub rules: Vec<String>,
    /// The models that it covers.
    pub models: Vec<String>,
    /// The contexts that it covers.
    pub contexts: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// Who approved it: others than who asked, two of them where a model is of tier 3 or stricter.
    pub approved_by: Vec<String>,
    /// Its first day.
    pub created: Date,
    /// Its last day.
    pub expires: Date,
    /// The day on which it was taken back: from that day on it lifts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Date>,
    /// Where it was asked for and discussed: the number or address of a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// How many requests may rest on it; none means any number. The catalog only holds the figure: whoever serves counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_requests: Option<u64>,
    /// The signatures of all of `approved_by`: see `signers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// The rows of a catalog that speak of one use on one day, by their numbers. Found once for all models.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    pub(crate) attestations: Vec<usize>,
    pub(crate) agreements: Vec<usize>,
    pub(crate) waivers: Vec<usize>,
    /// The company's own rules.
    pub(crate) rules: Vec<usize>,
}

impl Stated {
    pub(crate) fn of(catalog: &Catalog, use_: &Use, today: Date) -> Stated {
        fn numbers<T>(rows: impl Iterator<Item = T>, speaks: impl Fn(&T) -> bool) -> Vec<usize> {
            rows.enumerate().filter(|(_, row)| speaks(row)).map(|(at, _)| at).collect()
        }
        Stated {
            attestations: numbers(catalog.attestations(), |row| row.speaks_of(use_, today)),
            agreements: numbers(catalog.agreements(), |row| row.speaks_of(use_, today)),
            waivers: numbers(catalog.waivers(), |row| row.speaks_of(use_, today)),
            rules: numbers(catalog.company_rules(), |rule| rule.is_about_use(use_)),
        }
    }

    /// The waiver that lifts a rule for a model; of several the one that lasts longest.
    pub(crate) fn waiver<'a>(&self, catalog: &'a Catalog, rule: &str, model: &str) -> Option<&'a Waiver> {
        let waivers = self.waivers.iter().map(|at| catalog.waiver(*at));
        waivers.filter(|waiver| waiver.lifts(rule, model)).max_by_key(|waiver| (waiver.last_day(), &waiver.id))
    }
}

/// What an attestation says of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is true.
    Met,
    /// It is not.
    NotMet,
}

impl Attestation {
    /// Whether it may be relied on in a use on a day.
    fn speaks_of(&self, use_: &Use, today: Date) -> bool {
        (self.signed..=self.valid_until).contains(&today)
            && Some(&self.entity) == use_.entity.as_ref()
            && covers(&self.contexts, use_.context.as_ref())
    }

    /// What it says of a condition of `license`, in a use that it speaks of; `None` where it says nothing.
    pub(crate) fn answers(&self, license: &str, condition: &Condition) -> Option<Answered> {
        // A figure of one product says nothing of the whole group.
        let wide_enough = self.contexts.is_empty() || condition.scope == Scope::Product;
        if !wide_enough || self.metric != condition.metric {
            return None;
        }
        if self.metric.is_question() && !self.licenses.iter().any(|id| id == license) {
            return None;
        }
        let of_that_time = match (condition.month, self.month) {
            (Some(asked), Some(measured)) => asked == measured,
            (Some(asked), None) => asked.last_day() <= self.signed,
            (None, measured) => measured.is_none(),
        };
        if !of_that_time {
            return None;
        }
        // What is not so of a part of the group is not so of the group.
        let of_all = !(self.without_affiliates && condition.scope == Scope::Group);
        let met = |met| match met {
            true => of_all.then_some(Answered::Met),
            false => Some(Answered::NotMet),
        };
        match (condition.at_most, condition.answer) {
            (Some(limit), _) => match (self.at_most, self.more_than) {
                (Some(at_most), _) if at_most <= limit => met(true),
                (_, Some(more_than)) if more_than >= limit => met(false),
                _ => None,
            },
            (None, Some(wanted)) => self.answer.and_then(|answer| met(answer == wanted)),
            (None, None) => None,
        }
    }
}

impl Agreement {
    /// Whether it covers a use on a day.
    fn speaks_of(&self, use_: &Use, today: Date) -> bool {
        (self.valid_from..=self.valid_until).contains(&today)
            && Some(&self.entity) == use_.entity.as_ref()
            && covers(&self.contexts, use_.context.as_ref())
    }

    /// Whether it stands in for `license` of `model`, in a use that it covers.
    pub(crate) fn stands_in(&self, license: &str, model: &str) -> bool {
        self.licenses.iter().any(|id| id == license)
            && (self.models.is_empty() || self.models.iter().any(|id| id == model))
    }
}

impl Waiver {
    /// The last day on which it lifts anything: its last, or the one before it was taken back. One that was taken back on
    /// its first day never did.
    pub fn last_day(&self) -> Date {
        self.revoked.map_or(self.expires, |revoked| revoked.day_before().min(self.expires))
    }

    /// Whether it covers a use on a day.
    fn speaks_of(&self, use_: &Use, today: Date) -> bool {
        (self.created..=self.last_day()).contains(&today)
            && use_.context.as_ref().is_some_and(|context| self.contexts.contains(context))
    }

    /// Whether it lifts `rule` for `model`, in a use that it covers.
    fn lifts(&self, rule: &str, model: &str) -> bool {
        self.rules.iter().any(|lifted| lifted == rule) && self.models.iter().any(|id| id == model)
    }
}

/// Whether a list of contexts covers one; an empty list covers all.
fn covers(contexts: &[String], context: Option<&String>) -> bool {
    contexts.is_empty() || context.is_some_and(|context| contexts.contains(context))
}
