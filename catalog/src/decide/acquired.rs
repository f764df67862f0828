//! What changes when another company joins an entity: licences that speak of "the licensee or its affiliates" then speak of
//! that company too.
//!
//! A catalog is built as it would be that day, and both decide; there is no second procedure. In it, what the entity
//! attested without naming contexts says nothing of the group any more, except where it said that a condition is not met. In
//! the place of a figure stands the same with the affiliate's added; where nobody states the affiliate's figure, nothing
//! does. What was attested of a product, or is asked of the licensee alone, stays. A figure of a past month is treated
//! alike: whether the terms count companies that joined later is for counsel to say.

use std::sync::Arc;

use serde::Serialize;

use super::clauses::{About, Clause, Rights, Ruling};
use super::{Class, Decision, licenses_that_bind};
use crate::standing::Stated;
use crate::{Attestation, Catalog, Date, Metric, Model, Outcome, Use};

/// A company that joins.
#[derive(Clone, Copy, Debug)]
pub struct Affiliate<'a> {
    /// The entity that it joins.
    pub entity: &'a str,
    /// Its figures, each the greatest of the time that counts. Of a metric that is not here nothing is known.
    pub figures: &'a [(Metric, u64)],
    /// ISO 3166 code of the country where it has its seat. With one, each use is also decided as the affiliate's own.
    pub seat: Option<&'a str>,
}

/// A clause of a licence that comes to something else once the affiliate is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The context.
    pub context: String,
    /// The model.
    pub model: String,
    /// The affiliate's seat, where the change is of the use as its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// What the use comes to today.
    pub before: Outcome,
    /// What it comes to with the affiliate.
    pub after: Outcome,
    /// The licence.
    pub license: String,
    /// The clause, in its words.
    pub condition: String,
    /// Why it comes to something else, and what would be accepted.
    pub reason: String,
}

/// Every change for these uses, each under the name of its context, and these models. A model that the catalog does not know
/// is refused before and after, so there is nothing to tell of it.
pub fn acquired<'m>(
    catalog: &Catalog,
    uses: &[(&str, &Use)],
    affiliate: &Affiliate<'_>,
    today: Date,
    models: impl IntoIterator<Item = &'m str>,
) -> Vec<Change> {
    let joined = joined(catalog, affiliate);
    let models: Vec<&Model> = models.into_iter().filter_map(|id| catalog.model(id)).collect();
    let mut changes = Vec::new();
    for (context, use_) in uses.iter().filter(|(_, use_)| use_.entity.as_deref() == Some(affiliate.entity)) {
        let (alone, together) = (Side::of(catalog, use_, today), Side::of(&joined, use_, today));
        let moved = affiliate.seat.map(|seat| Use { seat: Some(seat.to_owned()), ..(*use_).clone() });
        let moved = moved.as_ref().map(|moved| Side::of(&joined, moved, today));
        for id in models.iter().map(|model| model.id.as_str()) {
            let before = alone.outcome(id);
            let mut tell = |from: &Side<'_>, to: &Side<'_>, seat: Option<&str>| {
                for (license, condition, reason) in compared(id, from, to, affiliate) {
                    changes.push(Change {
                        context: (*context).to_owned(),
                        model: id.to_owned(),
                        seat: seat.map(str::to_owned),
                        before,
                        after: to.outcome(id),
                        license,
                        condition,
                        reason,
                    });
                }
            };
            tell(&alone, &together, None);
            if let Some(moved) = &moved {
                // What changes wherever the affiliate sits was told.
                tell(&together, moved, affiliate.seat);
            }
        }
    }
    changes
}

/// The catalog as it would be with the affiliate.
fn joined(catalog: &Catalog, affiliate: &Affiliate<'_>) -> Catalog {
    let mut rows = catalog.rows().clone();
    let mut of_all = Vec::new();
    for row in rows.attestations.iter_mut().filter(|row| row.entity == affiliate.entity && row.contexts.is_empty()) {
        if let (Some(bound), Some(figure)) = (row.at_most, affiliate.figure(row.metric)) {
            of_all.push(Attestation { at_most: Some(bound.saturating_add(figure)), ..row.clone() });
        }
        row.without_affiliates = true;
    }
    rows.attestations.extend(of_all);
    catalog.changed("acquired", &format!("{affiliate:?}"), rows)
}

impl Affiliate<'_> {
    /// Its figure; of several the greatest.
    fn figure(&self, metric: Metric) -> Option<u64> {
        self.figures.iter().filter(|(of, _)| *of == metric).map(|(_, figure)| *figure).max()
    }
}

/// A use in a catalog.
struct Side<'a> {
    catalog: &'a Catalog,
    use_: &'a Use,
    today: Date,
    stated: Stated,
    class: Arc<Class>,
}

impl<'a> Side<'a> {
    fn of(catalog: &'a Catalog, use_: &'a Use, today: Date) -> Side<'a> {
        let (stated, class) = (Stated::of(catalog, use_, today), catalog.class(use_, today));
        Side { catalog, use_, today, stated, class }
    }

    fn decision(&self, model: &str) -> Option<Arc<Decision>> {
        Some(self.class.decision(self.catalog, self.catalog.model(model)?))
    }

    fn outcome(&self, model: &str) -> Outcome {
        self.decision(model).map_or(Outcome::Deny, |decision| decision.outcome)
    }

    /// What each licence that no agreement stands in for says, clause by clause.
    fn rights(&self, model: &str) -> Vec<Rights<'_>> {
        let Some(model) = self.catalog.model(model) else { return Vec::new() };
        let licenses = licenses_that_bind(self.catalog, model).unwrap_or_default();
        let (catalog, use_, today, stated) = (self.catalog, self.use_, self.today, &self.stated);
        let rights = licenses.into_iter().map(|license| Rights { catalog, model, license, use_, today, stated });
        rights.filter(|rights| rights.agreement().is_none()).collect()
    }
}

/// The clauses that come to something else, each with its licence and why, where the decision does.
fn compared(model: &str, from: &Side<'_>, to: &Side<'_>, affiliate: &Affiliate<'_>) -> Vec<(String, String, String)> {
    let (Some(before), Some(after)) = (from.decision(model), to.decision(model)) else { return Vec::new() };
    let grounds = |decision: &Decision| (decision.outcome, decision.rule, Arc::clone(&decision.license));
    if grounds(&before) == grounds(&after) && before.obligations == after.obligations && before.missing == after.missing
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (from, to) in from.rights(model).iter().zip(&to.rights(model)) {
        // Which clauses concern a use depends neither on what was attested nor on the seat, so they come in pairs.
        for (was, is) in clauses(from).iter().zip(&clauses(to)) {
            if std::mem::discriminant(&was.ruling) != std::mem::discriminant(&is.ruling) {
                found.push((to.license.id.clone(), words(is), reason(was, is, to, affiliate)));
            }
        }
    }
    found
}

fn clauses<'a>(rights: &Rights<'a>) -> Vec<Clause<'a>> {
    let mut clauses = Vec::new();
    rights.clauses(|clause| clauses.push(clause));
    clauses
}

/// The words of a clause that attestations or a seat can decide.
fn words(clause: &Clause<'_>) -> String {
    match clause.about {
        About::Condition(condition) => condition.text.clone(),
        About::Territory(territory) => territory.text.clone(),
        About::Purpose | About::Service | About::Domain(_) | About::Training => clause.rule.to_owned(),
    }
}

fn reason(was: &Clause<'_>, is: &Clause<'_>, rights: &Rights<'_>, affiliate: &Affiliate<'_>) -> String {
    let then = match is.ruling {
        Ruling::Holds { .. } => format!("`{}` meets it", rights.model.id),
        Ruling::Owes { duty, .. } => format!("so the use owes: {duty}"),
        Ruling::Lacking | Ruling::Refused => rights.reason(is),
    };
    let Ruling::Holds { on: Some(attestation) } = was.ruling else { return then };
    let metric = attestation.metric.name();
    let with = match (attestation.at_most, affiliate.figure(attestation.metric)) {
        (Some(bound), Some(figure)) => format!("with the affiliate {metric} may be {}", bound.saturating_add(figure)),
        (Some(_), None) => format!("nobody states {metric} of the affiliate"),
        (None, _) => "nobody answers for the affiliate".to_owned(),
    };
    format!("`{}` of {} answers for the entity alone, and {with}: {then}", attestation.id, attestation.signed_by)
}
