//! Which licences reach a model from those it was made from.
//!
//! All licences of a parent bind what was made from its weights, and a child's own licence takes none of them away. What
//! was only trained on a parent's answers is reached by the licences that say so, and by those of which nobody knows. A
//! parent that is not known has a licence that is not known. Data sets that a model was trained on do not reach it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::decide::UNKNOWN;
use crate::model::Derivation;
use crate::{License, Model, Training};

/// More ancestors than any model has. A row with more is taken to have unknown ones.
const MAX_ANCESTORS: usize = 64;

/// The ids of the licences that reach `model` from its ancestors, each once, in the order in which they are met; those
/// that it states itself are left out.
pub(crate) fn inherited<'a>(
    model: &'a Model,
    models: impl Fn(&str) -> Option<&'a Model>,
    licenses: impl Fn(&str) -> Option<&'a License>,
) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    let mut met: HashSet<(&str, bool)> = HashSet::new();
    // `true`: by answers only. From there on a licence reaches the model only if it reaches what is trained on answers.
    let mut open: Vec<(&Model, bool)> = vec![(model, false)];
    while let Some((child, by_answers)) = open.pop() {
        for parent in child.parents.iter().filter(|parent| parent.by != Derivation::TrainedOn) {
            let by_answers = by_answers || parent.by == Derivation::Distillation;
            let row = models(&parent.of).filter(|_| met.len() < MAX_ANCESTORS);
            let Some(row) = row else {
                add(&mut found, model, UNKNOWN);
                continue;
            };
            if !met.insert((&row.id, by_answers)) {
                continue;
            }
            for id in row.own_licenses() {
                if !by_answers || licenses(id).is_none_or(reaches_what_is_trained_on_answers) {
                    add(&mut found, model, id);
                }
            }
            open.push((row, by_answers));
        }
    }
    found
}

fn add(found: &mut Vec<Arc<str>>, model: &Model, id: &str) {
    if !model.own_licenses().any(|own| own == id) && !found.iter().any(|known| &**known == id) {
        found.push(id.into());
    }
}

fn reaches_what_is_trained_on_answers(license: &License) -> bool {
    match license.outputs.training {
        Training::TermsFollow | Training::Prohibited | Training::Unknown => true,
        Training::Free | Training::Named => false,
    }
}
