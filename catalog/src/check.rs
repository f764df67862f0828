//! What must hold between rows: ids are unique, references resolve, a tier is as strict as its licences.
//!
//! Every problem of every file is reported, each at the value that is wrong.

use std::collections::{HashMap, HashSet};

use crate::load::{Key, List, Place, Rows, place_of};
use crate::{License, Model, Problem, Purpose, Tier};

/// A file that could be read.
pub(crate) struct File<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    pub(crate) rows: Rows,
}

/// The problems of `files` on top of `base`, which has none.
pub(crate) fn check(base: Option<&Rows>, files: &[File<'_>]) -> Vec<Problem> {
    let known = Known::new(base, files);
    let mut found = Vec::new();
    let mut seen = Seen::new(base);
    for file in files {
        let mut report = |list, row, key, code, message: String, hint: Option<String>| {
            let (line, column) = place_of(file.text, Place { list, row, key });
            found.push(Problem { code, message, file: file.name.to_owned(), line, column, hint });
        };
        for (row, model) in file.rows.models.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Models, row, key, code, message, hint);
            seen.id(List::Models, &model.id, &mut report);
            check_model(model, &known, &mut report);
        }
        for (row, license) in file.rows.licenses.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Licenses, row, key, code, message, hint);
            seen.id(List::Licenses, &license.id, &mut report);
            check_license(license, &mut report);
        }
        for (row, host) in file.rows.hosts.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Hosts, row, key, code, message, hint);
            seen.id(List::Hosts, &host.id, &mut report);
            let is_http = host.base_url.starts_with("https://") || host.base_url.starts_with("http://");
            if !is_http || host.base_url.ends_with('/') {
                report(
                    Key::BaseUrl,
                    "bad-base-url",
                    format!("host `{}` has the base address `{}`", host.id, host.base_url),
                    Some("expected http:// or https://, and no slash at the end".to_owned()),
                );
            }
        }
        for (row, server) in file.rows.servers.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Servers, row, key, code, message, hint);
            seen.id(List::Servers, &server.id, &mut report);
        }
        for (row, quantization) in file.rows.quantizations.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Quantizations, row, key, code, message, hint);
            seen.id(List::Quantizations, &quantization.id, &mut report);
            for (n, server) in quantization.servers.iter().enumerate() {
                known.servers.resolve(
                    server,
                    || format!("quantization `{}`", quantization.id),
                    Key::Server(n),
                    &mut report,
                );
            }
        }
        for (row, price) in file.rows.prices.iter().enumerate() {
            let mut report = |key, code, message, hint| report(List::Prices, row, key, code, message, hint);
            let what = || format!("the price of `{}`", price.name);
            known.hosts.resolve(&price.host, what, Key::Host, &mut report);
            if let Some(model) = &price.model {
                known.models.resolve(model, what, Key::Model, &mut report);
            }
            let figures =
                [price.input_usd_per_million, price.output_usd_per_million, price.cached_input_usd_per_million];
            if figures.into_iter().flatten().any(|figure| !figure.is_finite() || figure < 0.0) {
                report(
                    Key::Host,
                    "bad-price",
                    format!("{} is below zero or not a number", what()),
                    Some("leave out a price that is not known".to_owned()),
                );
            }
        }
    }
    found
}

/// `(key, code, message, hint)` of a problem of one row.
type Report<'a> = dyn FnMut(Key, &'static str, String, Option<String>) + 'a;

fn check_model(model: &Model, known: &Known<'_>, report: &mut Report<'_>) {
    let what = || format!("model `{}`", model.id);
    let mut strictest = None;
    for (n, id) in model.licenses().enumerate() {
        let key = if n == 0 { Key::License } else { Key::AlsoLicense(n - 1) };
        if known.licenses.resolve(id, what, key, report) {
            strictest = strictest.max(known.tiers.get(id).copied());
        }
    }
    if let Some(strictest) = strictest.filter(|strictest| model.tier < *strictest) {
        report(
            Key::Tier,
            "tier-too-free",
            format!("model `{}` states {}, but one of its licences is {strictest}", model.id, model.tier),
            Some(format!("write `tier: {}`", strictest.number())),
        );
    }
    if let Some(id) = &model.replacement {
        known.models.resolve(id, what, Key::Replacement, report);
    }
}

fn check_license(license: &License, report: &mut Report<'_>) {
    let business = [Purpose::Revenue, Purpose::Internal];
    let wrong = match license.tier {
        Tier::Free | Tier::Conditional => business.iter().any(|purpose| !license.allows.contains(purpose)),
        Tier::Research | Tier::NonCommercial => business.iter().any(|purpose| license.allows.contains(purpose)),
        Tier::Closed => !license.allows.is_empty(),
    };
    if wrong {
        let expected = match license.tier {
            Tier::Free | Tier::Conditional => "tiers 1 and 2 allow revenue and internal use",
            Tier::Research | Tier::NonCommercial => "tiers 3 and 4 allow neither revenue nor internal use",
            Tier::Closed => "tier 5 allows nothing",
        };
        report(
            Key::Allows,
            "tier-and-purposes-disagree",
            format!("licence `{}` is {}, and what it allows does not fit", license.id, license.tier),
            Some(expected.to_owned()),
        );
    }
}

/// The ids that rows may refer to.
struct Known<'a> {
    models: Ids<'a>,
    licenses: Ids<'a>,
    hosts: Ids<'a>,
    servers: Ids<'a>,
    tiers: HashMap<&'a str, Tier>,
}

impl<'a> Known<'a> {
    fn new(base: Option<&'a Rows>, files: &'a [File<'_>]) -> Known<'a> {
        let rows = || base.into_iter().chain(files.iter().map(|file| &file.rows));
        let licenses = || rows().flat_map(|rows| &rows.licenses);
        Known {
            models: Ids::new("model", rows().flat_map(|rows| &rows.models).map(|model| model.id.as_str())),
            licenses: Ids::new("licence", licenses().map(|license| license.id.as_str())),
            hosts: Ids::new("host", rows().flat_map(|rows| &rows.hosts).map(|host| host.id.as_str())),
            servers: Ids::new("server", rows().flat_map(|rows| &rows.servers).map(|server| server.id.as_str())),
            tiers: licenses().map(|license| (license.id.as_str(), license.tier)).collect(),
        }
    }
}

struct Ids<'a> {
    what: &'static str,
    ids: HashSet<&'a str>,
}

impl<'a> Ids<'a> {
    fn new(what: &'static str, ids: impl Iterator<Item = &'a str>) -> Ids<'a> {
        Ids { what, ids: ids.collect() }
    }

    /// Whether `id` is known; reports it where it is not.
    fn resolve(&self, id: &str, owner: impl Fn() -> String, key: Key, report: &mut Report<'_>) -> bool {
        if self.ids.contains(id) {
            return true;
        }
        let nearest = self
            .ids
            .iter()
            .map(|known| (strsim::normalized_damerau_levenshtein(id, known), *known))
            .filter(|(score, _)| *score > 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
        let hint = nearest.map(|(_, known)| format!("did you mean `{known}`?"));
        let code = match self.what {
            "model" => "unknown-model",
            "licence" => "unknown-license",
            "host" => "unknown-host",
            _ => "unknown-server",
        };
        report(key, code, format!("{} names the {} `{id}`, which the catalog does not have", owner(), self.what), hint);
        false
    }
}

/// The ids taken so far, one set per list.
struct Seen<'a> {
    ids: [HashSet<&'a str>; 6],
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
        }
        seen
    }

    fn id(&mut self, list: List, id: &'a str, report: &mut Report<'_>) {
        let fits =
            !id.is_empty() && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c));
        if !fits {
            report(
                Key::Id,
                "bad-id",
                format!("`{}` is no id", id.chars().take(80).collect::<String>()),
                Some("expected lower-case letters, digits, `-`, `.` and `_`".to_owned()),
            );
        } else if !self.ids[list as usize].insert(id) {
            report(
                Key::Id,
                "duplicate-id",
                format!("the id `{id}` is taken"),
                Some("rows are added, never replaced: choose another id".to_owned()),
            );
        }
    }
}
