//! What the clauses of a model's licences, its clarification, its data and the company's rules come to together.

use std::sync::Arc;

use super::clauses::{Clause, Rights, Ruling};
use super::due::Due;
use super::{Decision, Need, Outcome, Owed, UNKNOWN, deny};
use crate::company_rule::{CompanyRule, Mode, RuleSpoke, Then};
use crate::standing::{SOON_DAYS, Stated};
use crate::{Catalog, Clarification, Date, Derivation, License, Model, Tier, Use, Waiver};

/// What the clauses of all licences came to.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    refusal: Option<(&'static str, &'a License, String)>,
    lacking: Option<(&'a License, String)>,
    missing: Vec<Need>,
    obligations: Vec<Arc<str>>,
    owed: Owed,
    findings: Vec<Arc<str>>,
    rests_on: Vec<Arc<str>>,
    valid_until: Option<Date>,
    pub(super) by_agreement: Option<&'a str>,
    by_waiver: Option<&'a str>,
    /// Rules of the company that deny, and that say where to go instead.
    forbidden: Option<&'a CompanyRule>,
    routed: Vec<&'a CompanyRule>,
    spoke: Vec<RuleSpoke>,
}

impl<'a> Gathered<'a> {
    pub(super) fn take(&mut self, rights: &Rights<'a>, clause: Clause<'a>) {
        let license = rights.license;
        match clause.ruling {
            Ruling::Holds { on } => {
                if let Some(attestation) = on {
                    self.rests_on(&attestation.id, attestation.valid_until, rights.today);
                }
            }
            Ruling::Owes { on, .. } => {
                if let Some(due) = rights.conditional(&clause) {
                    self.owe(due);
                }
                if let Some(attestation) = on {
                    self.rests_on(&attestation.id, attestation.valid_until, rights.today);
                }
            }
            Ruling::Refused | Ruling::Lacking => {
                if let Some(waiver) = rights.waiver(clause.rule) {
                    self.waived(clause.rule, waiver, rights.today);
                } else if matches!(clause.ruling, Ruling::Lacking) {
                    self.missing.extend(rights.need(&clause));
                    if self.lacking.is_none() {
                        self.lacking = Some((license, rights.reason(&clause)));
                    }
                } else if self.refusal.is_none() {
                    self.refusal = Some((clause.rule, license, rights.reason(&clause)));
                }
            }
        }
    }

    /// A duty, and its kind.
    pub(super) fn owe(&mut self, due: Due<'a>) {
        self.obligations.push(due.listed);
        self.owed = self.owed.and(Owed::kind(due.kind));
    }

    pub(super) fn rests_on(&mut self, id: &str, ends: Date, today: Date) {
        if self.rests_on.iter().any(|known| &**known == id) {
            return;
        }
        self.rests_on.push(id.into());
        self.valid_until = Some(self.valid_until.map_or(ends, |until| until.min(ends)));
        if ends <= today.plus_days(SOON_DAYS) {
            self.findings.push(format!("`{id}`, on which this rests, ends on {ends}").into());
        }
    }

    /// The word of counsel on these weights, and whether the catalog says otherwise of the model.
    pub(super) fn clarified(&mut self, catalog: &Catalog, model: &Model, by: &Clarification, today: Date) {
        self.rests_on(&by.id, by.valid_until, today);
        let Some(row) = catalog.model(&model.id).filter(|row| row.license != UNKNOWN && row.tier != model.tier) else {
            return;
        };
        self.findings.push(
            format!(
                "`{}` of {} puts these weights in {}, and the catalog's row of `{}` in {}",
                by.id, by.signed_by, model.tier, model.id, row.tier
            )
            .into(),
        );
    }

    /// Data that the model was trained on binds nobody by its licence; where that would not allow the use, or is not known,
    /// somebody should look at it.
    pub(super) fn look_at_data(&mut self, catalog: &Catalog, model: &Model, use_: &Use) {
        for parent in model.parents.iter().filter(|parent| parent.by == Derivation::TrainedOn) {
            let id = &parent.of;
            let licenses = catalog.model(id).map(|data| catalog.licenses_of(data)).unwrap_or_default();
            let rows: Vec<_> = licenses.iter().map(|id| catalog.license(id).filter(|row| row.id != UNKNOWN)).collect();
            let strange = rows.iter().flatten().find(|license| !license.allows.contains(&use_.purpose));
            let why = match strange {
                _ if rows.is_empty() || rows.contains(&None) => "whose licence is not known".to_owned(),
                Some(license) => format!("which is under the {} (`{}`, {})", license.name, license.id, license.tier),
                None => continue,
            };
            self.findings.push(format!("`{}` was trained on `{id}`, {why}", model.id).into());
        }
    }

    /// What the company's own rules say.
    pub(super) fn heed(&mut self, catalog: &'a Catalog, model: &Model, stated: &Stated, today: Date) {
        for rule in stated.rules.iter().map(|at| catalog.company_rule(*at)) {
            if !rule.is_about_model(catalog, model) {
                continue;
            }
            let decides = rule.mode == Mode::Enforce;
            let waiver = stated.waiver(catalog, &rule.id, &model.id).filter(|_| decides && rule.then != Then::Warn);
            let enforced = decides && waiver.is_none();
            self.spoke.push(RuleSpoke { rule: rule.id.as_str().into(), outcome: rule.then.outcome(), enforced });
            if let Some(waiver) = waiver {
                self.waived(&rule.id, waiver, today);
            }
            match rule.then {
                _ if !enforced => {}
                Then::Warn => self.findings.push(format!("the company's rule `{}`: {}", rule.id, rule.reason).into()),
                Then::Route => self.routed.push(rule),
                Then::Deny => self.forbidden = self.forbidden.or(Some(rule)),
            }
        }
    }

    fn waived(&mut self, rule: &str, waiver: &'a Waiver, today: Date) {
        self.by_waiver.get_or_insert(waiver.id.as_str());
        self.rests_on(&waiver.id, waiver.last_day(), today);
        let by = waiver.approved_by.join(" and ");
        self.findings
            .push(format!("the rule {rule} is waived by {by} until {}: {}", waiver.last_day(), waiver.reason).into());
    }

    pub(super) fn decision(self, model: &Model, licenses: &[&'a License], use_: &Use) -> Decision {
        // `licenses` is sorted and never empty: a model always has the licence of its weights.
        let strictest = licenses[0];
        let tier = strictest.tier.max(model.tier);
        if let Some(refused) = self.refused(tier, strictest, model) {
            return refused;
        }
        let outcome = match (self.findings.is_empty(), self.obligations.is_empty()) {
            (false, _) => Outcome::Warn,
            (true, false) => Outcome::AllowWithObligations,
            (true, true) => Outcome::Allow,
        };
        let rule = match (self.by_agreement, strictest.tier) {
            (Some(_), _) => "agreement",
            (None, Tier::Free) => "tier1-free",
            (None, Tier::Conditional) => "tier2-conditional",
            (None, Tier::Research) => "tier3-allowed-purpose",
            // A licence of tier 5 allows nothing (`crate::check`), so only an agreement gets it here.
            (None, Tier::NonCommercial | Tier::Closed) => "tier4-allowed-purpose",
        };
        let under = match self.obligations.len() {
            0 => String::new(),
            1 => " under 1 obligation".to_owned(),
            n => format!(" under {n} obligations"),
        };
        let (id, name, license, purpose) = (&model.id, &strictest.name, &strictest.id, use_.purpose.name());
        let reason = match (self.by_agreement, self.by_waiver) {
            (_, Some(waiver)) => format!(
                "`{id}` is under the {name} (`{license}`, {tier}), and only the waiver `{waiver}` lets {purpose} use go ahead{under}"
            ),
            (Some(agreement), None) => {
                format!(
                    "`{id}` is under the {name} (`{license}`, {tier}), and the agreement `{agreement}` allows {purpose} use{under}"
                )
            }
            (None, None) => {
                format!("`{id}` is under the {name} (`{license}`, {tier}), which allows {purpose} use{under}")
            }
        };
        Decision {
            outcome,
            rule,
            license: strictest.id.as_str().into(),
            tier,
            reason: reason.into(),
            obligations: self.obligations.into(),
            owed: self.owed,
            findings: self.findings.into(),
            missing: Arc::new([]),
            rests_on: self.rests_on.into(),
            alternatives: Arc::new([]),
            company_rules: self.spoke.into(),
            valid_until: self.valid_until,
        }
    }
    /// The decision where something holds back.
    fn refused(&self, tier: Tier, strictest: &License, model: &Model) -> Option<Decision> {
        let (id, strict_id) = (&model.id, &strictest.id);
        let own = |rule: &CompanyRule, does: &str| {
            format!("the company's rule `{}` {does} `{id}` for this use: {}", rule.id, rule.reason)
        };
        let mut refused = match (&self.refusal, self.forbidden, &self.lacking, self.routed.first()) {
            (Some((rule, license, reason)), ..) => deny(tier, rule, &license.id, reason.clone()),
            (_, Some(rule), ..) => deny(tier, "company-rule", strict_id, own(rule, "forbids")),
            (_, _, Some((license, reason)), _) => Decision {
                outcome: Outcome::RequireAttestation,
                missing: self.missing.clone().into(),
                ..deny(tier, "attestation-missing", &license.id, reason.clone())
            },
            (_, _, _, Some(rule)) => deny(tier, "company-rule", strict_id, own(rule, "turns away from")),
            (None, None, None, None) => return None,
        };
        if self.forbidden.is_none() && !self.routed.is_empty() {
            let mut to: Vec<Arc<str>> = Vec::new();
            for name in self.routed.iter().flat_map(|rule| &rule.to) {
                if !to.iter().any(|known| **known == **name) {
                    to.push(name.as_str().into());
                }
            }
            let names = to.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            refused.reason = format!("{}; the company's rules ask {names} instead", refused.reason).into();
            (refused.outcome, refused.alternatives) = (Outcome::Route, to.into());
        }
        refused.company_rules = self.spoke.clone().into();
        Some(refused)
    }
}
