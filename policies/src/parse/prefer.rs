//! `prefer`: how much each factor of the score counts, and what quality is.

use crate::{
    diag::Code,
    quality::{QualityBy, Task},
    read::Reader,
    route::Prefer,
    yaml::{Node, Value},
};

/// The factors that can be weighted.
pub(super) const WEIGHTS: [&str; 7] =
    ["quality", "cost", "latency", "throughput", "cached_prefix", "locality", "spread"];

impl Reader<'_> {
    pub(super) fn prefer(&mut self, node: &Node) -> (Option<Prefer>, Option<QualityBy>) {
        let mut keys = WEIGHTS.to_vec();
        keys.push("quality_by");
        let Some(fields) = self.fields(node, "`prefer`", &keys) else { return (None, None) };
        let mut weighed = true;
        let [quality, cost, latency, throughput, cached_prefix, locality, spread] = WEIGHTS.map(|key| {
            let Some(node) = fields.get(key) else { return 0.0 };
            let weight = self.amount(node, "a weight");
            weighed &= weight.is_some();
            weight.unwrap_or_default().min(1_000_000.0) as f32
        });
        let prefer =
            Prefer { quality, cost, latency, throughput, cached_prefix, locality, spread, ..Prefer::default() };
        let sum = quality + cost + latency + throughput + cached_prefix + locality + spread;
        if weighed && sum <= 0.0 {
            let hint = "leave `prefer` out to let the order of `candidates` decide";
            self.error_with_hint(Code::WrongValue, &node.at, "`prefer` gives nothing any weight", "all zero", hint);
        }
        let by = fields.get("quality_by");
        if let Some(node) = by.filter(|_| weighed && sum > 0.0 && quality <= 0.0) {
            let message = "`quality_by` says what quality is, and quality has no weight";
            let hint = "add `quality: 1`, or leave `quality_by` out";
            self.warning(Code::NoEffect, &node.at, message, "never looked at", hint);
        }
        (Some(prefer), by.and_then(|n| self.quality_by(n)))
    }

    /// The name of a benchmark, or a language and a task.
    fn quality_by(&mut self, node: &Node) -> Option<QualityBy> {
        if matches!(node.value, Value::Scalar { .. }) {
            return self.text(node, "a benchmark, or a mapping with `language` and `task`,").map(QualityBy::Benchmark);
        }
        let fields = self.fields(node, "`quality_by`", &["language", "task"])?;
        let language = fields.get("language").and_then(|n| self.text(n, "a language code"));
        if let Some(language) = &language {
            self.language(language, false);
        }
        let words = Task::ALL.map(|task| (task.as_str(), task));
        let task = fields.get("task").and_then(|n| self.word(n, "a task", &words));
        if fields.get("language").is_none() && fields.get("task").is_none() {
            let hint = "name a benchmark, or `{language: ko}`, `{task: code}` or both";
            self.error_with_hint(Code::MissingKey, &node.at, "`quality_by` names no measure", "nothing in it", hint);
        }
        let language = language.map(|language| language.value);
        (language.is_some() || task.is_some()).then_some(QualityBy::Kind { language, task })
    }
}
