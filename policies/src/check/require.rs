//! `require`: names that it speaks of, and parts that contradict one another or say nothing more.

use catalog::{Benchmark, BenchmarkKind, Tier, Unit};

use super::{Checker, did_you_mean};
use crate::{
    diag::{Code, Problems, nearest},
    read::{Reader, Spanned},
    route::RouteText,
};

impl Checker<'_> {
    pub(super) fn requirements(&self, route: &RouteText, problems: &mut Problems) {
        self.licenses(route, problems);
        let require = &route.require;
        let mut reader = self.reader(route.source, problems);
        for (benchmark, min) in &require.benchmarks {
            let Some(known) = self.benchmark(route, benchmark, &mut reader) else { continue };
            let most = match known.unit {
                Some(Unit::Percent | Unit::Percentile) => 100.0,
                Some(Unit::OutOfTen) => 10.0,
                Some(Unit::Elo) | None => f64::INFINITY,
            };
            if min.value > most {
                let message = format!("no model has {} in {}", min.value, known.name);
                reader.error(Code::WrongValue, &min.at, message, format!("expected 0 to {most}"));
            }
        }
        for Spanned { value: id, at } in require.hardware.iter().flatten() {
            if self.catalog.hardware(id).is_none() {
                let near = nearest(id, self.catalog.all_hardware().map(|hardware| hardware.id.as_str()));
                let hint = did_you_mean(near, "`pointsman catalog hardware` prints every id");
                let message = format!("route `{}` names hardware that the catalog does not have", route.name.value);
                reader.error_with_hint(Code::UnknownHardware, at, message, "no hardware with this id", hint);
            }
        }
        let only_local = require.region.as_ref().is_some_and(|regions| regions.iter().all(|region| region == "local"));
        if let Some(Spanned { at, .. }) = require.local.as_ref().filter(|local| !local.value && only_local) {
            let message =
                format!("route `{}` requires the region `local` and rules out what is local", route.name.value);
            let hint = "leave out `local: false`, or name other regions";
            reader.error_with_hint(Code::Contradiction, at, message, "nothing can meet both", hint);
        }
    }

    /// The benchmark of this name, if it has scores; else that is reported.
    pub(super) fn benchmark(
        &self,
        route: &RouteText,
        written: &Spanned<String>,
        reader: &mut Reader<'_>,
    ) -> Option<&Benchmark> {
        let Spanned { value: id, at } = written;
        match self.catalog.benchmark(id) {
            Some(known) if known.kind != BenchmarkKind::Tool => Some(known),
            Some(known) => {
                let message = format!("{} runs benchmarks and has no score of its own", known.name);
                reader.error(Code::WrongValue, at, message, "not a benchmark");
                None
            }
            None => {
                let near = nearest(id, self.catalog.benchmarks().map(|benchmark| benchmark.id.as_str()));
                let hint =
                    did_you_mean(near, "the catalog's benchmarks go by names such as `mmlu`, `gsm8k` or `kmmlu`");
                let message = format!("route `{}` names a benchmark the catalog does not have", route.name.value);
                reader.error_with_hint(Code::UnknownBenchmark, at, message, "no benchmark with this id", hint);
                None
            }
        }
    }

    fn licenses(&self, route: &RouteText, problems: &mut Problems) {
        let (require, name) = (&route.require, &route.name.value);
        let mut reader = self.reader(route.source, problems);
        let allowed: Vec<&str> =
            require.allow_licenses.iter().flatten().map(|license| license.value.as_str()).collect();
        for Spanned { value: id, at } in require.allow_licenses.iter().flatten().chain(&require.deny_licenses) {
            if self.catalog.license(id).is_none() {
                let near = nearest(id, self.catalog.licenses().map(|license| license.id.as_str()));
                let hint = did_you_mean(near, "`pointsman catalog list licenses` prints every id");
                let message = format!("route `{name}` names a licence the catalog does not have");
                reader.error_with_hint(Code::UnknownLicense, at, message, "no licence with this id", hint);
            }
        }
        let tier = |id: &str| self.catalog.license(id).map(|license| license.tier);
        let above = |max: Tier, id: &str| tier(id).is_some_and(|tier| tier > max);
        if let Some(Spanned { value: max, at }) = &require.max_tier {
            let out: Vec<&Spanned<String>> =
                require.allow_licenses.iter().flatten().filter(|license| above(*max, &license.value)).collect();
            if !allowed.is_empty() && out.len() == allowed.len() {
                let message =
                    format!("route `{name}` allows licences up to {max}, and every one that it names is above");
                let hint = format!("`{}` is {}", out[0].value, tier(&out[0].value).unwrap_or(*max));
                reader.error_with_hint(Code::Contradiction, at, message, "nothing can meet both", hint);
            } else {
                for license in out {
                    let message = format!("route `{name}` allows a licence that its `max_tier` rules out");
                    let hint =
                        format!("it is {}; `max_tier` is {}", tier(&license.value).unwrap_or(*max), max.number());
                    self.idle(route, license, message, &hint, &mut reader);
                }
            }
            for license in require.deny_licenses.iter().filter(|license| above(*max, &license.value)) {
                let message = format!("route `{name}` denies a licence that its `max_tier` rules out anyway");
                self.idle(route, license, message, "remove it", &mut reader);
            }
        }
        for license in &require.deny_licenses {
            if allowed.contains(&license.value.as_str()) {
                let message = format!("route `{name}` allows and denies the licence `{}`", license.value);
                reader.error_with_hint(Code::Contradiction, &license.at, message, "allowed above", "keep one of them");
            } else if !allowed.is_empty() && self.catalog.license(&license.value).is_some() {
                let message = format!("route `{name}` denies a licence that it does not allow anyway");
                self.idle(route, license, message, "only the licences under `allow` may serve; remove it", &mut reader);
            }
        }
    }

    /// Warns of a licence that changes nothing.
    fn idle(&self, route: &RouteText, license: &Spanned<String>, message: String, hint: &str, reader: &mut Reader<'_>) {
        if !self.sources[route.source].builtin {
            reader.warning(Code::NoEffect, &license.at, message, "changes nothing", hint);
        }
    }
}
