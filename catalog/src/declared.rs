//! What a file of weights says of itself, against what the catalog says of the model that it is served as.
//!
//! Whoever uploads a file writes its metadata, so it proves nothing: it can lower rights and never raise them. A licence
//! that is stricter than those of the catalog is a reason not to serve the file as that model; one that is merely another
//! is worth a look. Knows no file format.

use std::fmt;

use crate::nearest::cut;
use crate::{Catalog, Expression, License, Model};

/// What a file says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Declaration<'a> {
    /// What says it: `the file`, `the card beside it`.
    pub by: &'a str,
    /// Its licence, as a model hub writes it.
    pub license: Option<&'a str>,
    /// The models that it was made from, as `owner/name` or by name.
    pub bases: &'a [String],
}

/// Where a file and the catalog do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub weight: Weight,
    text: String,
}

/// What a disagreement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The catalog cannot read what the file says.
    Unreadable,
    /// The file says something else.
    Contradiction,
    /// The file says something stricter: it must not be served as this model.
    Stricter,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Every disagreement between a declaration and the row of `model`.
pub fn compare(catalog: &Catalog, model: &Model, declared: Declaration<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bound = catalog.licenses_of(model);
    let is_bound = |license: &License| bound.iter().any(|id| **id == license.id);
    let under = bound.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ");
    let weigh = |license: &License| if license.tier > model.tier { Weight::Stricter } else { Weight::Contradiction };
    if let Some(text) = declared.license.filter(|text| !text.trim().is_empty()) {
        let said = licenses(catalog, text);
        let strange = said.iter().filter(|license| !is_bound(license)).max_by_key(|license| license.tier);
        let says = format!("{} says that the licence is `{}`", declared.by, cut(text));
        match strange {
            _ if said.is_empty() => findings.push(Finding {
                weight: Weight::Unreadable,
                text: format!("{says}, which the catalog has no row for; `{}` is under {under}", model.id),
            }),
            // A file that names one of several licences tells less, and nothing else.
            Some(license) if weigh(license) == Weight::Stricter || !said.iter().any(|license| is_bound(license)) => {
                findings.push(Finding {
                    weight: weigh(license),
                    text: format!(
                        "{says} ({}); `{}` is under {under} in the catalog ({})",
                        license.tier, model.id, model.tier
                    ),
                });
            }
            _ => {}
        }
    }
    for base in declared.bases {
        let Some(row) = catalog.resolve(base).filter(|row| row.id != model.id) else { continue };
        let licenses = catalog.licenses_of(row);
        let strange = licenses.iter().filter_map(|id| catalog.license(id)).filter(|license| !is_bound(license));
        if let Some(license) = strange.max_by_key(|license| license.tier) {
            findings.push(Finding {
                weight: weigh(license),
                text: format!(
                    "{} says that it was made from `{}`, which is under `{}` ({}); `{}` is under {under} in the \
                     catalog ({})",
                    declared.by, row.id, license.id, license.tier, model.id, model.tier
                ),
            });
        }
    }
    findings
}

/// The licences that a text of a model hub names; none where it cannot be read.
fn licenses<'a>(catalog: &'a Catalog, text: &str) -> Vec<&'a License> {
    let text = text.trim();
    let by_hub = catalog.licenses().find(|license| license.hub.iter().any(|id| id.eq_ignore_ascii_case(text)));
    if let Some(license) = by_hub {
        return vec![license];
    }
    match Expression::parse(text, catalog) {
        Ok(expression) => expression.licenses().into_iter().filter_map(|id| catalog.license(id)).collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(model: &str, license: Option<&str>, bases: &[&str]) -> Vec<Weight> {
        let catalog = Catalog::builtin();
        let bases: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
        let declared = Declaration { by: "the file", license, bases: &bases };
        compare(&catalog, catalog.model(model).expect(model), declared).iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn a_file_that_agrees_or_says_nothing_is_no_finding() {
        assert_eq!(found("qwen3-32b", Some("apache-2.0"), &["Qwen/Qwen3-32B"]), []);
        assert_eq!(found("qwen3-32b", Some("Apache-2.0"), &[]), []);
        assert_eq!(found("llama-3.3-70b-instruct", Some("llama3.3"), &[]), []);
        assert_eq!(found("deepseek-r1-distill-llama-8b", Some("mit"), &["meta-llama/Llama-3.1-8B-Instruct"]), []);
        assert_eq!(found("qwen3-32b", None, &["somebody/unheard-of"]), []);
        assert_eq!(found("qwen3-32b", Some(" "), &[]), []);
    }

    #[test]
    fn a_stricter_licence_or_base_is_told_from_another_one() {
        assert_eq!(found("qwen3-32b", Some("cc-by-nc-4.0"), &[]), [Weight::Stricter]);
        assert_eq!(found("qwen3-32b", Some("apache-2.0 AND cc-by-nc-4.0"), &[]), [Weight::Stricter]);
        assert_eq!(found("qwen3-32b", Some("mit"), &[]), [Weight::Contradiction]);
        // A card that is freer than the catalog raises nothing.
        assert_eq!(found("qwen2.5-72b-instruct", Some("apache-2.0"), &[]), [Weight::Contradiction]);
        assert_eq!(found("qwen3-32b", Some("apache-2.0"), &["meta-llama/Llama-3.3-70B-Instruct"]), [Weight::Stricter]);
        assert_eq!(found("qwen3-32b", Some("other"), &[]), [Weight::Unreadable]);
        assert_eq!(found("qwen3-32b", Some("((("), &[]), [Weight::Unreadable]);
    }

    #[test]
    fn a_finding_says_both_sides_and_stays_on_its_line() {
        let catalog = Catalog::builtin();
        let model = catalog.model("qwen3-32b").expect("a row");
        let text = |license| {
            compare(&catalog, model, Declaration { by: "the file", license: Some(license), bases: &[] })[0].to_string()
        };
        assert_eq!(
            text("cc-by-nc-4.0"),
            "the file says that the licence is `cc-by-nc-4.0` (tier 4); `qwen3-32b` is under `apache-2.0` in the \
             catalog (tier 1)"
        );
        assert!(text("x\ny\u{1b}[2J").contains(r"`x\ny\u{1b}[2J`"));
    }
}
