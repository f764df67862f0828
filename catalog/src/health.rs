//! How good the catalog's word on each model's licences is: what is not known, contradicted, unread, over, or tied to no weights.
//!
//! Decides nothing: a decision refuses what is not known by itself ([`crate::decide()`]). Says nothing of rows that no request
//! can be served by, and knows no deployment: whoever reports joins it with what is in use.

use std::collections::HashMap;

use serde::Serialize;

use crate::decide::{UNKNOWN, unavailable};
use crate::standing::SOON_DAYS;
use crate::{Availability, Catalog, Clarification, Date, Differs, License, LicenseText, Model};

/// Something about the licence evidence of a model that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthFinding {
    /// The model.
    pub model: String,
    /// The licence that it is about; `None` where it is about the model's row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// What is wrong.
    pub kind: HealthKind,
    /// The same in one sentence.
    pub text: String,
}

/// What is wrong with the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthKind {
    /// No licence is known.
    Unknown,
    /// It was made from a model that nobody could name, or whose licence is not known.
    UnknownParent,
    /// The map of open models and the vendor say different things of the licence.
    Contradicted,
    /// The text of the licence was not read in full.
    TextNotRead,
    /// The row could hardly be checked.
    Doubtful,
    /// What counsel concluded of its weights does not hold on this day.
    ClarificationOver,
    /// What counsel concluded of its weights ends within 30 days.
    ClarificationEnds,
    /// Nothing ties the licence to certain weights: any file of this name is taken for it.
    Unpinned,
}

impl HealthKind {
    /// The kind as reports write it.
    pub fn name(self) -> &'static str {
        match self {
            HealthKind::Unknown => "unknown",
            HealthKind::UnknownParent => "unknown-parent",
            HealthKind::Contradicted => "contradicted",
            HealthKind::TextNotRead => "text-not-read",
            HealthKind::Doubtful => "doubtful",
            HealthKind::ClarificationOver => "clarification-over",
            HealthKind::ClarificationEnds => "clarification-ends",
            HealthKind::Unpinned => "unpinned",
        }
    }
}

/// Every finding on every model that could serve, model by model in the order of the catalog. A tenth of a millisecond
/// for the built-in catalog.
pub fn health(catalog: &Catalog, today: Date) -> Vec<HealthFinding> {
    let mut of_model: HashMap<&str, Vec<&Clarification>> = HashMap::new();
    for clarification in catalog.clarifications() {
        of_model.entry(&clarification.model).or_default().push(clarification);
    }
    let mut found = Vec::new();
    for model in catalog.models().filter(|model| unavailable(model).is_none()) {
        let clarifications = of_model.get(model.id.as_str()).map_or(&[][..], Vec::as_slice);
        look_at(catalog, model, clarifications, today, |license, kind, text| {
            found.push(HealthFinding { model: model.id.clone(), license: license.map(str::to_owned), kind, text });
        });
    }
    found
}

fn look_at(
    catalog: &Catalog,
    model: &Model,
    clarifications: &[&Clarification],
    today: Date,
    mut find: impl FnMut(Option<&str>, HealthKind, String),
) {
    let id = &model.id;
    for license in catalog.licenses_of(model) {
        match catalog.license(&license).filter(|row| row.id != UNKNOWN) {
            Some(row) => look_at_license(row, &mut find),
            None if model.own_licenses().any(|own| own == &*license) => {
                find(Some(&license), HealthKind::Unknown, format!("the licence of `{id}` is not known"));
            }
            None => {
                let text = format!("`{id}` was made from a model that is not known, or whose licence is not");
                find(Some(&license), HealthKind::UnknownParent, text);
            }
        }
    }
    for differs in model.differs.iter().filter(|differs| is_about_licence(differs)) {
        find(None, HealthKind::Contradicted, contradiction(differs));
    }
    if model.confidence.as_deref() == Some("low") {
        find(None, HealthKind::Doubtful, format!("the row of `{id}` could hardly be checked"));
    }
    for row in clarifications {
        if !(row.signed..=row.valid_until).contains(&today) {
            let text = format!("`{}` of {} holds from {} to {}", row.id, row.signed_by, row.signed, row.valid_until);
            find(None, HealthKind::ClarificationOver, text);
        } else if row.valid_until <= today.plus_days(SOON_DAYS) {
            let text = format!("`{}` of {} ends on {}", row.id, row.signed_by, row.valid_until);
            find(None, HealthKind::ClarificationEnds, text);
        }
    }
    if model.availability == Availability::Downloadable && clarifications.is_empty() {
        let text = format!("no weights of `{id}` are named by their digest: any file of this name is taken for it");
        find(None, HealthKind::Unpinned, text);
    }
}

fn look_at_license(license: &License, find: &mut impl FnMut(Option<&str>, HealthKind, String)) {
    let read = match license.text {
        LicenseText::Full => None,
        LicenseText::Partial => Some("a part of"),
        LicenseText::Secondary => Some("only a summary of"),
        LicenseText::No => Some("nothing of"),
    };
    if let Some(read) = read {
        let text = format!("{read} the text of the {} was read", license.name);
        find(Some(&license.id), HealthKind::TextNotRead, text);
    }
    // Every difference on a licence's row is about its terms.
    for differs in &license.differs {
        find(Some(&license.id), HealthKind::Contradicted, contradiction(differs));
    }
}

fn is_about_licence(differs: &Differs) -> bool {
    differs.map_tier.is_some() || matches!(differs.field.as_str(), "license" | "tier" | "territory")
}

fn contradiction(differs: &Differs) -> String {
    format!("on `{}` the map says: {}; the vendor says: {}", differs.field, differs.map, differs.vendor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Date {
        "2026-11-25".parse().expect("a date")
    }

    fn with(text: &str) -> Catalog {
        let files = [("acme.yaml".to_owned(), text.to_owned())];
        Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn kinds(catalog: &Catalog, model: &str) -> Vec<(HealthKind, Option<String>)> {
        let of_model = health(catalog, day()).into_iter().filter(|finding| finding.model == model);
        of_model.map(|finding| (finding.kind, finding.license)).collect()
    }

    #[test]
    fn each_kind_of_weak_evidence_is_found_where_the_data_has_it() {
        use HealthKind::{Contradicted, Doubtful, TextNotRead, Unknown, UnknownParent, Unpinned};
        let catalog = with(
            "models:
  - {id: orphan, name: Orphan, family: x, developer: Acme, availability: downloadable, license: mit, tier: 5,
     parents: [{of: unknown, by: merge}]}\n",
        );
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(kinds(&catalog, "qwen3-32b"), [(Unpinned, None)]);
        assert_eq!(kinds(&catalog, "orphan"), [(UnknownParent, some("unknown")), (Unpinned, None)]);
        assert_eq!(
            kinds(&catalog, "command-r-plus")[..2],
            [(TextNotRead, some("cc-by-nc-4.0")), (Contradicted, some("cc-by-nc-4.0")),]
        );
        assert!(kinds(&catalog, "openelm-3b-instruct").contains(&(Contradicted, None)));
        assert!(kinds(&catalog, "korani").contains(&(Unknown, some("unknown"))));
        assert!(kinds(&catalog, "kogpt-6b").contains(&(Doubtful, None)));
        assert_eq!(kinds(&catalog, "qwen3-72b"), [], "there is no such model");
    }

    #[test]
    fn a_clarification_pins_weights_and_is_a_finding_when_it_is_over_or_ends_soon() {
        let until = |until: &str| {
            let digest = "0".repeat(64);
            let catalog = with(&format!(
                "clarifications: [{{id: c-1, model: qwen3-32b, licenses: [apache-2.0], weights: ['{digest}'], reason: x, \
                 signed_by: GC, signed: 2026-01-01, valid_until: {until}}}]"
            ));
            kinds(&catalog, "qwen3-32b").into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        assert_eq!(until("2026-12-26"), []);
        assert_eq!(until("2026-12-25"), [HealthKind::ClarificationEnds]);
        assert_eq!(until("2026-11-25"), [HealthKind::ClarificationEnds], "on its last day");
        assert_eq!(until("2026-11-24"), [HealthKind::ClarificationOver]);
    }

    #[test]
    fn what_is_found_is_what_the_rows_say_and_nothing_of_names_that_cannot_serve() {
        let catalog = Catalog::builtin();
        let found = health(&catalog, day());
        assert!(
            found.iter().all(|finding| catalog.model(&finding.model).is_some_and(|row| unavailable(row).is_none()))
        );
        assert!(found.iter().all(|finding| !finding.text.contains('\n') && !finding.text.ends_with('.')));
        let contradicted = found.iter().filter(|finding| finding.kind == HealthKind::Contradicted).count();
        let unknown = found.iter().filter(|finding| finding.kind == HealthKind::Unknown).count();
        assert!(contradicted > 50 && unknown > 0, "{contradicted} {unknown}");
    }
}
