//! A licence that a row writes as an expression becomes the licences that bind.
//!
//! Of `A AND B` both bind. `A OR B` is an offer of the licensor: the row says which branch the company took
//! (`chosen_licenses`), and without that it is refused. Everything after this knows single licences only.

use super::{Key, List, Place, Rows, Text};
use crate::check::File;
use crate::decide::UNKNOWN;
use crate::{Catalog, Expression, Model, Problem, Tier};

/// Takes apart the expressions of all files, over the licences of `base` and of the files.
pub(super) fn take_apart(base: Option<&Catalog>, files: &mut [File<'_>], problems: &mut Vec<Problem>) {
    if !files.iter().flat_map(|file| &file.rows.models).any(is_expression) {
        return;
    }
    let mut licenses = base.map(|base| base.rows().licenses.clone()).unwrap_or_default();
    licenses.extend(files.iter().flat_map(|file| file.rows.licenses.iter().cloned()));
    let known = Catalog::new(Rows { licenses, ..Rows::default() }, String::new());
    for file in files {
        let text = Text::new(file.text);
        for (row, model) in file.rows.models.iter_mut().enumerate().filter(|(_, model)| is_expression(model)) {
            match binding(&known, model) {
                Ok(mut binding) => {
                    binding.extend(std::mem::take(&mut model.also_licenses));
                    model.license = binding.remove(0);
                    model.also_licenses = binding;
                }
                Err((code, message, hint)) => {
                    let (line, column) = text.place_of(Place { list: List::Models, row, key: Key::License });
                    problems.push(Problem { code, message, file: file.name.to_owned(), line, column, hint });
                    // One problem is enough for one value.
                    (model.license, model.tier) = (UNKNOWN.to_owned(), Tier::Closed);
                }
            }
        }
    }
}

fn is_expression(model: &Model) -> bool {
    model.license.contains([' ', '(', ')', '+']) || !model.chosen_licenses.is_empty()
}

/// The ids of the licences that bind, never none.
fn binding(known: &Catalog, model: &Model) -> Result<Vec<String>, (&'static str, String, Option<String>)> {
    let expression =
        Expression::parse(&model.license, known).map_err(|error| (error.code, error.message, error.hint))?;
    let chosen: Vec<&str> = model.chosen_licenses.iter().map(String::as_str).collect();
    let expression = expression.choose(&chosen).map_err(|error| {
        ("license-choice", error.to_string(), Some("name licences of one branch in `chosen_licenses`".to_owned()))
    })?;
    if let Some(offer) = expression.undecided() {
        let hint = "say which was taken: `chosen_licenses: [...]`".to_owned();
        return Err(("license-undecided", format!("`{offer}` leaves the choice of a licence open"), Some(hint)));
    }
    let mut binding: Vec<String> = Vec::new();
    let asked = expression.evaluate(|id| {
        if !binding.iter().any(|known| known == id) {
            binding.push(id.to_owned());
        }
        Ok::<_, std::convert::Infallible>(true)
    });
    match asked {
        Ok(true) if !binding.is_empty() => Ok(binding),
        _ => Err(("license-undecided", "the expression names no licence that binds".to_owned(), None)),
    }
}
