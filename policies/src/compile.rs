//! Policy text, catalog and deployments to a [`PolicySet`], with every problem of every file in one report.
//!
//! Here names are looked up, candidates become deployments, and requirements that depend on no request are checked
//! once. What cannot work is an error; what can never have an effect is a warning.

use std::collections::{HashMap, HashSet};

use catalog::Catalog;

use crate::{
    Deployment, PolicySet, Report,
    bind::Binder,
    diag::{Code, File, Problems, Severity, nearest},
    parse::{self, FileText},
    read::{Reader, Spanned},
    route::{RouteText, Selector},
    set::{DIRECT, Index, Route},
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

/// Compiles `sources`, in the order in which their routes are to be asked.
///
/// # Errors
/// Every problem of every file, warnings included, where at least one of them is an error. With none, the warnings
/// come beside the result.
pub fn compile(
    sources: &[Source],
    catalog: &Catalog,
    deployments: &[Deployment],
) -> Result<(PolicySet, Report), Report> {
    let mut problems = Problems::default();
    let files: Vec<File<'_>> = sources.iter().map(|source| File::new(&source.name, &source.text)).collect();
    let texts: Vec<FileText> = sources
        .iter()
        .zip(&files)
        .enumerate()
        .map(|(at, (source, file))| parse::parse(source, at, file, &mut problems))
        .collect();
    let checker = Checker { sources, files: &files, catalog, deployments };
    checker.check(&texts, &mut problems);
    if problems.has_errors() {
        return Err(problems.into_report(&files));
    }
    Ok((bind(texts.into(), catalog, deployments), problems.into_report(&files)))
}

/// Binds routes that have been checked.
pub(crate) fn bind(texts: std::sync::Arc<[FileText]>, catalog: &Catalog, deployments: &[Deployment]) -> PolicySet {
    let table = Table::new(catalog, deployments);
    let binder = Binder::new(catalog, &table, deployments);
    let routes: Vec<Route> = texts.iter().flat_map(|text| &text.routes).map(|route| binder.route(route)).collect();
    let names = table.models.iter().map(|served| served.id.to_string());
    let names: HashSet<String> =
        names.chain(table.rows.iter().map(|row| deployments[row.deployment].id.clone())).collect();
    let direct = names.into_iter().map(|name| {
        let route = binder.direct(&name);
        (name, route)
    });
    let direct: HashMap<String, Route> = direct.collect();
    let mut virtual_models: Vec<String> = Vec::new();
    for name in routes.iter().filter_map(|route| route.when.model.as_ref()).flatten() {
        let real = direct.contains_key(name) || catalog.model(name).is_some();
        if !real && !virtual_models.contains(name) {
            virtual_models.push(name.clone());
        }
    }
    PolicySet { index: Index::new(&routes), routes, direct, virtual_models, texts, table }
}

/// Looks the names of checked files up.
struct Checker<'a> {
    sources: &'a [Source],
    files: &'a [File<'a>],
    catalog: &'a Catalog,
    deployments: &'a [Deployment],
}

impl Checker<'_> {
    fn check(&self, texts: &[FileText], problems: &mut Problems) {
        let routes: Vec<&RouteText> = texts.iter().flat_map(|text| &text.routes).collect();
        let table = Table::new(self.catalog, self.deployments);
        let binder = Binder::new(self.catalog, &table, self.deployments);
        let mut names: HashMap<&str, &RouteText> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            if problems.full() {
                return;
            }
            self.name(route, &mut names, problems);
            self.licenses(route, problems);
            self.candidates(route, &binder, problems);
            if !self.sources[route.source].builtin {
                self.reach(route, &routes[..at], problems);
            }
        }
        for case in texts.iter().flat_map(|text| &text.cases) {
            if problems.full() {
                return;
            }
            let reader = Reader { file: &self.files[case.source], problems };
            case.check(reader, self.catalog, self.deployments, |name| names.contains_key(name));
        }
    }

    fn name<'r>(&self, route: &'r RouteText, names: &mut HashMap<&'r str, &'r RouteText>, problems: &mut Problems) {
        let mut reader = Reader { file: &self.files[route.source], problems };
        let Spanned { value: name, at } = &route.name;
        if name == DIRECT {
            let message = format!("`{DIRECT}` is the name of the implicit route for models asked for by name");
            reader.error_with_hint(Code::WrongValue, at, message, "taken", "give this route another name");
        } else if let Some(first) = names.get(name.as_str()) {
            let place = self.place(first);
            let hint = format!("the first one stands at {place}");
            let message = format!("a second route has the name `{name}`");
            reader.error_with_hint(Code::DuplicateRoute, at, message, "already taken", hint);
        } else {
            names.insert(name, route);
        }
    }

    fn licenses(&self, route: &RouteText, problems: &mut Problems) {
        let require = &route.require;
        for Spanned { value: id, at } in require.allow_licenses.iter().flatten().chain(&require.deny_licenses) {
            if self.catalog.license(id).is_some() {
                continue;
            }
            let near = nearest(id, self.catalog.licenses().map(|license| license.id.as_str()));
            let hint = did_you_mean(near, "`pointsman catalog list licenses` prints every id");
            let message = format!("route `{}` names a licence the catalog does not have", route.name.value);
            let mut reader = Reader { file: &self.files[route.source], problems };
            reader.error_with_hint(Code::UnknownLicense, at, message, "no licence with this id", hint);
        }
    }

    fn candidates(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        let builtin = self.sources[route.source].builtin;
        let mut seen: Vec<&Selector> = Vec::new();
        for Spanned { value: selector, at } in &route.candidates {
            if problems.full() {
                return;
            }
            let name = &route.name.value;
            if seen.contains(&selector) {
                let message = format!("route `{name}` names the candidate `{selector}` twice");
                let hint = "remove the second";
                self.warn(route, Code::DuplicateCandidate, at, message, "again here", hint, problems);
                continue;
            }
            seen.push(selector);
            let mut reader = Reader { file: &self.files[route.source], problems };
            if let Some((code, what, hint)) = self.unknown(selector) {
                let message = format!("route `{name}` names a {what} the catalog does not have");
                reader.error_with_hint(code, at, message, format!("no {what} with this id"), hint);
            } else if !builtin && binder.reach(selector).is_empty() {
                let message = format!("no deployment serves the candidate `{selector}` of route `{name}`");
                let hint = "add a deployment of it to the configuration, or remove it here";
                self.warn(route, Code::NoDeployment, at, message, "never chosen", hint, problems);
            }
        }
    }

    /// What is wrong with the name in a selector: the code, what it names, and a hint.
    fn unknown(&self, selector: &Selector) -> Option<(Code, &'static str, String)> {
        let catalog = self.catalog;
        match selector {
            Selector::Any => None,
            Selector::Name(id) => {
                let deployed = self.deployments.iter().any(|d| d.id == *id);
                if deployed || catalog.model(id).is_some() {
                    return None;
                }
                let hint = match catalog.resolve(id) {
                    Some(model) => format!("the catalog id of that model is `{}`", model.id),
                    None => {
                        let ids = self.deployments.iter().map(|d| d.id.as_str());
                        let near = nearest(id, ids).or_else(|| catalog.nearest(id, 1).first().copied());
                        did_you_mean(near, "`pointsman catalog list` prints every id")
                    }
                };
                Some((Code::UnknownModel, "model", hint))
            }
            Selector::Host(id) if catalog.host(id).is_some() => None,
            Selector::Host(id) => {
                let near = nearest(id, catalog.hosts().map(|host| host.id.as_str()));
                let hint = did_you_mean(near, "`pointsman catalog list hosts` prints every id");
                Some((Code::UnknownHost, "host", hint))
            }
            Selector::Family(id) => {
                let families = || catalog.models().map(|model| model.family.as_str());
                if families().any(|family| family == id) {
                    return None;
                }
                let near = nearest(id, families());
                let hint = did_you_mean(near, "`pointsman catalog show MODEL` prints a model's family");
                Some((Code::UnknownFamily, "model family", hint))
            }
        }
    }

    /// Warns where an earlier route takes everything that `route` matches.
    fn reach(&self, route: &RouteText, earlier: &[&RouteText], problems: &mut Problems) {
        let Some(first) = earlier.iter().find(|earlier| earlier.when.takes_all_of(&route.when)) else { return };
        let message = format!("route `{}` is never reached", route.name.value);
        let hint =
            format!("`{}` at {} takes every request it matches; move it up", first.name.value, self.place(first));
        let label = "every request goes to an earlier route";
        self.warn(route, Code::UnreachableRoute, &route.name.at, message, label, &hint, problems);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn warn(
        &self,
        route: &RouteText,
        code: Code,
        at: &std::ops::Range<usize>,
        message: String,
        label: &str,
        hint: &str,
        problems: &mut Problems,
    ) {
        let mut d = self.files[route.source].diagnose(Severity::Warning, code, at, message, label.to_owned());
        d.hint = Some(hint.to_owned());
        problems.push(d);
    }

    /// `file:line` of a route.
    fn place(&self, route: &RouteText) -> String {
        let name = &route.name;
        let d = self.files[route.source].diagnose(
            Severity::Error,
            Code::DuplicateRoute,
            &name.at,
            String::new(),
            String::new(),
        );
        format!("{}:{}", d.file, d.line)
    }
}

fn did_you_mean(near: Option<&str>, otherwise: &str) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`? {otherwise}"),
        None => otherwise.to_owned(),
    }
}
