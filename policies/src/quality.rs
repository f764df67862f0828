//! An estimate of how good a model is, from what the catalog knows of it.
//!
//! A knowledge benchmark where there is one, else size. It ranks models for `prefer.quality`; it is no measurement,
//! and a team that has measured its own task orders `candidates` by hand instead.

use catalog::Model;

/// Between 0 and 1; `None` where neither a score nor a size is known.
pub(crate) fn estimate(model: &Model) -> Option<f32> {
    let score = |name: &str| model.benchmarks.get(name).copied();
    let knowledge = score("mmlu_pro")
        .map(|points| points / 100.0)
        // MMLU has four choices, so 25 is chance. The square spreads its crowded upper end to MMLU-Pro's scale.
        .or_else(|| score("mmlu").map(|points| ((points - 25.0) / 75.0).max(0.0).powi(2)));
    knowledge.or_else(|| size(model)).map(|quality| quality.clamp(0.0, 1.0) as f32)
}

/// A quarter for each factor of ten above 0.1 billion parameters: 1 billion 0.25, 10 billion 0.5, 100 billion 0.75.
/// A mixture of experts counts with the geometric mean of all and active parameters.
fn size(model: &Model) -> Option<f64> {
    let all = model.parameters_b?;
    let effective = (all * model.active_parameters_b.unwrap_or(all)).sqrt();
    (effective > 0.0).then(|| (effective.log10() + 1.0) / 4.0)
}
