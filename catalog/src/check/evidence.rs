//! What must hold of evidence before a duty counts as met by it.

use super::standing::{MAX_LISTED, in_order, listed, said};
use super::{Known, MAX_NAME, MAX_TEXT, Report};
use crate::decide::bound_to_purposes;
use crate::load::Key;
use crate::nearest::cut;
use crate::{Evidence, License, ObligationKind, Training};

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
