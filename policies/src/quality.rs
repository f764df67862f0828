//! How good a model is, from what the catalog knows of it.
//!
//! [`estimate`]: a knowledge benchmark where there is one, else size. It ranks models for `prefer.quality`; it is no
//! measurement, and a team that has measured its own task orders `candidates` by hand instead.
//!
//! [`QualityBy`]: what a policy takes for quality instead. One benchmark is put on a scale from 0 to 1: percent and
//! percentiles by a hundred, points of ten by ten, and an Elo rating as the share of games that it wins against a rating
//! of 1200. Several benchmarks do not compare, so each score counts by how far it is from the mean of all models of the
//! catalog that have one: 0.5 is as good as the mean of these. A model without a score is not known, and the score's rule
//! for what is not known holds: never 0.

use catalog::{BenchmarkKind, Catalog, Model, Unit};

use crate::read::Spanned;

/// What a policy takes for quality.
#[derive(Clone, Debug)]
pub(crate) enum QualityBy {
    /// The score of one benchmark.
    Benchmark(Spanned<String>),
    /// A language, a task, or both. A language alone: its own benchmarks, and where the catalog has none of it, the
    /// estimate as it holds in that language. Both: the task, times the share of a model's quality that holds in the
    /// language.
    Kind { language: Option<String>, task: Option<Task> },
}

/// A kind of work that some benchmarks measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Chat,
    Code,
    Instructions,
    Knowledge,
    LongContext,
    Math,
    Vision,
}

impl Task {
    pub(crate) const ALL: [Task; 7] =
        [Task::Chat, Task::Code, Task::Instructions, Task::Knowledge, Task::LongContext, Task::Math, Task::Vision];

    /// The word of the language.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Task::Chat => "chat",
            Task::Code => "code",
            Task::Instructions => "instructions",
            Task::Knowledge => "knowledge",
            Task::LongContext => "long-context",
            Task::Math => "math",
            Task::Vision => "vision",
        }
    }

    /// The benchmarks that measure it, by catalog id.
    fn benchmarks(self) -> &'static [&'static str] {
        match self {
            Task::Chat => &["mt_bench", "arena_elo", "arena_hard"],
            Task::Code => &["humaneval", "bigcodebench", "livecodebench", "multipl_e", "codeforces_percentile"],
            Task::Instructions => &["ifeval"],
            Task::Knowledge => &["mmlu", "mmlu_pro", "gpqa", "gpqa_diamond"],
            Task::LongContext => &["needle", "ruler", "longbench"],
            Task::Math => &["gsm8k", "math", "math_500", "aime_2024", "mgsm"],
            Task::Vision => &["mmmu"],
        }
    }
}

/// The quality of each of `models` as `by` has it, 0 to 1. `fluency` is the share of a model's quality that holds in a
/// language.
pub(crate) fn measured<'m>(
    by: &QualityBy,
    catalog: &Catalog,
    models: impl Iterator<Item = &'m Model> + Clone,
    fluency: impl Fn(&Model, &str) -> f32,
) -> Box<[Option<f32>]> {
    match by {
        QualityBy::Benchmark(Spanned { value: id, .. }) => {
            models.map(|model| scaled(catalog, id, model).map(|score| score as f32)).collect()
        }
        QualityBy::Kind { language, task: Some(task) } => {
            let against = Against::new(catalog, task.benchmarks().iter().copied());
            let share = |model: &Model| language.as_deref().map_or(1.0, |language| fluency(model, language));
            models.map(|model| against.mean(model).map(|quality| quality * share(model))).collect()
        }
        QualityBy::Kind { language, task: None } => {
            let language = language.as_deref().unwrap_or_default();
            let of_language = catalog.benchmarks().filter(|benchmark| {
                benchmark.kind != BenchmarkKind::Tool && benchmark.languages.iter().any(|known| known == language)
            });
            let against = Against::new(catalog, of_language.map(|benchmark| benchmark.id.as_str()));
            if against.means.is_empty() {
                return models.map(|model| estimate(model).map(|quality| quality * fluency(model, language))).collect();
            }
            models.map(|model| against.mean(model)).collect()
        }
    }
}

/// A model's score on the scale of one benchmark, 0 to 1.
fn scaled(catalog: &Catalog, benchmark: &str, model: &Model) -> Option<f64> {
    let score = *model.benchmarks.get(benchmark)?;
    let scaled = match catalog.benchmark(benchmark)?.unit? {
        Unit::Percent | Unit::Percentile => score / 100.0,
        Unit::OutOfTen => score / 10.0,
        Unit::Elo => 1.0 / (1.0 + 10_f64.powf((1200.0 - score) / 400.0)),
    };
    scaled.is_finite().then(|| scaled.clamp(0.0, 1.0))
}

/// Benchmarks, and the mean of each over all models of the catalog that have a score.
struct Against<'a> {
    catalog: &'a Catalog,
    means: Vec<(&'a str, f64)>,
}

impl<'a> Against<'a> {
    /// Benchmarks without any score are left out.
    fn new(catalog: &'a Catalog, benchmarks: impl Iterator<Item = &'a str>) -> Self {
        let mean = |id: &str| {
            let scores = catalog.models().filter_map(|model| scaled(catalog, id, model));
            let (sum, count) = scores.fold((0.0, 0.0), |(sum, count), score| (sum + score, count + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        Self { catalog, means: benchmarks.filter_map(|id| Some((id, mean(id)?))).collect() }
    }

    fn mean(&self, model: &Model) -> Option<f32> {
        let beyond = self.means.iter().filter_map(|(id, mean)| Some(scaled(self.catalog, id, model)? - mean));
        let (sum, count) = beyond.fold((0.0, 0.0), |(sum, count), beyond| (sum + beyond, count + 1.0));
        (count > 0.0).then(|| (0.5 + sum / count).clamp(0.0, 1.0) as f32)
    }
}

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

    fn by(by: &QualityBy, ids: &[&str]) -> Vec<Option<f32>> {
        let catalog = Catalog::builtin();
        let models: Vec<&Model> = ids.iter().map(|id| catalog.model(id).unwrap()).collect();
        measured(by, &catalog, models.iter().copied(), |_, _| 0.5).into()
    }

    #[test]
    fn a_benchmark_is_put_on_a_scale_from_0_to_1_and_none_is_not_0() {
        let catalog = Catalog::builtin();
        let scored: Vec<&str> =
            catalog.models().filter(|m| m.benchmarks.contains_key("mmlu")).map(|m| m.id.as_str()).collect();
        let mmlu = QualityBy::Benchmark(Spanned { value: "mmlu".to_owned(), at: 0..0 });
        for (id, quality) in scored.iter().zip(by(&mmlu, &scored)) {
            let points = catalog.model(id).unwrap().benchmarks["mmlu"];
            assert!((f64::from(quality.unwrap()) - points / 100.0).abs() < 1e-6);
        }
        assert_eq!(by(&mmlu, &["gpt-4o", "pointsman-demo"])[1], None);
    }

    #[test]
    fn the_benchmarks_of_a_task_count_by_their_distance_from_the_mean_of_the_catalog() {
        let catalog = Catalog::builtin();
        let math = QualityBy::Kind { language: None, task: Some(Task::Math) };
        let ids: Vec<&str> = catalog.models().map(|model| model.id.as_str()).collect();
        let known: Vec<f32> = by(&math, &ids).into_iter().flatten().collect();
        assert!(known.len() > 10 && known.iter().all(|quality| (0.0..=1.0).contains(quality)));
        let mean = known.iter().sum::<f32>() / known.len() as f32;
        assert!((mean - 0.5).abs() < 0.1, "{mean}");
        let in_korean = QualityBy::Kind { language: Some("ko".to_owned()), task: Some(Task::Math) };
        for (alone, korean) in by(&math, &ids).into_iter().zip(by(&in_korean, &ids)) {
            assert_eq!(alone.map(|quality| quality * 0.5), korean);
        }
    }

    #[test]
    fn a_language_without_benchmarks_of_its_own_has_the_estimate_as_it_holds_there() {
        let language = |code: &str| QualityBy::Kind { language: Some(code.to_owned()), task: None };
        let estimated = estimate(Catalog::builtin().model("qwen3-32b").unwrap()).unwrap();
        assert_eq!(by(&language("de"), &["qwen3-32b"]), [Some(estimated * 0.5)]);
        let korean = by(&language("ko"), &["kanana-1.5-8b", "qwen3-32b"]);
        assert!(korean[0].is_some(), "KMMLU is known of it");
    }

    #[test]
    fn every_benchmark_of_a_task_is_in_the_catalog_and_has_a_unit() {
        for id in Task::ALL.iter().flat_map(|task| task.benchmarks()) {
            assert!(Catalog::builtin().benchmark(id).is_some_and(|benchmark| benchmark.unit.is_some()), "{id}");
        }
    }

    #[test]
    fn nothing_known_is_no_estimate() {
        let catalog = Catalog::builtin();
        assert_eq!(estimate(catalog.model("gpt-4o").unwrap()), None);
    }
}
