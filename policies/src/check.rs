//! What is wrong with policies that have the right shape: names that nobody has, parts that contradict one another,
//! routes that nothing reaches or that nothing can serve.
//!
//! What cannot work is an error; what can never have an effect is a warning. A file that ships with Pointsman gets no
//! warning: it names models that an operator need not have, and gives way to the operator's own routes.

mod aliases;
mod candidates;
mod reach;
mod require;

use std::{collections::HashMap, ops::Range};

use catalog::Catalog;

use crate::{
    Declared, Deployment, Source,
    bind::Binder,
    diag::{Code, File, Problems, Severity, nearest},
    parse::FileText,
    quality::QualityBy,
    read::{Reader, Spanned},
    route::RouteText,
    set::DIRECT,
    table::Table,
};

/// Checks what was read.
pub(crate) struct Checker<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) files: &'a [File<'a>],
    pub(crate) catalog: &'a Catalog,
    pub(crate) deployments: &'a [Deployment],
    pub(crate) declared: &'a Declared,
}

impl Checker<'_> {
    pub(crate) fn check(&self, texts: &[FileText], problems: &mut Problems) {
        let routes: Vec<&RouteText> = texts.iter().flat_map(|text| &text.routes).collect();
        let table = Table::new(self.catalog, self.deployments);
        let binder = Binder::new(self.catalog, &table, self.deployments);
        let mut names: HashMap<&str, &RouteText> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            if problems.full() {
                return;
            }
            self.name(route, &mut names, problems);
            self.facts(route, problems);
            self.requirements(route, problems);
            self.candidates(route, &binder, problems);
            if !self.sources[route.source].builtin {
                self.reach(route, &routes[..at], problems);
            }
        }
        self.aliases(texts, &routes, problems);
        for case in texts.iter().flat_map(|text| &text.cases) {
            if problems.full() {
                return;
            }
            let reader = Reader { file: &self.files[case.source], problems };
            case.check(reader, self.catalog, self.deployments, |name| names.contains_key(name));
        }
    }

    fn name<'r>(&self, route: &'r RouteText, names: &mut HashMap<&'r str, &'r RouteText>, problems: &mut Problems) {
        let mut reader = self.reader(route.source, problems);
        let Spanned { value: name, at } = &route.name;
        if name == DIRECT {
            let message = format!("`{DIRECT}` is the name of the implicit route for models asked for by name");
            reader.error_with_hint(Code::WrongValue, at, message, "taken", "give this route another name");
        } else if let Some(first) = names.get(name.as_str()) {
            let place = self.place(first.source, &first.name.at);
            let hint = format!("the first one stands at {place}");
            let message = format!("a second route has the name `{name}`");
            reader.error_with_hint(Code::DuplicateRoute, at, message, "already taken", hint);
        } else {
            names.insert(name, route);
        }
    }

    /// The names of the configuration and of benchmarks that a route speaks of.
    fn facts(&self, route: &RouteText, problems: &mut Problems) {
        let (places, declared, name) = (&route.places, self.declared, &route.name.value);
        let tags = [("header", &places.headers, &declared.headers), ("metadata", &places.metadata, &declared.metadata)];
        let mut reader = self.reader(route.source, problems);
        for (what, written, known) in tags {
            for Spanned { value, at } in written.iter().filter(|written| !known.contains(&written.value)) {
                let list = if what == "header" { "headers" } else { "metadata" };
                let declare = format!("declare it in the configuration: `facts: {{{list}: [{value}]}}`");
                let hint = match nearest(value, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? otherwise {declare}"),
                    None => declare,
                };
                let message = format!("route `{name}` matches a {what} value that the configuration does not declare");
                reader.error_with_hint(Code::UnknownFact, at, message, "not declared", hint);
            }
        }
        let groups = [
            ("team", "configuration", Code::UnknownTeam, &places.teams, &declared.teams),
            ("context", "configuration", Code::UnknownContext, &places.contexts, &declared.contexts),
            ("key", "keys file", Code::UnknownApiKey, &places.keys, &declared.keys),
        ];
        for (what, file, code, written, known) in groups {
            // A shared file may speak of teams that one gateway has not, so that is no error.
            let Some(known) = known.as_ref().filter(|_| !self.sources[route.source].builtin) else { continue };
            for Spanned { value, at } in written.iter().filter(|written| !known.contains(&written.value)) {
                let near = nearest(value, known.iter().map(String::as_str));
                let hint = did_you_mean(near, &format!("the {what}s stand in the {file} under `{what}s`"));
                let message = format!("route `{name}` matches a {what} that the {file} does not have");
                reader.warning(code, at, message, format!("no {what} of this name"), hint);
            }
        }
        if let Some(QualityBy::Benchmark(benchmark)) = &route.quality_by {
            self.benchmark(route, benchmark, &mut reader);
        }
    }

    fn reader<'r>(&'r self, source: usize, problems: &'r mut Problems) -> Reader<'r> {
        Reader { file: &self.files[source], problems }
    }

    /// `file:line` of a place.
    fn place(&self, source: usize, at: &Range<usize>) -> String {
        let d = self.files[source].diagnose(Severity::Error, Code::DuplicateRoute, at, String::new(), String::new());
        format!("{}:{}", d.file, d.line)
    }
}

fn did_you_mean(near: Option<&str>, otherwise: &str) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`? {otherwise}"),
        None => otherwise.to_owned(),
    }
}
