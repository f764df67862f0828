//! What a use owes in return: each duty with what brings it about.
//!
//! A decision lists them, an explanation shows them, and [`super::duties()`] says which are met; all of them from here.

use std::borrow::Cow;
use std::sync::Arc;

use super::clauses::{About, Clause, Rights, Ruling, purposes};
use crate::{Agreement, Applies, Attestation, Condition, License, ObligationKind, Tier};

/// A duty that binds a use.
pub(super) struct Due<'a> {
    pub(super) kind: ObligationKind,
    pub(super) applies: Applies,
    /// In the words of the licence row or the agreement.
    pub(super) text: Cow<'a, str>,
    /// The same as decisions list it: with whose duty it is.
    pub(super) listed: Arc<str>,
    pub(super) why: Why<'a>,
}

/// What brings a duty about.
pub(super) enum Why<'a> {
    /// The act that the licence names.
    Act,
    /// The licence is one of tier 3 or stricter.
    Purposes,
    /// Other models are trained on answers.
    Training,
    /// A condition is not met, on the word of an attestation, or for want of one.
    Condition { condition: &'a Condition, on: Option<&'a Attestation> },
    /// An agreement stands in for the licence.
    Agreement(&'a Agreement),
}

impl<'a> Rights<'a> {
    /// Shows `visit` every duty, in the order in which decisions list them.
    pub(super) fn dues(&self, mut visit: impl FnMut(Due<'a>)) {
        match self.agreement() {
            Some(agreement) => self.agreed(agreement, visit),
            None => {
                self.clauses(|clause| {
                    if let Some(due) = self.conditional(&clause) {
                        visit(due);
                    }
                });
                self.standing(visit);
            }
        }
    }

    /// The duty that a clause comes to.
    pub(super) fn conditional(&self, clause: &Clause<'a>) -> Option<Due<'a>> {
        let Ruling::Owes { duty, on } = clause.ruling else { return None };
        let (applies, why) = match clause.about {
            About::Condition(condition) => (condition.applies, Why::Condition { condition, on }),
            _ => (Applies::Use, Why::Training),
        };
        let listed = format!("{}: {duty}", self.license.name).into();
        Some(Due { kind: ObligationKind::Other, applies, text: duty.into(), listed, why })
    }

    /// The duties that a licence asks for whatever its clauses come to.
    pub(super) fn standing(&self, mut visit: impl FnMut(Due<'a>)) {
        let license = self.license;
        if let Some(bound) = bound_to_purposes(license) {
            let listed = format!("{}: {bound}", license.name).into();
            let (kind, why) = (ObligationKind::Purpose, Why::Purposes);
            visit(Due { kind, applies: Applies::Use, text: bound.into(), listed, why });
        }
        for (obligation, listed) in license.obligations.iter().zip(&license.duties) {
            if super::applies_to(obligation.applies, self.use_) {
                visit(Due {
                    kind: obligation.kind,
                    applies: obligation.applies,
                    text: obligation.text.as_str().into(),
                    listed: Arc::clone(listed),
                    why: Why::Act,
                });
            }
        }
    }

    /// The duties of the agreement that stands in for the licence.
    pub(super) fn agreed(&self, agreement: &'a Agreement, mut visit: impl FnMut(Due<'a>)) {
        for duty in &agreement.obligations {
            visit(Due {
                kind: ObligationKind::Other,
                applies: Applies::Use,
                text: duty.as_str().into(),
                listed: format!("agreement {}: {duty}", agreement.id).into(),
                why: Why::Agreement(agreement),
            });
        }
    }
}

/// What a licence of tier 3 or stricter asks of every use: to stay within its purposes.
pub(crate) fn bound_to_purposes(license: &License) -> Option<String> {
    let outputs = if license.outputs.purpose_bound { ", nor of what it writes" } else { "" };
    (license.tier >= Tier::Research).then(|| format!("{}; no other use of the model{outputs}", purposes(license)))
}
