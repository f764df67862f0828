//! A route as its author wrote it: whom it is for, what it requires, what it prefers, who may serve.
//!
//! Checked for shape by `parse`, not yet bound to a catalog or to deployments; `compile` does that.

use std::ops::RangeInclusive;

use catalog::Tier;

use crate::{Attempts, Capabilities, Facts, read::Spanned};

/// One route of a file.
#[derive(Clone, Debug)]
pub(crate) struct RouteText {
    /// The index of its file among the sources.
    pub(crate) source: usize,
    pub(crate) name: Spanned<String>,
    pub(crate) when: When,
    pub(crate) require: Require,
    /// Absent: the order of `candidates` decides.
    pub(crate) prefer: Option<Prefer>,
    pub(crate) candidates: Vec<Spanned<Selector>>,
    pub(crate) attempts: Attempts,
}

/// What a request must be for a route to take it; an absent part takes every request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct When {
    pub(crate) team: Option<Vec<String>>,
    pub(crate) context: Option<Vec<String>>,
    pub(crate) language: Option<Vec<String>>,
    pub(crate) model: Option<Vec<String>>,
    /// The request needs all of these.
    pub(crate) needs: Capabilities,
    pub(crate) prompt_tokens: Option<RangeInclusive<u64>>,
    pub(crate) stream: Option<bool>,
}

impl When {
    /// Whether the request fits everything but `model` and `team`, by which routes are found.
    pub(crate) fn takes(&self, facts: &Facts, needs: Capabilities) -> bool {
        let among = |names: &Option<Vec<String>>, name: &Option<String>| match (names, name) {
            (None, _) => true,
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => false,
        };
        among(&self.language, &facts.language)
            && among(&self.context, &facts.context)
            && needs.covers(self.needs)
            && self.prompt_tokens.as_ref().is_none_or(|range| range.contains(&facts.prompt_tokens))
            && self.stream.is_none_or(|stream| stream == facts.stream)
    }

    /// Whether every request that `other` takes is taken by this one too.
    pub(crate) fn takes_all_of(&self, other: &When) -> bool {
        fn superset(these: &Option<Vec<String>>, those: &Option<Vec<String>>) -> bool {
            match (these, those) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(these), Some(those)) => those.iter().all(|name| these.contains(name)),
            }
        }
        let everything = 0..=u64::MAX;
        let ours = self.prompt_tokens.as_ref().unwrap_or(&everything);
        let theirs = other.prompt_tokens.as_ref().unwrap_or(&everything);
        superset(&self.team, &other.team)
            && superset(&self.context, &other.context)
            && superset(&self.language, &other.language)
            && superset(&self.model, &other.model)
            && other.needs.covers(self.needs)
            && ours.start() <= theirs.start()
            && ours.end() >= theirs.end()
            && (self.stream.is_none() || self.stream == other.stream)
    }
}

/// What a candidate must be. What is not known of a deployment does not meet a requirement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Require {
    pub(crate) max_tier: Option<Tier>,
    pub(crate) allow_licenses: Option<Vec<Spanned<String>>>,
    pub(crate) deny_licenses: Vec<Spanned<String>>,
    pub(crate) min_context_tokens: Option<u64>,
    pub(crate) capabilities: Capabilities,
    pub(crate) region: Option<Vec<String>>,
    pub(crate) retention: Option<Vec<String>>,
    pub(crate) min_bits: Option<f64>,
    pub(crate) max_input_usd: Option<f64>,
    pub(crate) max_output_usd: Option<f64>,
}

/// How much each factor of the score counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prefer {
    pub(crate) quality: f32,
    pub(crate) cost: f32,
    pub(crate) latency: f32,
    pub(crate) cached_prefix: f32,
}

impl Prefer {
    /// Orders the deployments of one candidate where a route has no `prefer`.
    pub(crate) const EVEN: Prefer = Prefer { quality: 1.0, cost: 1.0, latency: 1.0, cached_prefix: 1.0 };
}

/// An entry of `candidates`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// A catalog model or a deployment, by id.
    Name(String),
    /// `host:ID`: every deployment at a host.
    Host(String),
    /// `family:ID`: every deployment of a model family.
    Family(String),
    /// `any`: every deployment that the list does not reach otherwise.
    Any,
}

impl Selector {
    /// Reads an entry; every text is one.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            _ if text == "any" => Self::Any,
            Some(("host", id)) => Self::Host(id.to_owned()),
            Some(("family", id)) => Self::Family(id.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(id) => f.write_str(id),
            Self::Host(id) => write!(f, "host:{id}"),
            Self::Family(id) => write!(f, "family:{id}"),
            Self::Any => f.write_str("any"),
        }
    }
}
