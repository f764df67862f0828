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

#[cfg(test)]
mod tests {
    use catalog::Catalog;

    use super::*;

    #[test]
    fn a_larger_model_of_a_line_is_estimated_better() {
        let catalog = Catalog::builtin();
        let line = ["qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b", "qwen3-14b", "qwen3-32b"];
        let estimates = line.map(|id| estimate(catalog.model(id).unwrap()).unwrap());
        assert!(estimates.is_sorted_by(|a, b| a < b), "{estimates:?}");
    }

    #[test]
    fn a_benchmark_and_a_size_speak_of_the_same_scale() {
        let catalog = Catalog::builtin();
        for id in ["llama-3.3-70b-instruct", "qwen2.5-72b-instruct", "deepseek-v3", "llama-3.1-405b-instruct"] {
            let model = catalog.model(id).unwrap();
            let (estimate, size) = (estimate(model).unwrap(), size(model).unwrap());
            assert!((f64::from(estimate) - size).abs() < 0.2, "{id}: {estimate} by benchmark, {size} by size");
        }
    }

    #[test]
    fn nothing_known_is_no_estimate() {
        let catalog = Catalog::builtin();
        assert_eq!(estimate(catalog.model("gpt-4o").unwrap()), None);
    }
}
