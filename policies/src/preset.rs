//! Presets: the models of a row of the selection matrix, in its order, as `preset:ID` stands for them in a list.
//!
//! The rows are those of `pointsman advise --scenario`: the row's first choice, its second, and what we take where a
//! licence rules these out for business. What a row requires beyond its models (memory, a licence tier) is for the route
//! to say.

use catalog::Guide;

/// The ids of the models, each once; `None` where there is no such row.
pub(crate) fn models(id: &str) -> Option<Vec<&'static str>> {
    let row = Guide::builtin().scenario(id)?;
    let mut models: Vec<&'static str> = Vec::new();
    for model in row.first.iter().chain(&row.second).chain(&row.fallbacks) {
        if !models.contains(&model.as_str()) {
            models.push(model);
        }
    }
    Some(models)
}

/// The ids of all rows.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    Guide::builtin().scenarios().iter().map(|row| row.id.as_str())
}
