//! Whether the duties that a use brings about are met: each held against the evidence that somebody gave, and against what was
//! seen on its page since.
//!
//! The duties are those of the decision ([`super::due`]), in its order. A use that is refused brings none about.

use std::sync::Arc;

use serde::Serialize;

use super::clauses::Rights;
use super::due::{Due, Why};
use super::{decide_as_stated, licenses_that_bind};
use crate::standing::Stated;
use crate::{Applies, Catalog, Date, Evidence, Model, ObligationKind, PageCheck, PageChecks, PageResult, Use};

/// How many days beyond its `check_days` a look at a page is relied on: a gateway may be down, or its network.
const GRACE: u16 = 2;

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
    /// The page that showed it does not have the text any more.
    NotFound {
        /// The ids of the rows.
        evidence: Vec<String>,
        /// The last day on which it was seen.
        last_found: Date,
    },
    /// The page that showed it is not the one that somebody saw.
    Changed {
        /// The ids of the rows.
        evidence: Vec<String>,
        /// The last day on which it was.
        last_found: Date,
    },
    /// The page that showed it cannot be had.
    Unreachable {
        /// The ids of the rows.
        evidence: Vec<String>,
        /// The last day on which it was seen.
        last_found: Date,
    },
    /// Nobody has seen it met.
    Missing,
}

/// Every duty that a use of a model brings about on a day, and whether it is met as the rows of evidence say.
pub fn duties(catalog: &Catalog, model: &Model, use_: &Use, today: Date) -> Vec<Duty> {
    duties_checked(catalog, model, use_, today, &PageChecks::new())
}

/// The same, where pages were looked at: the newest look at the page of a row says more than the row.
pub fn duties_checked(catalog: &Catalog, model: &Model, use_: &Use, today: Date, checks: &PageChecks) -> Vec<Duty> {
    let stated = &Stated::of(catalog, use_, today);
    let mut duties = Vec::new();
    if !decide_as_stated(catalog, model, use_, today, stated).outcome.allows() {
        return duties;
    }
    // What is allowed has licences that are known.
    let Ok(licenses) = licenses_that_bind(catalog, model) else { return duties };
    for license in licenses {
        let rights = Rights { catalog, model, license, use_, today, stated };
        rights.dues(|due| duties.push(duty(&rights, due, checks)));
    }
    duties
}

fn duty(rights: &Rights<'_>, due: Due<'_>, checks: &PageChecks) -> Duty {
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
        state: state(rights, due.kind, checks),
    }
}

fn state(rights: &Rights<'_>, kind: ObligationKind, checks: &PageChecks) -> DutyState {
    let today = rights.today;
    let Some(context) = &rights.use_.context else { return DutyState::Missing };
    let about = (rights.catalog.evidence())
        // What is dated ahead has not been looked at yet.
        .filter(|row| row.checked <= today && row.is_about(&rights.license.id, kind, rights.model, context));
    let told: Vec<(&Evidence, Shown)> = about.map(|row| (row, shown(row, checks, today))).collect();
    let ids = |is: &dyn Fn(&Shown) -> bool| {
        let rows = told.iter().filter(|(_, shown)| is(shown));
        rows.map(|(row, _)| row.id.clone()).collect::<Vec<_>>()
    };
    let holds = ids(&|shown| *shown == Shown::Holds);
    if !holds.is_empty() {
        return DutyState::Met { evidence: holds };
    }
    // What is known to be gone says more than what nobody has looked at for a while.
    let lost = told.iter().filter_map(|(_, shown)| match shown {
        Shown::Lost { result, .. } => Some(*result),
        Shown::Holds | Shown::Over { .. } => None,
    });
    if let Some(first) = lost.min() {
        let evidence = ids(&|shown| matches!(shown, Shown::Lost { result, .. } if *result == first));
        let seen = told.iter().filter_map(|(_, shown)| match shown {
            Shown::Lost { result, last_found } if *result == first => Some(*last_found),
            _ => None,
        });
        let last_found = seen.max().unwrap_or(today);
        return match first {
            PageResult::NotFound => DutyState::NotFound { evidence, last_found },
            PageResult::Changed => DutyState::Changed { evidence, last_found },
            PageResult::Found | PageResult::Unreachable => DutyState::Unreachable { evidence, last_found },
        };
    }
    let until = told.iter().filter_map(|(_, shown)| match shown {
        Shown::Over { until } => Some(*until),
        Shown::Holds | Shown::Lost { .. } => None,
    });
    match until.max() {
        Some(last) => DutyState::Stale { evidence: ids(&|_| true), since: last.plus_days(1) },
        None => DutyState::Missing,
    }
}

/// What a row is worth on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It shows its duty met.
    Holds,
    /// It did, until then.
    Over { until: Date },
    /// It did, and its page does not any more.
    Lost { result: PageResult, last_found: Date },
}

fn shown(row: &Evidence, checks: &PageChecks, today: Date) -> Shown {
    let check = checks.get(&row.id).filter(|check| check.on <= today);
    let until = match (row.check_days, check) {
        (Some(days), Some(PageCheck { on, result: PageResult::Found, .. })) => on.plus_days(days.saturating_add(GRACE)),
        (Some(_), Some(check)) => {
            return Shown::Lost { result: check.result, last_found: check.last_found.unwrap_or(row.checked) };
        }
        _ => row.valid_until,
    };
    if until >= today { Shown::Holds } else { Shown::Over { until } }
}
