//! What must hold of attestations, agreements and waivers before anything may rest on them.

use std::collections::BTreeSet;

use super::{Known, MAX_NAME, MAX_TEXT, Report};
use crate::decide::can_be_waived;
use crate::load::Key;
use crate::nearest::{cut, nearest};
use crate::{Agreement, Attestation, Date, RULES, Tier, Waiver};

/// Entries of one list of a row.
pub(super) const MAX_LISTED: usize = 64;

/// A waiver of a rule about a model of tier 1 or 2 lasts no longer.
const MAX_DAYS: u16 = 366;
/// A waiver that a stricter model is part of lasts no longer.
const MAX_STRICT_DAYS: u16 = 92;

pub(super) fn attestation(row: &Attestation, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "entity", &row.entity, MAX_NAME);
    report.bound(Key::Id, "name of who signed", &row.signed_by, MAX_NAME);
    report.bound(Key::Id, "evidence", row.evidence.as_deref().unwrap_or_default(), MAX_TEXT);
    said(&row.signed_by, "signed_by", report);
    in_order(row.signed, row.valid_until, report);
    listed(row.contexts.len(), "contexts", report);
    listed(row.licenses.len(), "licenses", report);
    for (n, id) in row.licenses.iter().enumerate().take(MAX_LISTED) {
        known.licenses.resolve(id, Key::LicenseOf(n), report);
    }
    let metric = row.metric.name();
    let problem = if row.metric.is_question() {
        let figures = row.at_most.is_some() || row.more_than.is_some() || row.month.is_some();
        (row.answer.is_none() || figures || row.licenses.is_empty()).then(|| {
            (
                format!("{metric} is a question about a licence"),
                "expected `answer: yes` or `answer: no`, and `licenses`",
            )
        })
    } else {
        (row.at_most.is_some() == row.more_than.is_some() || row.answer.is_some())
            .then(|| (format!("{metric} is a figure"), "expected either `at_most` or `more_than`"))
    };
    if let Some((message, expected)) = problem {
        report.problem(Key::Value, "attestation-without-value", message, Some(expected.to_owned()));
    }
}

pub(super) fn agreement(row: &Agreement, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "entity", &row.entity, MAX_NAME);
    report.bound(Key::Id, "document", &row.document, MAX_TEXT);
    for duty in &row.obligations {
        report.bound(Key::Id, "obligation", duty, MAX_TEXT);
    }
    in_order(row.valid_from, row.valid_until, report);
    for (count, what) in [
        (row.licenses.len(), "licenses"),
        (row.models.len(), "models"),
        (row.contexts.len(), "contexts"),
        (row.obligations.len(), "obligations"),
    ] {
        listed(count, what, report);
    }
    if row.licenses.is_empty() {
        needs_one("licenses", report);
    }
    for (n, id) in row.licenses.iter().enumerate().take(MAX_LISTED) {
        known.licenses.resolve(id, Key::LicenseOf(n), report);
    }
    for (n, id) in row.models.iter().enumerate().take(MAX_LISTED) {
        known.models.resolve(id, Key::ModelOf(n), report);
    }
}

pub(super) fn waiver(row: &Waiver, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "reason", &row.reason, MAX_TEXT);
    report.bound(Key::Id, "name of who asked", &row.requested_by, MAX_NAME);
    said(&row.reason, "reason", report);
    said(&row.requested_by, "requested_by", report);
    in_order(row.created, row.expires, report);
    taken_back_and_capped(row, report);
    for (count, what) in [
        (row.rules.len(), "rules"),
        (row.models.len(), "models"),
        (row.contexts.len(), "contexts"),
        (row.approved_by.len(), "approved_by"),
    ] {
        listed(count, what, report);
        if count == 0 && what != "approved_by" {
            needs_one(what, report);
        }
    }
    let liftable = |rule: &str| can_be_waived(rule) || known.company_rules.contains(rule);
    for (n, rule) in row.rules.iter().enumerate().take(MAX_LISTED).filter(|(_, rule)| !liftable(rule)) {
        let of_licenses = || RULES.iter().map(|(name, _)| *name).filter(|name| can_be_waived(name));
        let waivable = || of_licenses().chain(known.company_rules.iter().copied());
        let (what, hint) = match RULES.iter().any(|(name, _)| name == rule) {
            true => ("cannot be waived", None),
            false => ("is no rule", nearest(rule, waivable()).map(|near| format!("did you mean `{near}`?"))),
        };
        let all = || format!("expected one of: {}", waivable().collect::<Vec<_>>().join(", "));
        report.problem(Key::Rule(n), "bad-rule", format!("`{}` {what}", cut(rule)), Some(hint.unwrap_or_else(all)));
    }
    let mut tier = None;
    for (n, id) in row.models.iter().enumerate().take(MAX_LISTED) {
        if known.models.resolve(id, Key::ModelOf(n), report) {
            tier = tier.max(known.model(id).map(|model| model.tier));
        }
    }
    let strict = tier >= Some(Tier::Research);
    let (needed, days) = if strict { (2, MAX_STRICT_DAYS) } else { (1, MAX_DAYS) };
    for name in &row.approved_by {
        report.bound(Key::Approvers, "name of who approved", name, MAX_NAME);
    }
    let others: BTreeSet<String> = row
        .approved_by
        .iter()
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty() && *name != row.requested_by.trim().to_lowercase())
        .collect();
    let tier = tier.map_or_else(|| "these models".to_owned(), |tier| format!("a model of {tier}"));
    if others.len() < needed {
        report.problem(
            Key::Approvers,
            "too-few-approvers",
            format!(
                "a waiver for {tier} needs {needed} who approve and did not ask for it; there are {}",
                others.len()
            ),
            None,
        );
    }
    let last = row.created.plus_days(days);
    if row.expires > last {
        report.problem(
            Key::Until,
            "too-long-a-time",
            format!("a waiver for {tier} lasts {days} days at most"),
            Some(format!("write {last} or sooner, and approve it again then")),
        );
    }
}

fn taken_back_and_capped(row: &Waiver, report: &mut Report<'_>) {
    if let Some(revoked) = row.revoked.filter(|revoked| *revoked < row.created) {
        report.problem(
            Key::Revoked,
            "revoked-before-created",
            format!("it was taken back on {revoked}, before it was there on {}", row.created),
            Some(format!("write {} or later; from that day on it lifts nothing", row.created)),
        );
    }
    if row.at_most_requests == Some(0) {
        report.problem(
            Key::Cap,
            "bad-cap",
            "`at_most_requests: 0` lets no request rest on the waiver".to_owned(),
            Some("write at least 1, leave it out for any number, or take the waiver back with `revoked`".to_owned()),
        );
    }
    if let Some(ticket) = &row.ticket {
        report.bound(Key::Ticket, "ticket", ticket, MAX_NAME);
        if ticket.trim().is_empty() {
            let hint = Some("name the ticket, or leave the key out".to_owned());
            report.problem(Key::Ticket, "empty-text", "`ticket` is empty".to_owned(), hint);
        }
    }
}

pub(super) fn in_order(from: Date, until: Date, report: &mut Report<'_>) {
    if until < from {
        let message = format!("it ends on {until}, before it begins on {from}");
        report.problem(Key::Until, "ends-before-it-begins", message, None);
    }
}

pub(super) fn listed(count: usize, what: &str, report: &mut Report<'_>) {
    if count > MAX_LISTED {
        report.problem(Key::Id, "too-many", format!("{count} `{what}`; at most {MAX_LISTED} are read"), None);
    }
}

pub(super) fn needs_one(what: &str, report: &mut Report<'_>) {
    let message = format!("`{what}` is empty, so it covers nothing");
    report.problem(Key::Id, "empty-list", message, Some(format!("name at least one of `{what}`")));
}

pub(super) fn said(text: &str, key: &str, report: &mut Report<'_>) {
    if text.trim().is_empty() {
        let message = format!("`{key}` is empty: somebody has to answer for it");
        report.problem(Key::Id, "empty-text", message, None);
    }
}
