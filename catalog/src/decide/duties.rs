//! Whether the duties that a use brings about are met: each held against the evidence that somebody gave.
//!
//! The duties are those of the decision ([`super::due`]), in its order. A use that is refused brings none about.

use std::sync::Arc;

use serde::Serialize;

use super::clauses::Rights;
use super::due::{Due, Why};
use super::{decide_as_stated, licenses_that_bind};
use crate::standing::Stated;
use crate::{Applies, Catalog, Date, Evidence, Model, ObligationKind, Use};

/// A duty of a use, what brings it about, and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duty {
    /// The licence that asks for it, or that an agreement stands in for.
    pub license: String,
    /// The agreement that asks for it, where it is not the licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// What sort of duty it is.
    pub kind: ObligationKind,
    /// The act that brings it about.
    pub applies: Applies,
    /// The duty in plain words; a text to show stands in quotation marks.
    pub text: String,
    /// Why it binds this use.
    pub trigger: String,
    /// The duty as the decision lists it.
    pub obligation: Arc<str>,
    /// Whether it is met.
    #[serde(flatten)]
    pub state: DutyState,
}

/// Whether a duty is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum DutyState {
    /// Evidence says so on this day.
    Met {
        /// The ids of the rows.
        evidence: Vec<String>,
    },
    /// Evidence said so, and nothing does since.
    Stale {
        /// The ids of the rows.
        evidence: Vec<String>,
        /// The first day on which none of them held any more.
        since: Date,
    },
    /// Nobody has seen it met.
    Missing,
}

/// Every duty that a use of a model brings about on a day, and whether it is met.
pub fn duties(catalog: &Catalog, model: &Model, use_: &Use, today: Date) -> Vec<Duty> {
    let stated = &Stated::of(catalog, use_, today);
    let mut duties = Vec::new();
    if !decide_as_stated(catalog, model, use_, today, stated).outcome.allows() {
        return duties;
    }
    // What is allowed has licences that are known.
    let Ok(licenses) = licenses_that_bind(catalog, model) else { return duties };
    for license in licenses {
        let rights = Rights { catalog, model, license, use_, today, stated };
        rights.dues(|due| duties.push(duty(&rights, due)));
    }
    duties
}

fn duty(rights: &Rights<'_>, due: Due<'_>) -> Duty {
    let license = rights.license;
    let use_ = rights.use_;
    let act = match due.applies {
        Applies::Use => "any use of the model brings it about".to_owned(),
        Applies::Business => format!("business use brings it about, and the purpose is {}", use_.purpose.name()),
        Applies::Service => "people outside the company see what the model writes".to_owned(),
        Applies::Distribution => "weights are handed out".to_owned(),
    };
    let trigger = match &due.why {
        Why::Act => act,
        Why::Purposes => format!("the licence is of {}, and every use has to stay within its purposes", license.tier),
        Why::Training => format!("other models are trained on answers: the activity is {}", use_.activity.name()),
        Why::Condition { condition, on: Some(attestation) } => {
            format!("{}; `{}` of {} says that it is not so", condition.text, attestation.id, attestation.signed_by)
        }
        Why::Condition { condition, on: None } => format!("{}; nobody answers for it", condition.text),
        Why::Agreement(agreement) => {
            format!(
                "the agreement `{}` stands in for the {} until {}",
                agreement.id, license.name, agreement.valid_until
            )
        }
    };
    let agreement = match due.why {
        Why::Agreement(agreement) => Some(agreement.id.clone()),
        _ => None,
    };
    Duty {
        license: license.id.clone(),
        agreement,
        kind: due.kind,
        applies: due.applies,
        text: due.text.into_owned(),
        trigger,
        obligation: due.listed,
        state: state(rights, due.kind),
    }
}

fn state(rights: &Rights<'_>, kind: ObligationKind) -> DutyState {
    let Some(context) = &rights.use_.context else { return DutyState::Missing };
    let about: Vec<&Evidence> = (rights.catalog.evidence())
        // What is dated ahead has not been looked at yet.
        .filter(|row| row.checked <= rights.today && row.is_about(&rights.license.id, kind, rights.model, context))
        .collect();
    let ids = |rows: &[&Evidence]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    let (holds, over): (Vec<&Evidence>, Vec<&Evidence>) =
        about.into_iter().partition(|row| row.valid_until >= rights.today);
    match over.iter().map(|row| row.valid_until).max() {
        _ if !holds.is_empty() => DutyState::Met { evidence: ids(&holds) },
        Some(last) => DutyState::Stale { evidence: ids(&over), since: last.plus_days(1) },
        None => DutyState::Missing,
    }
}
