//! What must hold of a company's clarifications and of the rules that it gives itself.

use super::standing::{MAX_LISTED, in_order, listed, needs_one, said};
use super::{Known, MAX_NAME, MAX_TEXT, Report};
use crate::decide::RULES;
use crate::load::Key;
use crate::nearest::cut;
use crate::{Clarification, CompanyRule, Then, UsesWhere, country_meant, is_country};

pub(super) fn clarification(row: &Clarification, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "reason", &row.reason, MAX_TEXT);
    report.bound(Key::Id, "name of who signed", &row.signed_by, MAX_NAME);
    said(&row.signed_by, "signed_by", report);
    said(&row.reason, "reason", report);
    in_order(row.signed, row.valid_until, report);
    known.models.resolve(&row.model, Key::Model, report);
    for (count, what) in [(row.licenses.len(), "licenses"), (row.weights.len(), "weights")] {
        listed(count, what, report);
        if count == 0 {
            needs_one(what, report);
        }
    }
    listed(row.files.len(), "files", report);
    for (n, id) in row.licenses.iter().enumerate().take(MAX_LISTED) {
        known.licenses.resolve(id, Key::LicenseOf(n), report);
    }
    for (n, digest) in row.weights.iter().enumerate().take(MAX_LISTED) {
        digest_of(digest, Key::Digest(n), report);
    }
    for (name, digest) in row.files.iter().take(MAX_LISTED) {
        digest_of(digest, Key::Id, report);
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['/', '\\', '\0']) || name.starts_with("..") {
            let message = format!("`{}` is no name of a file beside the weights", cut(name));
            report.problem(Key::Id, "bad-file-name", message, Some("expected a name such as `LICENSE`".to_owned()));
        }
    }
}

pub(super) fn digest_of(text: &str, key: Key, report: &mut Report<'_>) {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        report.problem(
            key,
            "bad-digest",
            format!("`{}` is no SHA-256", cut(text)),
            Some("expected 64 hexadecimal digits, as `sha256sum FILE` prints them".to_owned()),
        );
    }
}

pub(super) fn company_rule(row: &CompanyRule, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Id, "reason", &row.reason, MAX_TEXT);
    said(&row.reason, "reason", report);
    if RULES.iter().any(|(name, _)| *name == row.id) {
        let message = format!("`{}` is the name of a rule that licences are decided by", row.id);
        report.problem(Key::Id, "duplicate-id", message, Some("choose another id".to_owned()));
    }
    let about = &row.about;
    for (names, ids, what) in [
        (&about.models, &known.models, "models"),
        (&about.licenses, &known.licenses, "licenses"),
        (&about.trained_on, &known.models, "trained_on"),
    ] {
        listed(names.len(), what, report);
        for id in names.iter().take(MAX_LISTED) {
            ids.resolve(id, Key::Match, report);
        }
    }
    for (names, what, of) in [
        (&about.families, "families", known.model_rows.values().map(|row| row.family.as_str()).collect::<Vec<_>>()),
        (&about.developers, "developers", known.model_rows.values().map(|row| row.developer.as_str()).collect()),
    ] {
        listed(names.len(), what, report);
        for name in names.iter().take(MAX_LISTED).filter(|name| !of.contains(&name.as_str())) {
            let near = crate::nearest::nearest(name, of.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let message = format!("no model of the catalog has `{}` among its {what}", cut(name));
            report.problem(Key::Match, "unknown-name", message, near);
        }
    }
    for uses in [Some(&row.when), row.unless.as_ref()].into_iter().flatten() {
        countries(uses, report);
    }
    if row.unless.as_ref().is_some_and(|unless| *unless == UsesWhere::default()) {
        let message = "`unless` is empty, so the rule is about no use".to_owned();
        report.problem(Key::Id, "empty-list", message, Some("name at least one kind of use, or remove it".to_owned()));
    }
    listed(row.to.len(), "to", report);
    match (row.then, row.to.is_empty()) {
        (Then::Route, true) => {
            let message = "`then: route` does not say which models are asked instead".to_owned();
            report.problem(Key::Id, "missing-key", message, Some("add `to: [MODEL, ...]`".to_owned()));
        }
        (Then::Warn | Then::Deny, false) => {
            let message = "`to` says nothing without `then: route`".to_owned();
            report.problem(Key::To(0), "misplaced-key", message, Some("remove it, or write `then: route`".to_owned()));
        }
        _ => {}
    }
    for (n, id) in row.to.iter().enumerate().take(MAX_LISTED) {
        known.models.resolve(id, Key::To(n), report);
    }
}

fn countries(uses: &UsesWhere, report: &mut Report<'_>) {
    for (places, what) in [(&uses.seats, "seats"), (&uses.end_users, "end_users")] {
        listed(places.len(), what, report);
        for place in places.iter().take(MAX_LISTED).filter(|place| *place != "EU" && !is_country(place)) {
            let hint = match country_meant(place) {
                Some(code) => format!("did you mean `{code}`?"),
                None => "expected two capital letters of ISO 3166, such as `DE`, or `EU`".to_owned(),
            };
            report.problem(
                Key::Id,
                "bad-country",
                format!("`{}` under `{what}` is no country", cut(place)),
                Some(hint),
            );
        }
    }
    for (names, what) in [(&uses.entities, "entities"), (&uses.contexts, "contexts")] {
        listed(names.len(), what, report);
        for name in names.iter().take(MAX_LISTED) {
            report.bound(Key::Id, what, name, MAX_NAME);
        }
    }
}
