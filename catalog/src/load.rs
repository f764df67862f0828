//! YAML text to rows. Unknown keys are refused, and the text is bounded in every way.
//!
//! One file may hold rows of every kind. Rows are read without their places; only when something is wrong is the text
//! read again with them (`Text`), so that a good catalog loads fast.

mod expressions;

use std::cell::OnceCell;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::Spanned;

use crate::nearest::{cut, nearest};
use crate::{
    Agreement, Attestation, Benchmark, Catalog, Clarification, CompanyRule, Evidence, FineTuning, Hardware, Host,
    License, Model, Price, Problem, Quantization, Server, Signer, Waiver, check,
};

/// A catalog file. The same shape serves the built-in data and a company's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rows {
    /// Models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<Model>,
    /// Licences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) licenses: Vec<License>,
    /// Hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<Host>,
    /// Servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers: Vec<Server>,
    /// Quantizations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) quantizations: Vec<Quantization>,
    /// Prices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) prices: Vec<Price>,
    /// What the company answers for. Only in its own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attestations: Vec<Attestation>,
    /// What the company has bought. Only in its own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) agreements: Vec<Agreement>,
    /// What the company has excepted. Only in its own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waivers: Vec<Waiver>,
    /// What counsel concluded about certain weights. Only in the company's own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) clarifications: Vec<Clarification>,
    /// What the company forbids itself. Only in its own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<CompanyRule>,
    /// What somebody saw of duties that are met. Only in the company's own files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<Evidence>,
    /// Whose signatures count; with one of them, every attestation and waiver has to be signed. Only in the company's own
    /// files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) signers: Vec<Signer>,
    /// Benchmarks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) benchmarks: Vec<Benchmark>,
    /// Ways to train a model further, and tools for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fine_tuning: Vec<FineTuning>,
    /// Hardware.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hardware: Vec<Hardware>,
}

impl Rows {
    pub(crate) fn append(&mut self, more: Rows) {
        self.models.extend(more.models);
        self.licenses.extend(more.licenses);
        self.hosts.extend(more.hosts);
        self.servers.extend(more.servers);
        self.quantizations.extend(more.quantizations);
        self.prices.extend(more.prices);
        self.attestations.extend(more.attestations);
        self.agreements.extend(more.agreements);
        self.waivers.extend(more.waivers);
        self.clarifications.extend(more.clarifications);
        self.rules.extend(more.rules);
        self.evidence.extend(more.evidence);
        self.signers.extend(more.signers);
        self.benchmarks.extend(more.benchmarks);
        self.fine_tuning.extend(more.fine_tuning);
        self.hardware.extend(more.hardware);
    }
}

/// The JSON Schema of a catalog file, for editors.
pub fn overlay_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(Rows);
    schema.insert("title".to_owned(), "Pointsman catalog file".into());
    schema
}

/// The rows of `base` and of `files`, or every problem that was found.
pub(crate) fn load(base: Option<&Catalog>, files: &[(&str, &str)]) -> Result<Rows, Vec<Problem>> {
    with_checks(base, files, check::signatures::check)
}

/// The same of rows that may still have to be signed. No catalog is made of them.
pub(crate) fn load_unsigned(base: Option<&Catalog>, files: &[(&str, &str)]) -> Result<Rows, Vec<Problem>> {
    with_checks(base, files, |_, _| Vec::new())
}

fn with_checks(
    base: Option<&Catalog>,
    files: &[(&str, &str)],
    signatures: impl FnOnce(Option<&Rows>, &[check::File<'_>]) -> Vec<Problem>,
) -> Result<Rows, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut parsed = Vec::new();
    for (name, text) in files {
        match parse(name, text) {
            Ok(rows) => parsed.push(check::File { name, text, rows }),
            Err(problem) => problems.push(problem),
        }
    }
    expressions::take_apart(base, &mut parsed, &mut problems);
    problems.extend(check::check(base.map(Catalog::rows), &parsed));
    // Who signs a row that has to change signs it again.
    if problems.is_empty() {
        problems = signatures(base.map(Catalog::rows), &parsed);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rows = base.map(Catalog::rows).cloned().unwrap_or_default();
    for file in parsed {
        rows.append(file.rows);
    }
    Ok(rows)
}

/// A file larger than this is refused before it is read.
const MAX_BYTES: usize = 1 << 20;

fn parse(name: &str, text: &str) -> Result<Rows, Problem> {
    let problem = |message: String| Problem {
        code: "catalog-syntax",
        message,
        file: name.to_owned(),
        line: 0,
        column: 0,
        hint: None,
    };
    if text.len() > MAX_BYTES {
        return Err(Problem {
            code: "catalog-too-large",
            hint: Some("split it into several files".to_owned()),
            ..problem(format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()))
        });
    }
    let rows: Result<Option<Rows>, _> = serde_saphyr::from_str_with_options(text, options());
    match rows {
        Ok(rows) => Ok(rows.unwrap_or_default()),
        Err(error) => {
            let at = error.location();
            let (code, message, hint) = describe(error.without_snippet());
            Err(Problem {
                code,
                hint,
                line: at.map_or(0, |at| at.line()),
                column: at.map_or(0, |at| at.column()),
                ..problem(message)
            })
        }
    }
}

/// What a YAML error says, in our words where it is one that people run into.
fn describe(error: &serde_saphyr::Error) -> (&'static str, String, Option<String>) {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let hint = match nearest(field, expected.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("expected one of: {}", expected.join(", ")),
            };
            ("unknown-key", format!("there is no key `{}` here", cut(field)), Some(hint))
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            ("missing-key", format!("the key `{field}` is missing"), Some(format!("add `{field}` to this row")))
        }
        serde_saphyr::Error::Budget { .. } => (
            "catalog-too-complex",
            "the file asks for more nodes, depth or aliases than a catalog needs".to_owned(),
            Some("write the rows out, without anchors".to_owned()),
        ),
        other => {
            let text = other.to_string();
            // The first line has the cause; the place is told apart.
            let cause = text.lines().next().unwrap_or_default();
            let cause = cause.rsplit_once(" at line ").map_or(cause, |(cause, _)| cause);
            ("catalog-syntax", cut(cause), None)
        }
    }
}

pub(crate) fn options() -> serde_saphyr::Options {
    let budget = serde_saphyr::budget! {
        max_reader_input_bytes: Some(MAX_BYTES),
        max_events: 250_000,
        max_nodes: 100_000,
        max_depth: 16,
        max_documents: 1,
        // Rows are written out; an anchor saves little and costs a reader much.
        max_anchors: 64,
        max_aliases: 64,
        max_recorded_anchor_events: 10_000,
        max_recorded_anchor_bytes: 1 << 20,
        max_merge_keys: 64,
    };
    serde_saphyr::options! { budget: budget, with_snippet: false }
}

/// Where in a file a row, or one value of it, stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) list: List,
    pub(crate) row: usize,
    pub(crate) key: Key,
}

/// The lists of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Models,
    Licenses,
    Hosts,
    Servers,
    Quantizations,
    Prices,
    Attestations,
    Agreements,
    Waivers,
    Clarifications,
    Rules,
    Evidence,
    Signers,
    Benchmarks,
    FineTuning,
    Hardware,
}

/// The values that a problem can point at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Id,
    Name,
    License,
    AlsoLicense(usize),
    Tier,
    Replacement,
    Host,
    Model,
    Allows,
    BaseUrl,
    Server(usize),
    Parent(usize),
    Condition(usize),
    LicenseOf(usize),
    ModelOf(usize),
    Rule(usize),
    Value,
    Until,
    Approvers,
    Revoked,
    Ticket,
    Cap,
    CheckDays,
    Find,
    Public,
    Kind,
    Url,
    Sha256,
    Signature,
    /// The n-th of `signatures`.
    SignatureOf(usize),
    /// The n-th of the digests in `weights`.
    Digest(usize),
    /// The n-th of the models in `to`.
    To(usize),
    /// A rule's `match`, as a whole.
    Match,
    /// The n-th of the names in `benchmarks`, in the order of the alphabet.
    Benchmark(usize),
    Uses(usize),
    Computes(usize),
    Was(usize),
    /// A licence of the n-th `was`: its own, then the ones beside it.
    WasLicense(usize, usize),
}

/// A text, read again with the places of its values once somebody asks for one.
pub(crate) struct Text<'a> {
    text: &'a str,
    places: OnceCell<Places>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str) -> Text<'a> {
        Text { text, places: OnceCell::new() }
    }

    /// The line and column of `place`, from 1; 0 and 0 where the text cannot be read so.
    pub(crate) fn place_of(&self, place: Place) -> (u64, u64) {
        let places = self.places.get_or_init(|| {
            let places: Option<Places> = serde_saphyr::from_str_with_options(self.text, options()).unwrap_or_default();
            places.unwrap_or_default()
        });
        let list = match place.list {
            List::Models => &places.models,
            List::Licenses => &places.licenses,
            List::Hosts => &places.hosts,
            List::Servers => &places.servers,
            List::Quantizations => &places.quantizations,
            List::Prices => &places.prices,
            List::Attestations => &places.attestations,
            List::Agreements => &places.agreements,
            List::Waivers => &places.waivers,
            List::Clarifications => &places.clarifications,
            List::Rules => &places.rules,
            List::Evidence => &places.evidence,
            List::Signers => &places.signers,
            List::Benchmarks => &places.benchmarks,
            List::FineTuning => &places.fine_tuning,
            List::Hardware => &places.hardware,
        };
        let Some(row) = list.get(place.row) else { return (0, 0) };
        let one = |spanned: &Option<Spanned<String>>| spanned.as_ref().map(|spanned| spanned.referenced);
        let nth = |list: &[Spanned<String>], n: usize| list.get(n).map(|spanned| spanned.referenced);
        let value = match place.key {
            Key::Id => one(&row.value.id),
            Key::Name => one(&row.value.name),
            Key::License => one(&row.value.license),
            Key::AlsoLicense(n) => nth(&row.value.also_licenses, n),
            Key::Tier => row.value.tier.as_ref().map(|spanned| spanned.referenced),
            Key::Replacement => one(&row.value.replacement),
            Key::Host => one(&row.value.host),
            Key::Model => one(&row.value.model),
            Key::Allows => row.value.allows.as_ref().map(|spanned| spanned.referenced),
            Key::BaseUrl => one(&row.value.base_url),
            Key::Server(n) => nth(&row.value.servers, n),
            Key::Parent(n) => row.value.parents.get(n).map(|spanned| spanned.referenced),
            Key::Condition(n) => row.value.conditions.get(n).map(|spanned| spanned.referenced),
            Key::LicenseOf(n) => nth(&row.value.licenses, n),
            Key::ModelOf(n) => nth(&row.value.models, n),
            Key::Rule(n) => nth(&row.value.rules, n),
            Key::Value => row.value.at_most.as_ref().or(row.value.more_than.as_ref()).map(|spanned| spanned.referenced),
            Key::Until => one(&row.value.valid_until).or_else(|| one(&row.value.expires)),
            Key::Approvers => row.value.approved_by.as_ref().map(|spanned| spanned.referenced),
            Key::Revoked => one(&row.value.revoked),
            Key::Kind => one(&row.value.kind),
            Key::Url => one(&row.value.url),
            Key::Sha256 => one(&row.value.sha256),
            Key::Public => one(&row.value.key),
            Key::Signature => one(&row.value.signature),
            Key::SignatureOf(n) => row.value.signatures.get(n).map(|spanned| spanned.referenced),
            Key::Ticket => one(&row.value.ticket),
            Key::Cap => row.value.at_most_requests.as_ref().map(|spanned| spanned.referenced),
            Key::CheckDays => row.value.check_days.as_ref().map(|spanned| spanned.referenced),
            Key::Find => one(&row.value.find),
            Key::Digest(n) => nth(&row.value.weights, n),
            Key::To(n) => nth(&row.value.to, n),
            Key::Match => row.value.about.as_ref().map(|spanned| spanned.referenced),
            Key::Benchmark(n) => nth(&row.value.benchmarks.0, n),
            Key::Uses(n) => nth(&row.value.uses, n),
            Key::Computes(n) => nth(&row.value.computes, n),
            Key::Was(n) => row.value.was.get(n).map(|was| was.referenced),
            Key::WasLicense(n, license) => row.value.was.get(n).and_then(|was| match license.checked_sub(1) {
                None => one(&was.value.license),
                Some(also) => nth(&was.value.also_licenses, also),
            }),
        };
        let at = value.unwrap_or(row.referenced);
        (at.line(), at.column())
    }
}

/// A file again, only what problems point at, with places.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Places {
    models: Vec<Spanned<PlacedRow>>,
    licenses: Vec<Spanned<PlacedRow>>,
    hosts: Vec<Spanned<PlacedRow>>,
    servers: Vec<Spanned<PlacedRow>>,
    quantizations: Vec<Spanned<PlacedRow>>,
    prices: Vec<Spanned<PlacedRow>>,
    attestations: Vec<Spanned<PlacedRow>>,
    agreements: Vec<Spanned<PlacedRow>>,
    waivers: Vec<Spanned<PlacedRow>>,
    clarifications: Vec<Spanned<PlacedRow>>,
    rules: Vec<Spanned<PlacedRow>>,
    evidence: Vec<Spanned<PlacedRow>>,
    signers: Vec<Spanned<PlacedRow>>,
    benchmarks: Vec<Spanned<PlacedRow>>,
    fine_tuning: Vec<Spanned<PlacedRow>>,
    hardware: Vec<Spanned<PlacedRow>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlacedRow {
    id: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    license: Option<Spanned<String>>,
    also_licenses: Vec<Spanned<String>>,
    tier: Option<Spanned<u8>>,
    replacement: Option<Spanned<String>>,
    host: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    base_url: Option<Spanned<String>>,
    allows: Option<Spanned<Vec<String>>>,
    servers: Vec<Spanned<String>>,
    parents: Vec<Spanned<IgnoredAny>>,
    conditions: Vec<Spanned<IgnoredAny>>,
    licenses: Vec<Spanned<String>>,
    models: Vec<Spanned<String>>,
    rules: Vec<Spanned<String>>,
    at_most: Option<Spanned<u64>>,
    more_than: Option<Spanned<u64>>,
    valid_until: Option<Spanned<String>>,
    expires: Option<Spanned<String>>,
    approved_by: Option<Spanned<Vec<String>>>,
    revoked: Option<Spanned<String>>,
    ticket: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    sha256: Option<Spanned<String>>,
    signature: Option<Spanned<String>>,
    signatures: Vec<Spanned<IgnoredAny>>,
    at_most_requests: Option<Spanned<u64>>,
    check_days: Option<Spanned<u64>>,
    find: Option<Spanned<String>>,
    weights: Vec<Spanned<String>>,
    to: Vec<Spanned<String>>,
    #[serde(rename = "match")]
    about: Option<Spanned<IgnoredAny>>,
    benchmarks: PlacedKeys,
    uses: Vec<Spanned<String>>,
    computes: Vec<Spanned<String>>,
    was: Vec<Spanned<PlacedWas>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlacedWas {
    license: Option<Spanned<String>>,
    also_licenses: Vec<Spanned<String>>,
}

/// The keys of a map, in the order of the alphabet: the order in which a row keeps them.
#[derive(Default)]
struct PlacedKeys(Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for PlacedKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = PlacedKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PlacedKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    map.next_value::<IgnoredAny>()?;
                    keys.push(key);
                }
                keys.sort_by(|a, b| a.value.cmp(&b.value));
                Ok(PlacedKeys(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests;
