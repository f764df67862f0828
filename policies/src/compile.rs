//! Policy text, catalog and deployments to a [`PolicySet`], with every problem of every file in one report.
//!
//! `parse` reads each file, `check` looks names up and finds what cannot work or can never have an effect; then
//! candidates become deployments, and everything that depends on no request is worked out once.

use std::{collections::HashSet, sync::Arc};

use catalog::Catalog;
use rapidhash::RapidHashMap;

use crate::{
    Deployment, Facts, PolicySet, Report,
    bind::Binder,
    check::Checker,
    diag::{File, Problems},
    eligible::Memo,
    naming,
    parse::{self, FileText},
    route::RouteText,
    set::{Index, Route},
    suffix::Suffixes,
    table::Table,
    yaml::{self, Node, Value},
};

/// A policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its text. Not trusted.
    pub text: String,
    /// Whether it ships with Pointsman. Such a file names models that an operator need not have, and gives way to the
    /// operator's own routes, so neither is worth a warning.
    pub builtin: bool,
    /// Whether it may go without routes: a file of tests alone.
    pub probes: bool,
}

impl Source {
    /// An operator's file.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), builtin: false, probes: false }
    }

    /// A file of tests alone.
    pub fn probes(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { probes: true, ..Self::new(name, text) }
    }

    /// Whether the text has `key` at its top, by which a policy file, a file of tests and a configuration are told apart.
    pub fn has(text: &str, key: &str) -> bool {
        let Ok(Node { value: Value::Map(pairs), .. }) = yaml::parse(text) else { return false };
        pairs.iter().any(|(name, _)| matches!(&name.value, Value::Scalar { text, .. } if text == key))
    }

    /// A file that ships with Pointsman.
    pub fn builtin(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { builtin: true, ..Self::new(name, text) }
    }
}

/// Names that the configuration declares and policies may speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Its teams; `None` where they are not known, so that any name may be matched.
    pub teams: Option<Vec<String>>,
    /// Its contexts, alike.
    pub contexts: Option<Vec<String>>,
    /// The public ids of its keys, alike.
    pub keys: Option<Vec<String>>,
    /// The request headers that are facts, in lower case.
    pub headers: Vec<String>,
    /// The entries of a request's `metadata` that are facts.
    pub metadata: Vec<String>,
}

/// Compiles `sources`, in the order in which their routes are to be asked, for a configuration that declares no names.
///
/// # Errors
/// As [`compile_declared`].
pub fn compile(
    sources: &[Source],
    catalog: &Catalog,
    deployments: &[Deployment],
) -> Result<(PolicySet, Report), Report> {
    compile_declared(sources, catalog, deployments, &Declared::default())
}

/// Compiles `sources`, in the order in which their routes are to be asked.
///
/// # Errors
/// Every problem of every file, warnings included, where at least one of them is an error. With none, the warnings
/// come beside the result.
pub fn compile_declared(
    sources: &[Source],
    catalog: &Catalog,
    deployments: &[Deployment],
    declared: &Declared,
) -> Result<(PolicySet, Report), Report> {
    let mut problems = Problems::default();
    let files: Vec<File<'_>> = sources.iter().map(|source| File::new(&source.name, &source.text)).collect();
    let texts: Vec<FileText> = sources
        .iter()
        .zip(&files)
        .enumerate()
        .map(|(at, (source, file))| parse::parse(source, at, file, &mut problems))
        .collect();
    Checker { sources, files: &files, catalog, deployments, declared }.check(&texts, &mut problems);
    if problems.has_errors() {
        return Err(problems.into_report(&files));
    }
    Ok((bind(texts.into(), catalog, deployments), problems.into_report(&files)))
}

/// Binds routes that have been checked.
pub(crate) fn bind(texts: Arc<[FileText]>, catalog: &Catalog, deployments: &[Deployment]) -> PolicySet {
    bind_some(texts, catalog, deployments, |_| true)
}

/// The same for one request: routes that could not take it are left out, and their names stay known. A plan of that request
/// is the same; offline tools make a million of them, each in another world.
pub(crate) fn bind_for(
    facts: &Facts,
    texts: Arc<[FileText]>,
    catalog: &Catalog,
    deployments: &[Deployment],
) -> PolicySet {
    let needs = facts.needs.capabilities();
    bind_some(texts, catalog, deployments, |route| {
        let of_team = |teams: &Vec<String>| facts.team.as_ref().is_some_and(|team| teams.contains(team));
        route.when.team.as_ref().is_none_or(of_team) && route.when.takes(facts, needs)
    })
}

fn bind_some(
    texts: Arc<[FileText]>,
    catalog: &Catalog,
    deployments: &[Deployment],
    wanted: impl Fn(&RouteText) -> bool,
) -> PolicySet {
    let mut table = Table::new(catalog, deployments);
    let all = || texts.iter().flat_map(|text| text.routes.iter().map(move |route| (text, route)));
    let routes = || all().filter(|(_, route)| wanted(route));
    let columns: Vec<Option<u16>> =
        routes().map(|(_, route)| route.quality_by.as_ref().and_then(|by| table.column(by, catalog))).collect();
    let binder = Binder::new(catalog, &table, deployments);
    let bound = routes().zip(columns).map(|((text, route), column)| binder.route(route, text.suffixes, column));
    let routes: Vec<Route> = bound.collect();

    // A model asked for by its own name is on no route of a file, so one file that refuses suffixes does it for all.
    let refused = texts.iter().any(|text| text.suffixes == Some(Suffixes::Refuse));
    let suffixes = if refused { Suffixes::Refuse } else { Suffixes::Allow };
    let names = table.models.iter().map(|served| served.id.to_string());
    let names: HashSet<String> =
        names.chain(table.rows.iter().map(|row| deployments[row.deployment].id.clone())).collect();
    let direct = names.into_iter().map(|name| {
        let route = binder.direct(&name, suffixes);
        (name, route)
    });
    let direct: RapidHashMap<String, Route> = direct.collect();

    let matched_names = || all().filter_map(|(_, route)| route.when.model.as_ref()).flatten();
    let matched: HashSet<&str> = matched_names().map(String::as_str).collect();
    let exact = |name: &str| matched.contains(name) || direct.contains_key(name) || catalog.resolve(name).is_some();
    let aliases = naming::aliases(texts.iter().flat_map(|text| &text.aliases), exact);
    let other_name = |name: &&str| {
        let id = catalog.resolve(name).map(|model| &model.id).filter(|id| *id != name);
        id.filter(|_| !direct.contains_key(*name)).map(|id| ((*name).to_owned(), id.clone()))
    };
    let other_names: RapidHashMap<String, String> = matched.iter().filter_map(other_name).collect();
    let mut listed: HashSet<&str> = HashSet::new();
    let mut virtual_models: Vec<String> = matched_names()
        .filter(|name| !direct.contains_key(*name) && catalog.model(name).is_none() && listed.insert(name))
        .cloned()
        .collect();
    let written = texts.iter().flat_map(|text| &text.aliases).map(|alias| alias.name.value.clone());
    virtual_models.extend(written.filter(|name| aliases.contains_key(name)));
    PolicySet {
        index: Index::new(&routes, matched.iter().copied()),
        routes,
        direct,
        virtual_models,
        other_names,
        aliases,
        memo: Memo::default(),
        texts,
        table: Arc::new(table),
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Exposure, Purpose, Use};

    use super::*;
    use crate::{Place, Snapshot, plan};

    const OWN: &str = "\
version: 1
aliases: {gpt-4o: auto, small: phi-4}
routes:
  - {name: mine, match: {team: a, model: [own, auto]}, suffixes: refuse, candidates: [phi-4, any]}
  - {name: theirs, match: {team: b, language: ko, model: [\"own:fast\", chat]}, candidates: [qwen3-8b]}
  - {name: phi, match: {model: phi-4, stream: true}, prefer: {cost: 1}, candidates: [any]}
";

    #[test]
    fn a_request_is_planned_alike_where_only_the_routes_that_could_take_it_are_bound() {
        let catalog = Catalog::with_assumptions();
        let models = ["phi-4", "qwen3-8b", "kanana-1.5-8b", "qwen2.5-vl-7b-instruct", "pointsman-demo"];
        let local = |model: &str| Deployment::new(model, model, Place::Local { engine: "native".to_owned() });
        let deployments = models.map(local);
        let default = include_str!("../../config/policies/default.yaml");
        let sources = [Source::new("own.yaml", OWN), Source::builtin("default.yaml", default)];
        let (whole, _) = compile(&sources, &catalog, &deployments).expect("good policies");
        let mut names = vec!["own", "own:fast", "own:cheap", "gpt-4o", "gpt-4o:fast", "small", "nobody", "phi-4:cheap"];
        names.extend(models);
        names.extend(whole.virtual_models());
        let use_ = Arc::new(Use::new(Purpose::Research, Exposure::Internal));
        for name in names {
            for team in [None, Some("a"), Some("b")] {
                for language in [None, Some("ko"), Some("en")] {
                    for stream in [false, true] {
                        let facts = Facts {
                            team: team.map(str::to_owned),
                            language: language.map(str::to_owned),
                            stream,
                            ..Facts::new(name, Arc::clone(&use_), "2026-11-26".parse().expect("a date"))
                        };
                        let some = bind_for(&facts, Arc::clone(&whole.texts), &catalog, &deployments);
                        let planned = |policies: &PolicySet| {
                            let world = Snapshot { catalog: &catalog, policies, deployments: &deployments, live: &[] };
                            plan(&facts, &world)
                        };
                        assert_eq!(planned(&some), planned(&whole), "{facts:?}");
                    }
                }
            }
        }
    }
}
