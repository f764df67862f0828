//! What must hold between rows: ids are unique, references resolve, a tier is as strict as its licences, texts are bounded.
//!
//! The problems of all files are reported together, each at the value that is wrong.

mod evidence;
mod rules;
pub(crate) mod signatures;
mod standing;

use std::collections::{HashMap, HashSet};

use crate::decide::UNKNOWN;
use crate::inherit::inherited;
use crate::load::{Key, List, Place, Rows, Text};
use crate::nearest::{cut, nearest};
use crate::{
    Benchmark, BenchmarkKind, Differs, FineTuning, Hardware, License, Model, Price, Problem, Purpose, Tier, Unit,
};

/// A file that could be read.
pub(crate) struct File<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    pub(crate) rows: Rows,
}

/// The problems of `files` on top of `base`, which has none.
pub(crate) fn check(base: Option<&Rows>, files: &[File<'_>]) -> Vec<Problem> {
    let known = Known::new(base, files);
    let mut seen = Seen::new(base);
    let mut found = Vec::new();
    let mut signers = HashSet::new();
    for signer in base.into_iter().flat_map(|base| &base.signers) {
        signers.extend([("name", signer.name.trim().to_lowercase()), ("key", signer.key.clone())]);
    }
    for file in files {
        let mut report =
            Report { file: file.name, text: Text::new(file.text), list: List::Models, row: 0, found: &mut found };
        for (row, model) in file.rows.models.iter().enumerate() {
            report.at(List::Models, row);
            seen.id(&model.id, &mut report);
            check_model(model, &known, &mut report);
        }
        for (row, license) in file.rows.licenses.iter().enumerate() {
            report.at(List::Licenses, row);
            seen.id(&license.id, &mut report);
            check_license(license, &mut report);
        }
        for (row, host) in file.rows.hosts.iter().enumerate() {
            report.at(List::Hosts, row);
            seen.id(&host.id, &mut report);
            check_base_url(&host.base_url, &mut report);
            check_differs(&host.differs, &mut report);
        }
        for (row, server) in file.rows.servers.iter().enumerate() {
            report.at(List::Servers, row);
            seen.id(&server.id, &mut report);
            check_differs(&server.differs, &mut report);
        }
        for (row, quantization) in file.rows.quantizations.iter().enumerate() {
            report.at(List::Quantizations, row);
            seen.id(&quantization.id, &mut report);
            for (n, server) in quantization.servers.iter().enumerate() {
                known.servers.resolve(server, Key::Server(n), &mut report);
            }
            check_differs(&quantization.differs, &mut report);
        }
        for (row, price) in file.rows.prices.iter().enumerate() {
            report.at(List::Prices, row);
            check_price(price, &known, &mut report);
        }
        for (row, attestation) in file.rows.attestations.iter().enumerate() {
            report.at(List::Attestations, row);
            seen.id(&attestation.id, &mut report);
            standing::attestation(attestation, &known, &mut report);
        }
        for (row, agreement) in file.rows.agreements.iter().enumerate() {
            report.at(List::Agreements, row);
            seen.id(&agreement.id, &mut report);
            standing::agreement(agreement, &known, &mut report);
        }
        for (row, waiver) in file.rows.waivers.iter().enumerate() {
            report.at(List::Waivers, row);
            seen.id(&waiver.id, &mut report);
            standing::waiver(waiver, &known, &mut report);
        }
        for (row, clarification) in file.rows.clarifications.iter().enumerate() {
            report.at(List::Clarifications, row);
            seen.id(&clarification.id, &mut report);
            rules::clarification(clarification, &known, &mut report);
        }
        for (row, rule) in file.rows.rules.iter().enumerate() {
            report.at(List::Rules, row);
            seen.id(&rule.id, &mut report);
            rules::company_rule(rule, &known, &mut report);
        }
        for (row, evidence) in file.rows.evidence.iter().enumerate() {
            report.at(List::Evidence, row);
            seen.id(&evidence.id, &mut report);
            evidence::evidence(evidence, &known, &mut report);
        }
        for (row, signer) in file.rows.signers.iter().enumerate() {
            report.at(List::Signers, row);
            signatures::signer(signer, &mut signers, &mut report);
        }
        for (row, benchmark) in file.rows.benchmarks.iter().enumerate() {
            report.at(List::Benchmarks, row);
            seen.id(&benchmark.id, &mut report);
            check_benchmark(benchmark, &mut report);
        }
        for (row, fine_tuning) in file.rows.fine_tuning.iter().enumerate() {
            report.at(List::FineTuning, row);
            seen.id(&fine_tuning.id, &mut report);
            check_fine_tuning(fine_tuning, &known, &mut report);
        }
        for (row, hardware) in file.rows.hardware.iter().enumerate() {
            report.at(List::Hardware, row);
            seen.id(&hardware.id, &mut report);
            check_hardware(hardware, &known, &mut report);
        }
    }
    found
}

fn check_model(model: &Model, known: &Known<'_>, report: &mut Report<'_>) {
    report.bound(Key::Name, "name", &model.name, MAX_NAME);
    report.bound(Key::Id, "developer", &model.developer, MAX_NAME);
    if model.also_licenses.len() > MAX_LICENSES {
        report.problem(
            Key::AlsoLicense(MAX_LICENSES),
            "too-many",
            format!("{} further licences; at most {MAX_LICENSES} are read", model.also_licenses.len()),
            None,
        );
        return;
    }
    let mut strictest: Option<Tier> = None;
    for (n, id) in model.own_licenses().enumerate() {
        let key = if n == 0 { Key::License } else { Key::AlsoLicense(n - 1) };
        if known.licenses.resolve(id, key, report) {
            strictest = strictest.max(known.license(id).map(|license| license.tier));
        }
    }
    if model.parents.len() > MAX_PARENTS {
        report.problem(
            Key::Parent(MAX_PARENTS),
            "too-many",
            format!("{} parents; at most {MAX_PARENTS} are read", model.parents.len()),
            None,
        );
        return;
    }
    for (n, parent) in model.parents.iter().enumerate() {
        if parent.of == model.id {
            let message = format!("`{}` cannot be made from itself", cut(&model.id));
            report.problem(Key::Parent(n), "parent-cycle", message, None);
        } else if parent.of != UNKNOWN {
            known.models.resolve(&parent.of, Key::Parent(n), report);
        }
    }
    for id in inherited(model, |id| known.model(id), |id| known.license(id)) {
        strictest = strictest.max(known.license(&id).map(|license| license.tier));
    }
    if let Some(strictest) = strictest.filter(|strictest| model.tier < *strictest) {
        report.problem(
            Key::Tier,
            "tier-too-free",
            format!("the row states {}, but a licence that binds it is {strictest}", model.tier),
            Some(format!("write `tier: {}`", strictest.number())),
        );
    }
    if let Some(id) = &model.replacement {
        known.models.resolve(id, Key::Replacement, report);
    }
    for (n, (id, score)) in model.benchmarks.iter().enumerate() {
        if known.benchmarks.resolve(id, Key::Benchmark(n), report) {
            check_score(id, *score, known, Key::Benchmark(n), report);
        }
    }
    check_differs(&model.differs, report);
    check_history(model, known, report);
}

fn check_score(id: &str, score: f64, known: &Known<'_>, key: Key, report: &mut Report<'_>) {
    match known.units.get(id).copied().flatten() {
        None => report.problem(
            key,
            "no-score",
            format!("`{id}` is a tool that runs benchmarks and has no score of its own"),
            Some("name the benchmark that it ran".to_owned()),
        ),
        Some(unit) => {
            let most = unit.most().unwrap_or(f64::MAX);
            // Not a number fails the comparison too.
            if !(0.0..=most).contains(&score) {
                report.problem(
                    key,
                    "bad-score",
                    format!("{score} is no score of `{id}`"),
                    unit.most().map(|most| format!("expected a number from 0 to {most}")),
                );
            }
        }
    }
}

fn check_history(model: &Model, known: &Known<'_>, report: &mut Report<'_>) {
    if model.was.len() > MAX_WAS {
        let message = format!("{} entries of what the row said earlier; at most {MAX_WAS} are read", model.was.len());
        report.problem(Key::Was(MAX_WAS), "too-many", message, None);
        return;
    }
    for (n, was) in model.was.iter().enumerate() {
        for (m, id) in was.licenses().enumerate().take(MAX_LICENSES + 1) {
            known.licenses.resolve(id, Key::WasLicense(n, m), report);
        }
        report.bound(Key::Was(n), "reason", &was.why, MAX_TEXT);
        let problem = |code, message: &str, hint: &str| (code, message.to_owned(), Some(hint.to_owned()));
        let found = if was.valid_to.is_some_and(|to| to <= was.valid_from) {
            Some(problem("bad-interval", "the terms end before they begin", "`valid_to` is the first day after them"))
        } else if was.corrected.is_some_and(|corrected| corrected <= was.recorded) {
            let message = "the record was corrected before it was made";
            Some(problem("bad-interval", message, "`corrected` is the first day on which it was no longer said"))
        } else if was.valid_to.is_none() && was.corrected.is_none() {
            Some(problem(
                "endless-interval",
                "nothing ends this entry, so the row itself would never hold",
                "add `valid_to` if the terms changed, or `corrected` if the entry was a mistake",
            ))
        } else {
            model.was[..n].iter().any(|earlier| earlier.meets(was)).then(|| {
                let message = "this entry and an earlier one speak of the same days";
                problem("overlapping-intervals", message, "give them days that do not overlap, or different records")
            })
        };
        if let Some((code, message, hint)) = found {
            report.problem(Key::Was(n), code, message, hint);
        }
    }
}

/// What the map and the vendor say ends up in reports.
fn check_differs(differs: &[Differs], report: &mut Report<'_>) {
    for differs in differs {
        report.bound(Key::Id, "field of a difference", &differs.field, MAX_NAME);
        for text in [&differs.map, &differs.vendor].into_iter().chain(&differs.seen) {
            report.bound(Key::Id, "text of a difference", text, MAX_TEXT);
        }
    }
}

fn check_benchmark(benchmark: &Benchmark, report: &mut Report<'_>) {
    check_differs(&benchmark.differs, report);
    if (benchmark.kind == BenchmarkKind::Tool) == benchmark.unit.is_some() {
        report.problem(
            Key::Id,
            "unit-and-kind-disagree",
            "a benchmark needs a `unit`, and a tool that runs benchmarks has none".to_owned(),
            Some("expected `unit: percent`, `percentile`, `out-of-ten` or `elo`; or `kind: tool` alone".to_owned()),
        );
    }
}

fn check_fine_tuning(fine_tuning: &FineTuning, known: &Known<'_>, report: &mut Report<'_>) {
    for (n, id) in fine_tuning.uses.iter().enumerate() {
        known.fine_tuning.resolve(id, Key::Uses(n), report);
    }
    if let Some(host) = &fine_tuning.host {
        known.hosts.resolve(host, Key::Host, report);
    }
    check_differs(&fine_tuning.differs, report);
}

fn check_hardware(hardware: &Hardware, known: &Known<'_>, report: &mut Report<'_>) {
    for (n, id) in hardware.computes.iter().enumerate() {
        known.quantizations.resolve(id, Key::Computes(n), report);
    }
    if let Some(host) = &hardware.host {
        known.hosts.resolve(host, Key::Host, report);
    }
    if hardware.memory_gb.iter().any(|gb| !gb.is_finite() || *gb <= 0.0) {
        report.problem(
            Key::Id,
            "bad-memory",
            format!("a figure of memory of `{}` is not above zero", cut(&hardware.id)),
            Some("leave out what is not known".to_owned()),
        );
    }
    check_differs(&hardware.differs, report);
}

fn check_license(license: &License, report: &mut Report<'_>) {
    report.bound(Key::Name, "name", &license.name, MAX_NAME);
    report.bound(Key::Id, "licensor", license.licensor.as_deref().unwrap_or_default(), MAX_NAME);
    for text in license.obligations.iter().map(|it| &it.text).chain(license.territories.iter().map(|it| &it.text)) {
        report.bound(Key::Id, "text of an obligation or territory", text, MAX_TEXT);
    }
    if license.obligations.len() > MAX_OBLIGATIONS {
        report.problem(
            Key::Id,
            "too-many",
            format!("{} obligations; at most {MAX_OBLIGATIONS} are read", license.obligations.len()),
            None,
        );
    }
    for text in &license.ends_when {
        report.bound(Key::Id, "text of what ends the licence", text, MAX_TEXT);
    }
    if license.conditions.len() > MAX_CONDITIONS {
        report.problem(
            Key::Condition(MAX_CONDITIONS),
            "too-many",
            format!("{} conditions; at most {MAX_CONDITIONS} are read", license.conditions.len()),
            None,
        );
    }
    for (n, condition) in license.conditions.iter().enumerate().take(MAX_CONDITIONS) {
        for text in condition.else_owes.iter().chain([&condition.text]) {
            report.bound(Key::Condition(n), "text of a condition", text, MAX_TEXT);
        }
        let asks = match condition.metric.is_question() {
            true => condition.answer.is_some() && condition.at_most.is_none() && condition.month.is_none(),
            false => condition.at_most.is_some() && condition.answer.is_none(),
        };
        if !asks {
            let metric = condition.metric.name();
            let expected = match condition.metric.is_question() {
                true => "expected `answer: yes` or `answer: no`, and nothing else",
                false => "expected `at_most` with the greatest figure that is accepted",
            };
            report.problem(
                Key::Condition(n),
                "condition-without-value",
                format!("the condition on {metric} does not say what is accepted"),
                Some(expected.to_owned()),
            );
        }
    }
    let business = [Purpose::Revenue, Purpose::Internal];
    let (wrong, expected) = match license.tier {
        Tier::Free | Tier::Conditional => (
            business.iter().any(|purpose| !license.allows.contains(purpose)),
            "tiers 1 and 2 allow revenue and internal use",
        ),
        Tier::Research | Tier::NonCommercial => (
            business.iter().any(|purpose| license.allows.contains(purpose)),
            "tiers 3 and 4 allow neither revenue nor internal use",
        ),
        Tier::Closed => (!license.allows.is_empty(), "tier 5 allows nothing"),
    };
    if wrong {
        let message = format!("`allows` does not fit {}", license.tier);
        report.problem(Key::Allows, "tier-and-purposes-disagree", message, Some(expected.to_owned()));
    }
}

fn check_base_url(url: &str, report: &mut Report<'_>) {
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    if !is_http || url.ends_with('/') {
        report.problem(
            Key::BaseUrl,
            "bad-base-url",
            format!("`{}` is no base address", cut(url)),
            Some("expected http:// or https://, and no slash at the end".to_owned()),
        );
    }
}

fn check_price(price: &Price, known: &Known<'_>, report: &mut Report<'_>) {
    known.hosts.resolve(&price.host, Key::Host, report);
    if let Some(model) = &price.model {
        known.models.resolve(model, Key::Model, report);
    }
    let figures = [price.input_usd_per_million, price.output_usd_per_million, price.cached_input_usd_per_million];
    if figures.into_iter().flatten().any(|figure| !figure.is_finite() || figure < 0.0) {
        report.problem(
            Key::Name,
            "bad-price",
            format!("a price of `{}` is below zero or not a number", cut(&price.name)),
            Some("leave out a price that is not known".to_owned()),
        );
    }
}

/// These texts go into the reason of every decision.
const MAX_NAME: usize = 200;
const MAX_TEXT: usize = 2_000;
const MAX_OBLIGATIONS: usize = 64;
const MAX_LICENSES: usize = 16;
const MAX_PARENTS: usize = 16;
const MAX_CONDITIONS: usize = 16;
const MAX_WAS: usize = 64;

/// More problems than a person would read at once are not looked for.
const MAX_PROBLEMS: usize = 100;

/// Where problems of one file go. Knows the row that is being looked at.
struct Report<'a> {
    file: &'a str,
    text: Text<'a>,
    list: List,
    row: usize,
    found: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn at(&mut self, list: List, row: usize) {
        (self.list, self.row) = (list, row);
    }

    fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    fn problem(&mut self, key: Key, code: &'static str, message: String, hint: Option<String>) {
        if !self.is_full() {
            let (line, column) = self.text.place_of(Place { list: self.list, row: self.row, key });
            self.found.push(Problem { code, message, file: self.file.to_owned(), line, column, hint });
        }
    }

    /// Reports a text that is too long for the sentences it goes into, or that would break their line.
    fn bound(&mut self, key: Key, what: &str, text: &str, most: usize) {
        if text.contains(char::is_control) {
            self.problem(
                key,
                "control-character",
                format!("the {what} `{}` holds a line break or another control character", cut(text)),
                Some("write it on one line, or fold it with `>-`".to_owned()),
            );
        }
        if text.len() > most {
            self.problem(
                key,
                "too-long",
                format!("the {what} has {} bytes; at most {most} are read", text.len()),
                None,
            );
        }
    }
}

/// The ids that rows may refer to.
struct Known<'a> {
    models: Ids<'a>,
    licenses: Ids<'a>,
    hosts: Ids<'a>,
    servers: Ids<'a>,
    model_rows: HashMap<&'a str, &'a Model>,
    license_rows: HashMap<&'a str, &'a License>,
    quantizations: Ids<'a>,
    benchmarks: Ids<'a>,
    fine_tuning: Ids<'a>,
    /// The licences in whose place an agreement asks for something.
    agreed: HashSet<&'a str>,
    /// The ids of the company's own rules.
    company_rules: HashSet<&'a str>,
    /// What a score of each benchmark counts; `None` for a tool.
    units: HashMap<&'a str, Option<Unit>>,
}

impl<'a> Known<'a> {
    fn new(base: Option<&'a Rows>, files: &'a [File<'_>]) -> Known<'a> {
        let rows = || base.into_iter().chain(files.iter().map(|file| &file.rows));
        let models = || rows().flat_map(|rows| &rows.models);
        let licenses = || rows().flat_map(|rows| &rows.licenses);
        let hosts = rows().flat_map(|rows| &rows.hosts).map(|host| host.id.as_str());
        let servers = rows().flat_map(|rows| &rows.servers).map(|server| server.id.as_str());
        let quantizations = rows().flat_map(|rows| &rows.quantizations).map(|row| row.id.as_str());
        let benchmarks = || rows().flat_map(|rows| &rows.benchmarks);
        let agreements = rows().flat_map(|rows| &rows.agreements).filter(|agreement| !agreement.obligations.is_empty());
        let fine_tuning = rows().flat_map(|rows| &rows.fine_tuning).map(|row| row.id.as_str());
        Known {
            models: Ids {
                what: "model",
                code: "unknown-model",
                ids: models().map(|model| model.id.as_str()).collect(),
            },
            licenses: Ids {
                what: "licence",
                code: "unknown-license",
                ids: licenses().map(|license| license.id.as_str()).collect(),
            },
            hosts: Ids { what: "host", code: "unknown-host", ids: hosts.collect() },
            servers: Ids { what: "server", code: "unknown-server", ids: servers.collect() },
            model_rows: models().map(|model| (model.id.as_str(), model)).collect(),
            license_rows: licenses().map(|license| (license.id.as_str(), license)).collect(),
            quantizations: Ids { what: "quantization", code: "unknown-quantization", ids: quantizations.collect() },
            benchmarks: Ids {
                what: "benchmark",
                code: "unknown-benchmark",
                ids: benchmarks().map(|row| row.id.as_str()).collect(),
            },
            fine_tuning: Ids { what: "method or tool", code: "unknown-fine-tuning", ids: fine_tuning.collect() },
            agreed: agreements.flat_map(|agreement| &agreement.licenses).map(String::as_str).collect(),
            company_rules: rows().flat_map(|rows| &rows.rules).map(|rule| rule.id.as_str()).collect(),
            units: benchmarks().map(|row| (row.id.as_str(), row.unit)).collect(),
        }
    }

    fn model(&self, id: &str) -> Option<&'a Model> {
        self.model_rows.get(id).copied()
    }

    fn license(&self, id: &str) -> Option<&'a License> {
        self.license_rows.get(id).copied()
    }
}

struct Ids<'a> {
    what: &'static str,
    code: &'static str,
    ids: HashSet<&'a str>,
}

impl Ids<'_> {
    /// Whether `id` is known; reports it where it is not.
    fn resolve(&self, id: &str, key: Key, report: &mut Report<'_>) -> bool {
        let known = self.ids.contains(id);
        if !known && !report.is_full() {
            let hint = nearest(id, self.ids.iter().copied()).map(|known| format!("did you mean `{known}`?"));
            let message = format!("there is no {} `{}` in the catalog", self.what, cut(id));
            report.problem(key, self.code, message, hint);
        }
        known
    }
}

/// The ids taken so far, one set per list.
struct Seen<'a> {
    ids: [HashSet<&'a str>; 16],
}

impl<'a> Seen<'a> {
    fn new(base: Option<&'a Rows>) -> Seen<'a> {
        let mut seen = Seen { ids: Default::default() };
        if let Some(rows) = base {
            seen.ids[List::Models as usize].extend(rows.models.iter().map(|row| row.id.as_str()));
            seen.ids[List::Licenses as usize].extend(rows.licenses.iter().map(|row| row.id.as_str()));
            seen.ids[List::Hosts as usize].extend(rows.hosts.iter().map(|row| row.id.as_str()));
            seen.ids[List::Servers as usize].extend(rows.servers.iter().map(|row| row.id.as_str()));
            seen.ids[List::Quantizations as usize].extend(rows.quantizations.iter().map(|row| row.id.as_str()));
            seen.ids[List::Attestations as usize].extend(rows.attestations.iter().map(|row| row.id.as_str()));
            seen.ids[List::Agreements as usize].extend(rows.agreements.iter().map(|row| row.id.as_str()));
            seen.ids[List::Waivers as usize].extend(rows.waivers.iter().map(|row| row.id.as_str()));
            seen.ids[List::Clarifications as usize].extend(rows.clarifications.iter().map(|row| row.id.as_str()));
            seen.ids[List::Rules as usize].extend(rows.rules.iter().map(|row| row.id.as_str()));
            seen.ids[List::Evidence as usize].extend(rows.evidence.iter().map(|row| row.id.as_str()));
            seen.ids[List::Benchmarks as usize].extend(rows.benchmarks.iter().map(|row| row.id.as_str()));
            seen.ids[List::FineTuning as usize].extend(rows.fine_tuning.iter().map(|row| row.id.as_str()));
            seen.ids[List::Hardware as usize].extend(rows.hardware.iter().map(|row| row.id.as_str()));
        }
        seen
    }

    fn id(&mut self, id: &'a str, report: &mut Report<'_>) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if id.is_empty() || id.len() > MAX_NAME || !id.chars().all(plain) {
            report.problem(
                Key::Id,
                "bad-id",
                format!("`{}` is no id", cut(id)),
                Some(format!("expected lower-case letters, digits, `-`, `.` and `_`, at most {MAX_NAME}")),
            );
        } else if !self.ids[report.list as usize].insert(id) {
            report.problem(
                Key::Id,
                "duplicate-id",
                format!("the id `{id}` is taken"),
                Some("rows are added, never replaced: choose another id".to_owned()),
            );
        }
    }
}
