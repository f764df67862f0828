//! The rows and how to find them.
//!
//! Immutable once built. Building never fails here: `crate::check` has looked at the rows before.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::clarification::Concluded;
use crate::decide::Classes;
use crate::inherit::inherited;
use crate::load::{self, Rows};
use crate::model::Resolved;
use crate::nearest::{LIKE_ENOUGH, likeness};
use crate::{
    Agreement, Attestation, Benchmark, Clarification, CompanyRule, Evidence, FineTuning, Hardware, Host, License,
    Model, Price, Problem, Quantization, Server, Signer, ToSign, Waiver, Weights, builtin,
};

/// Models, licences, hosts, servers, prices and all that data files hold besides. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Catalog {
    rows: Rows,
    models: HashMap<String, usize>,
    licenses: HashMap<String, usize>,
    hosts: HashMap<String, usize>,
    servers: HashMap<String, usize>,
    quantizations: HashMap<String, usize>,
    benchmarks: HashMap<String, usize>,
    fine_tuning: HashMap<String, usize>,
    hardware: HashMap<String, usize>,
    /// Lower-case repositories, names and aliases; `None` where more than one model goes by it.
    names: HashMap<String, Option<usize>>,
    /// By host, then by the model's name there: the newest row.
    prices: HashMap<String, HashMap<String, usize>>,
    /// By host, then by catalog model: rows still offered, the closest relation first.
    offers: HashMap<String, HashMap<String, Vec<usize>>>,
    /// Models as clarifications conclude of their weights; their numbers go on after those of the models.
    concluded: Vec<Model>,
    digest: String,
    classes: Classes,
}

impl Catalog {
    /// The catalog that is built into the program. Parsed once.
    pub fn builtin() -> Arc<Catalog> {
        static BUILTIN: OnceLock<Arc<Catalog>> = OnceLock::new();
        // A test loads it, so a broken data file cannot get as far as a release.
        BUILTIN
            .get_or_init(|| Arc::new(builtin::load().unwrap_or_else(|problems| panic!("{}", list(&problems)))))
            .clone()
    }

    /// This catalog and the rows of `files`, each a name for messages and a YAML text. Rows are added; none is replaced.
    ///
    /// Returns every problem of every file. The text is not trusted: it is bounded in size, depth and aliases.
    pub fn with_overlays(&self, files: &[(String, String)]) -> Result<Catalog, Vec<Problem>> {
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let rows = load::load(Some(self), &files)?;
        Ok(Catalog::new(rows, digest(Some(&self.digest), &files)))
    }

    /// What has to be signed of this catalog with `files`, and by whom: every attestation and waiver, whether the files name
    /// signers or not. Returns every other problem, since what is signed has to be right.
    pub fn to_sign(&self, files: &[(String, String)]) -> Result<Vec<ToSign>, Vec<Problem>> {
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let rows = load::load_unsigned(Some(self), &files)?;
        let signer = |name: &str| rows.signers.iter().find(|signer| signer.name == name);
        let attestations = rows.attestations.iter().map(|row| row.to_sign(signer));
        Ok(attestations.chain(rows.waivers.iter().map(|row| row.to_sign(signer))).collect())
    }

    /// A catalog of other rows, which come of this one by a change that `what` and `of` name.
    pub(crate) fn changed(&self, what: &str, of: &str, rows: Rows) -> Catalog {
        Catalog::new(rows, digest(Some(&self.digest), &[(what, of)]))
    }

    pub(crate) fn from_files(files: &[(&str, &str)]) -> Result<Catalog, Vec<Problem>> {
        let rows = load::load(None, files)?;
        Ok(Catalog::new(rows, digest(None, files)))
    }

    pub(crate) fn new(mut rows: Rows, digest: String) -> Catalog {
        rows.licenses.iter_mut().for_each(License::share_duties);
        let licenses = index(rows.licenses.iter().map(|license| &license.id));
        let models = index(rows.models.iter().map(|model| &model.id));
        let reach: Vec<_> = rows
            .models
            .iter()
            .map(|model| {
                let of_model = |id: &str| models.get(id).map(|at| &rows.models[*at]);
                inherited(model, of_model, |id: &str| licenses.get(id).map(|at| &rows.licenses[*at]))
            })
            .collect();
        for (at, (model, inherited)) in rows.models.iter_mut().zip(reach).enumerate() {
            model.resolved = Resolved { at: Some(at), inherited, concluded: None };
        }
        let concluded =
            concluded(&rows, |id| models.get(id).copied(), |id| licenses.get(id).map(|at| &rows.licenses[*at]));
        Catalog {
            models,
            hosts: index(rows.hosts.iter().map(|host| &host.id)),
            servers: index(rows.servers.iter().map(|server| &server.id)),
            quantizations: index(rows.quantizations.iter().map(|quantization| &quantization.id)),
            benchmarks: index(rows.benchmarks.iter().map(|benchmark| &benchmark.id)),
            fine_tuning: index(rows.fine_tuning.iter().map(|row| &row.id)),
            hardware: index(rows.hardware.iter().map(|row| &row.id)),
            names: names(&rows.models),
            prices: prices(&rows.prices),
            offers: offers(&rows.prices),
            licenses,
            concluded,
            rows,
            digest,
            classes: Classes::default(),
        }
    }

    /// The model with this id.
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.models.get(id).map(|at| &self.rows.models[*at])
    }

    /// The model that goes by `name`: its id, else its repository, its name, or an alias that no other model shares.
    /// Case does not matter.
    pub fn resolve(&self, name: &str) -> Option<&Model> {
        if let Some(model) = self.model(name) {
            return Some(model);
        }
        let at = (*self.names.get(&name.to_lowercase())?)?;
        self.rows.models.get(at)
    }

    /// The ids of up to `n` models whose id, repository, name or alias looks most like `name`; the nearest first.
    pub fn nearest(&self, name: &str, n: usize) -> Vec<&str> {
        let mut scored: Vec<(f64, &str)> = self
            .rows
            .models
            .iter()
            .map(|model| {
                let known = [&model.id, &model.name].into_iter().chain(&model.repo).chain(&model.aliases);
                (known.map(|known| likeness(name, known)).fold(0.0, f64::max), model.id.as_str())
            })
            .filter(|(score, _)| *score >= LIKE_ENOUGH)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        scored.into_iter().take(n).map(|(_, id)| id).collect()
    }

    /// Every model, in the order of the data files.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.rows.models.iter()
    }

    /// The licence with this id.
    pub fn license(&self, id: &str) -> Option<&License> {
        self.licenses.get(id).map(|at| &self.rows.licenses[*at])
    }

    /// Every licence.
    pub fn licenses(&self) -> impl Iterator<Item = &License> {
        self.rows.licenses.iter()
    }

    /// The host with this id.
    pub fn host(&self, id: &str) -> Option<&Host> {
        self.hosts.get(id).map(|at| &self.rows.hosts[*at])
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.rows.hosts.iter()
    }

    /// The server with this id.
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.get(id).map(|at| &self.rows.servers[*at])
    }

    /// Every server.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.rows.servers.iter()
    }

    /// The quantization with this id.
    pub fn quantization(&self, id: &str) -> Option<&Quantization> {
        self.quantizations.get(id).map(|at| &self.rows.quantizations[*at])
    }

    /// Every quantization.
    pub fn quantizations(&self) -> impl Iterator<Item = &Quantization> {
        self.rows.quantizations.iter()
    }

    /// The benchmark with this id: the key of a score in a model row.
    pub fn benchmark(&self, id: &str) -> Option<&Benchmark> {
        self.benchmarks.get(id).map(|at| &self.rows.benchmarks[*at])
    }

    /// Every benchmark, and the tools that run them.
    pub fn benchmarks(&self) -> impl Iterator<Item = &Benchmark> {
        self.rows.benchmarks.iter()
    }

    /// The method or tool of fine-tuning with this id.
    pub fn fine_tuning(&self, id: &str) -> Option<&FineTuning> {
        self.fine_tuning.get(id).map(|at| &self.rows.fine_tuning[*at])
    }

    /// Every method and tool of fine-tuning.
    pub fn fine_tunings(&self) -> impl Iterator<Item = &FineTuning> {
        self.rows.fine_tuning.iter()
    }

    /// The piece of hardware with this id.
    pub fn hardware(&self, id: &str) -> Option<&Hardware> {
        self.hardware.get(id).map(|at| &self.rows.hardware[*at])
    }

    /// Every piece of hardware.
    pub fn all_hardware(&self) -> impl Iterator<Item = &Hardware> {
        self.rows.hardware.iter()
    }

    /// Every price.
    pub fn prices(&self) -> impl Iterator<Item = &Price> {
        self.rows.prices.iter()
    }

    /// The newest price of the model that `host` calls `name_at_host`.
    pub fn price(&self, host: &str, name_at_host: &str) -> Option<&Price> {
        self.prices.get(host)?.get(name_at_host).map(|at| &self.rows.prices[*at])
    }

    /// Prices of `host` for a catalog model that are still offered, the closest relation first.
    pub fn offers(&self, host: &str, model: &str) -> Vec<&Price> {
        let rows = self.offers.get(host).and_then(|models| models.get(model));
        rows.into_iter().flatten().map(|at| &self.rows.prices[*at]).collect()
    }

    /// Every attestation.
    pub fn attestations(&self) -> impl Iterator<Item = &Attestation> {
        self.rows.attestations.iter()
    }

    /// Every agreement.
    pub fn agreements(&self) -> impl Iterator<Item = &Agreement> {
        self.rows.agreements.iter()
    }

    /// Every waiver.
    pub fn waivers(&self) -> impl Iterator<Item = &Waiver> {
        self.rows.waivers.iter()
    }

    /// Every clarification.
    pub fn clarifications(&self) -> impl Iterator<Item = &Clarification> {
        self.rows.clarifications.iter()
    }

    /// Every rule that the company gives itself.
    pub fn company_rules(&self) -> impl Iterator<Item = &CompanyRule> {
        self.rows.rules.iter()
    }

    /// Everything that somebody saw of duties that are met.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.rows.evidence.iter()
    }

    /// Everybody whose signature counts.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        self.rows.signers.iter()
    }

    pub(crate) fn company_rule(&self, at: usize) -> &CompanyRule {
        &self.rows.rules[at]
    }

    pub(crate) fn attestation(&self, at: usize) -> &Attestation {
        &self.rows.attestations[at]
    }

    pub(crate) fn agreement(&self, at: usize) -> &Agreement {
        &self.rows.agreements[at]
    }

    pub(crate) fn waiver(&self, at: usize) -> &Waiver {
        &self.rows.waivers[at]
    }

    /// The ids of all licences that bind `model`: its own, and those that reach it from its parents. Worked out afresh for
    /// a model that is not a row of this catalog.
    pub fn licenses_of(&self, model: &Model) -> Vec<Arc<str>> {
        let own = model.own_licenses().map(Arc::from);
        match self.row_of(model) {
            Some(_) => own.chain(model.resolved.inherited.iter().cloned()).collect(),
            None => own.chain(inherited(model, |id| self.model(id), |id| self.license(id))).collect(),
        }
    }

    /// The model of this id as it is served from certain weights: its row, or where clarifications speak of the model and
    /// the weights are known, what they conclude of them. `None` where there is no such model.
    pub fn served_from(&self, id: &str, weights: Option<&Weights>) -> Option<&Model> {
        let row = self.model(id)?;
        let Some(weights) = weights else { return Some(row) };
        let of_model = || self.concluded.iter().filter(|model| model.id == id);
        let speaks = |model: &&Model| match model.resolved.concluded {
            Some(Concluded::By(at)) => self.rows.clarifications[at].speaks_of(weights),
            _ => false,
        };
        let nobody = |model: &&Model| model.resolved.concluded == Some(Concluded::Nobody);
        of_model().find(speaks).or_else(|| of_model().find(nobody)).or(Some(row))
    }

    /// The names of the files beside its weights that have to be looked at to tell what the model of this id is; `None`
    /// where its weights themselves need not be.
    pub fn looks_at_weights(&self, id: &str) -> Option<Vec<&str>> {
        let mut of_model = self.rows.clarifications.iter().filter(|row| row.model == id).peekable();
        of_model.peek()?;
        let mut names: Vec<&str> = of_model.flat_map(|row| row.files.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    /// The number of the row that `model` is, if it is one of this catalog's.
    pub fn row_of(&self, model: &Model) -> Option<usize> {
        model.resolved.at.filter(|at| self.row(*at).is_some_and(|row| std::ptr::eq(row, model)))
    }

    /// The row of this number, as [`Catalog::row_of`] gives it.
    pub fn row(&self, at: usize) -> Option<&Model> {
        self.rows.models.get(at).or_else(|| self.concluded.get(at.checked_sub(self.rows.models.len())?))
    }

    /// How many rows there are that may serve.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.models.len() + self.concluded.len()
    }

    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// SHA-256 in hex over all data that went in: equal digests mean equal decisions.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }
}

/// For each clarification its model with the licence that it concludes, and for each model that has one a row for all
/// other weights.
fn concluded<'a>(
    rows: &'a Rows,
    model: impl Fn(&str) -> Option<usize>,
    license: impl Fn(&str) -> Option<&'a License> + Copy,
) -> Vec<Model> {
    let mut concluded: Vec<Model> = Vec::new();
    let mut add = |row: Model, by: Concluded| {
        let at = rows.models.len() + concluded.len();
        let resolved = Resolved { at: Some(at), inherited: Vec::new(), concluded: Some(by) };
        concluded.push(Model { resolved, ..row });
    };
    let mut met: Vec<usize> = Vec::new();
    for (n, clarification) in rows.clarifications.iter().enumerate() {
        let Some(at) = model(&clarification.model) else { continue };
        let row = &rows.models[at];
        add(clarification.row(row, license), Concluded::By(n));
        if !met.contains(&at) {
            met.push(at);
            add(row.clone(), Concluded::Nobody);
        }
    }
    concluded
}

fn index<'a>(ids: impl Iterator<Item = &'a String>) -> HashMap<String, usize> {
    ids.enumerate().map(|(at, id)| (id.clone(), at)).collect()
}

fn names(models: &[Model]) -> HashMap<String, Option<usize>> {
    let mut names: HashMap<String, Option<usize>> = HashMap::new();
    let add_all = |names: &mut HashMap<String, Option<usize>>, pick: fn(&Model) -> Vec<&String>| {
        let mut round: HashMap<String, Option<usize>> = HashMap::new();
        for (at, model) in models.iter().enumerate() {
            for name in pick(model) {
                let slot = round.entry(name.to_lowercase()).or_insert(Some(at));
                if *slot != Some(at) {
                    *slot = None;
                }
            }
        }
        // What an earlier round settled stays.
        for (name, at) in round {
            names.entry(name).or_insert(at);
        }
    };
    add_all(&mut names, |model| vec![&model.id]);
    add_all(&mut names, |model| model.repo.iter().collect());
    add_all(&mut names, |model| vec![&model.name]);
    add_all(&mut names, |model| model.aliases.iter().collect());
    names
}

fn prices(prices: &[Price]) -> HashMap<String, HashMap<String, usize>> {
    let mut by_host: HashMap<String, HashMap<String, usize>> = HashMap::new();
    for (at, price) in prices.iter().enumerate() {
        let newest = by_host.entry(price.host.clone()).or_default().entry(price.name.clone()).or_insert(at);
        if prices[*newest].as_of < price.as_of {
            *newest = at;
        }
    }
    by_host
}

fn offers(prices: &[Price]) -> HashMap<String, HashMap<String, Vec<usize>>> {
    let mut by_host: HashMap<String, HashMap<String, Vec<usize>>> = HashMap::new();
    for (at, price) in prices.iter().enumerate().filter(|(_, price)| price.is_offered()) {
        if let Some(model) = &price.model {
            by_host.entry(price.host.clone()).or_default().entry(model.clone()).or_default().push(at);
        }
    }
    for rows in by_host.values_mut().flat_map(HashMap::values_mut) {
        // Among equals, a row without doubtful figures goes first, then one that does not end.
        rows.sort_by_key(|at| {
            let price = &prices[*at];
            (price.relation, price.suspect.len(), price.status)
        });
    }
    by_host
}

fn digest(base: Option<&str>, files: &[(&str, &str)]) -> String {
    let mut hash = Sha256::new();
    let parts = base.into_iter().chain(files.iter().flat_map(|(name, text)| [*name, *text]));
    for part in parts {
        // The length keeps two parts from being read as one.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
