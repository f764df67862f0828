//! Aliases: that each leads to a name, and hides none.

use std::collections::{HashMap, HashSet};

use catalog::{Availability, Kind};

use super::{Checker, did_you_mean};
use crate::{
    diag::{Code, Problems, nearest},
    naming::{AliasText, End, MAX_CHAIN, follow},
    parse::FileText,
    read::Spanned,
    route::RouteText,
};

impl Checker<'_> {
    pub(super) fn aliases(&self, texts: &[FileText], routes: &[&RouteText], problems: &mut Problems) {
        let aliases: Vec<&AliasText> = texts.iter().flat_map(|text| &text.aliases).collect();
        let models: HashSet<&str> =
            routes.iter().flat_map(|route| route.when.model.iter().flatten()).map(String::as_str).collect();
        let matched = |name: &str| models.contains(name);
        let mut first: HashMap<&str, &AliasText> = HashMap::new();
        for alias in &aliases {
            if problems.full() {
                return;
            }
            let Spanned { value: name, at } = &alias.name;
            let mut reader = self.reader(alias.source, problems);
            if let Some(earlier) = first.get(name.as_str()) {
                let hint = format!("the first one stands at {}", self.place(earlier.source, &earlier.name.at));
                let message = format!("a second alias has the name `{name}`");
                reader.error_with_hint(Code::DuplicateAlias, at, message, "already taken", hint);
                continue;
            }
            first.insert(name, alias);
            if let Some(hidden) = self.hidden(name, matched) {
                let message = format!("the alias `{name}` hides {hidden}");
                let hint = "give the alias another name, or a route of its own that matches the name";
                reader.error_with_hint(Code::AliasHides, at, message, "has a meaning already", hint);
            }
        }
        let next = |name: &str| first.get(name).map(|alias| alias.target.value.as_str());
        let exact = |name: &str| {
            matched(name) || self.deployments.iter().any(|d| d.id == name) || self.catalog.resolve(name).is_some()
        };
        for alias in &aliases {
            if problems.full() {
                return;
            }
            let Spanned { value: target, at } = &alias.target;
            let name = &alias.name.value;
            let mut reader = self.reader(alias.source, problems);
            match follow(name, next, exact) {
                End::At(end, _) => {
                    let served = matched(end)
                        || self.deployments.iter().any(|d| d.id == end)
                        || self.catalog.resolve(end).is_some_and(|m| self.deployments.iter().any(|d| d.model == m.id));
                    if !served && !self.sources[alias.source].builtin {
                        let message = format!("the alias `{name}` leads to `{end}`, which no deployment serves");
                        let hint = "add a deployment of it to the configuration, or remove the alias";
                        reader.warning(Code::NoDeployment, at, message, "refused whenever it is asked for", hint);
                    }
                }
                End::Nowhere => {
                    let message = format!("the alias `{name}` leads to no model");
                    let hint = format!("aliases may stand for one another, {MAX_CHAIN} in a row and in no circle");
                    reader.error_with_hint(Code::AliasLoop, at, message, "leads on without an end", hint);
                }
                // Said once, where the unknown name stands.
                End::Unknown(end) if end == target || target.strip_prefix(end).is_some_and(|s| s.starts_with(':')) => {
                    let ours = models.iter().copied().chain(self.deployments.iter().map(|d| d.id.as_str()));
                    let ours = ours.chain(first.keys().copied().filter(|other| other != name));
                    let near = nearest(end, ours).or_else(|| self.catalog.nearest(end, 1).first().copied());
                    let message = format!("the alias `{name}` stands for a name that nobody has");
                    let otherwise = "it has to be a model, a deployment, another alias or a name that a route matches";
                    let hint = did_you_mean(near, otherwise);
                    reader.error_with_hint(Code::UnknownAlias, at, message, "no model of this name", hint);
                }
                End::Unknown(_) => {}
            }
        }
    }

    /// What an alias of this name would keep from being asked for. A closed model that nothing serves is no loss: its
    /// name is what callers of its vendor have in their code.
    fn hidden(&self, name: &str, matched: impl Fn(&str) -> bool) -> Option<String> {
        if matched(name) {
            return Some("a name that a route matches".to_owned());
        }
        if self.deployments.iter().any(|deployment| deployment.id == name) {
            return Some("a deployment".to_owned());
        }
        let model = self.catalog.resolve(name)?;
        let deployed = self.deployments.iter().any(|deployment| deployment.model == model.id);
        let to_be_had = model.kind == Kind::Model && model.availability == Availability::Downloadable;
        (deployed || to_be_had).then(|| format!("the model `{}` of the catalog", model.id))
    }
}
