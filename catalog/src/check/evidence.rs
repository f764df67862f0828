//! What must hold of evidence before a duty counts as met by it.

use super::standing::{MAX_LISTED, in_order, listed, said};
use super::{Known, MAX_NAME, MAX_TEXT, Report};
use crate::decide::bound_to_purposes;
use crate::load::Key;
use crate::nearest::cut;
use crate::{Evidence, License, ObligationKind, Training};

/// Days between two looks at a page.
const CHECK_DAYS: std::ops::RangeInclusive<u16> = 1..=366;

pub(super) fn evidence(row: &Evidence, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "context", &row.context, MAX_NAME);
    report.bound(Key::Id, "name of who checked", &row.checked_by, MAX_NAME);
    report.bound(Key::Id, "text to find", row.find.as_deref().unwrap_or_default(), MAX_TEXT);
    said(&row.context, "context", report);
    said(&row.checked_by, "checked_by", report);
    in_order(row.checked, row.valid_until, report);
    if let Some(digest) = &row.sha256 {
        super::rules::digest_of(digest, Key::Sha256, report);
    }
    if let Some(url) = &row.url {
        address(url, report);
    }
    if let Some(days) = row.check_days {
        checked_again(row, days, report);
    }
    listed(row.models.len(), "models", report);
    for (n, id) in row.models.iter().enumerate().take(MAX_LISTED) {
        known.models.resolve(id, Key::ModelOf(n), report);
    }
    if known.licenses.resolve(&row.license, Key::License, report)
        && let Some(license) = known.license(&row.license)
    {
        asked_for(row, license, known, report);
    }
}

/// What the gateway needs to look at a page by itself, and to tell what came of it.
fn checked_again(row: &Evidence, days: u16, report: &mut Report<'_>) {
    if !CHECK_DAYS.contains(&days) {
        let hint = format!("expected {} to {}", CHECK_DAYS.start(), CHECK_DAYS.end());
        report.problem(Key::CheckDays, "bad-check-days", format!("{days} are no days between two looks"), Some(hint));
    }
    if row.url.is_none() || (row.find.is_none() && row.sha256.is_none()) {
        report.problem(
            Key::CheckDays,
            "check-of-nothing",
            "`check_days` has a page looked at, and the row does not say which, or what for".to_owned(),
            Some(
                "write `url`, and `find`, `sha256` or both; `pointsman license check-evidence ID` tells the digest"
                    .to_owned(),
            ),
        );
    }
    if row.find.as_ref().is_some_and(|find| find.trim().is_empty()) {
        let hint = Some("write the text that the page shows, or leave the key out".to_owned());
        report.problem(Key::Find, "empty-text", "`find` is empty, and nothing is on every page".to_owned(), hint);
    }
    let authority =
        row.url.as_ref().and_then(|url| url.split("://").nth(1)).map(|rest| rest.split(['/', '?', '#']).next());
    if authority.flatten().is_some_and(|authority| authority.contains('@')) {
        report.problem(
            Key::Url,
            "bad-url",
            "the address of a page that the gateway looks at holds a name or a password".to_owned(),
            Some("give the address alone; pages behind a log-in are looked at by people".to_owned()),
        );
    }
}

fn asked_for(row: &Evidence, license: &License, known: &Known<'_>, report: &mut Report<'_>) {
    let asks = kinds(license, known.agreed.contains(license.id.as_str()));
    if !asks.contains(&row.kind) {
        let names: Vec<_> = asks.iter().map(|kind| kind.name()).collect();
        report.problem(
            Key::Kind,
            "no-such-duty",
            format!("the licence `{}` asks for nothing of the kind `{}`", license.id, row.kind.name()),
            Some(match names.is_empty() {
                true => "it asks for nothing: remove the row".to_owned(),
                false => format!("expected one of: {}", names.join(", ")),
            }),
        );
    }
}

/// The kinds of duties that a licence may bring about; `agreed` where an agreement asks for something in its place.
fn kinds(license: &License, agreed: bool) -> Vec<ObligationKind> {
    let mut kinds: Vec<ObligationKind> = Vec::new();
    let bound = bound_to_purposes(license).map(|_| ObligationKind::Purpose);
    let other = agreed
        || license.conditions.iter().any(|condition| condition.else_owes.is_some())
        || matches!(license.outputs.training, Training::Named | Training::TermsFollow);
    let of_rows = license.obligations.iter().map(|obligation| obligation.kind);
    for kind in of_rows.chain(bound).chain(other.then_some(ObligationKind::Other)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn address(url: &str, report: &mut Report<'_>) {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |rest: &str| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if url.len() > MAX_TEXT || !rest.is_some_and(plain) {
        report.problem(
            Key::Url,
            "bad-url",
            format!("`{}` is no address of a page", cut(url)),
            Some("expected one that begins with https:// or http://".to_owned()),
        );
    }
}
