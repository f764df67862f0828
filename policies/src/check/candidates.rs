//! `candidates`: that each name is known, and that somebody can serve.
//!
//! What follows from licence, openness and scores is proved over the catalog: it holds whatever is deployed. The rest is
//! proved over the deployments of this configuration.

use catalog::{Kind, Model};

use super::{Checker, did_you_mean};
use crate::{
    bind::Binder,
    diag::{Code, Problems, nearest},
    plan::Cause,
    read::Spanned,
    route::{RouteText, Selector},
    unmet::unmet_by_model,
};

impl Checker<'_> {
    pub(super) fn candidates(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        let builtin = self.sources[route.source].builtin;
        let name = &route.name.value;
        let mut seen: Vec<&Selector> = Vec::new();
        let (mut known, mut reached, mut possible) = (0, false, false);
        let mut excluded = Vec::new();
        for candidate in &route.candidates {
            let Spanned { value: selector, at } = candidate;
            if problems.full() {
                return;
            }
            let mut reader = self.reader(route.source, problems);
            if seen.contains(&selector) {
                let message = format!("route `{name}` names the candidate `{selector}` twice");
                reader.warning(Code::DuplicateCandidate, at, message, "again here", "remove the second");
                continue;
            }
            seen.push(selector);
            if let Some((code, what, hint)) = self.unknown(selector) {
                let message = format!("route `{name}` names a {what} the catalog does not have");
                reader.error_with_hint(code, at, message, format!("no {what} with this id"), hint);
                // What it was to be is not known, so nothing is proved of the route.
                possible = true;
                continue;
            }
            known += 1;
            let serves = !builtin && !binder.reach(selector).is_empty();
            reached |= serves;
            match self.excluded(route, selector) {
                Some(reason) => excluded.push((candidate, reason)),
                None if builtin || serves => possible = true,
                None => {
                    possible = true;
                    let message = format!("no deployment serves the candidate `{selector}` of route `{name}`");
                    let hint = "add a deployment of it to the configuration, or remove it here";
                    reader.warning(Code::NoDeployment, at, message, "never chosen", hint);
                }
            }
        }
        let mut reader = self.reader(route.source, problems);
        if known > 0 && !possible {
            let message = format!("route `{name}` can never have a candidate, whatever is deployed");
            let hint = excluded.first().map(|(first, reason)| format!("`{}`: {reason}", first.value));
            let hint = hint.unwrap_or_else(|| "look at `require`".to_owned());
            let label = "every model that it names is ruled out by what it requires";
            reader.error_with_hint(Code::ImpossibleRoute, &route.name.at, message, label, hint);
            return;
        }
        if builtin {
            return;
        }
        for (Spanned { value: selector, at }, reason) in excluded {
            let message = format!("the candidate `{selector}` of route `{name}` can never serve");
            let hint = format!("{reason}; remove it, or require less");
            reader.warning(Code::ExcludedCandidate, at, message, "ruled out by what the route requires", hint);
        }
        if reached {
            self.served(route, binder, problems);
        }
    }

    /// `degrade_to`: names as among the candidates, and none that is a candidate already.
    pub(super) fn degrade_to(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        let name = &route.name.value;
        let mut seen: Vec<&Selector> = route.candidates.iter().map(|candidate| &candidate.value).collect();
        for Spanned { value: selector, at } in &route.degrade_to {
            if problems.full() {
                return;
            }
            let mut reader = self.reader(route.source, problems);
            if seen.contains(&selector) {
                let message = format!("route `{name}` degrades to `{selector}`, which it names before");
                reader.warning(Code::DuplicateCandidate, at, message, "asked already", "remove it here");
                continue;
            }
            seen.push(selector);
            if let Some((code, what, hint)) = self.unknown(selector) {
                let message = format!("route `{name}` degrades to a {what} the catalog does not have");
                reader.error_with_hint(code, at, message, format!("no {what} with this id"), hint);
                continue;
            }
            if self.sources[route.source].builtin {
                continue;
            }
            if let Some(reason) = self.excluded(route, selector) {
                let message = format!("route `{name}` degrades to `{selector}`, which can never serve");
                let hint = format!("{reason}; remove it, or require less");
                reader.warning(Code::ExcludedCandidate, at, message, "ruled out by what the route requires", hint);
            } else if binder.reach(selector).is_empty() {
                let message = format!("no deployment serves `{selector}`, to which route `{name}` degrades");
                let hint = "add a deployment of it to the configuration, or remove it here";
                reader.warning(Code::NoDeployment, at, message, "never chosen", hint);
            }
        }
    }

    /// Warns where every deployment that a route reaches fails what it requires.
    fn served(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        let (serving, out) = binder.outcome(route);
        if serving > 0 {
            return;
        }
        let Some(first) = out.iter().find(|rejected| rejected.deployment.is_some()) else { return };
        let Cause::Required { reason, .. } = &first.cause else { return };
        let deployment = first.deployment.map(|at| self.deployments[at].id.as_str()).unwrap_or_default();
        let message = format!("route `{}` has no candidate among the deployments", route.name.value);
        let others = match out.iter().filter(|rejected| rejected.deployment.is_some()).count() - 1 {
            0 => String::new(),
            1 => "; 1 other is out as well".to_owned(),
            n => format!("; {n} others are out as well"),
        };
        let hint = format!("`{deployment}`: {reason}{others}");
        let mut reader = self.reader(route.source, problems);
        let label = "refuses every request that it takes";
        reader.warning(Code::NoCandidate, &route.name.at, message, label, hint);
    }

    /// Why no model of the catalog that a selector stands for can meet what its route requires.
    fn excluded(&self, route: &RouteText, selector: &Selector) -> Option<String> {
        if !route.require.asks_of_models() {
            return None;
        }
        let unmet = |model: &Model| unmet_by_model(model, &route.require).map(|(_, reason)| reason);
        let none_of = |models: &mut dyn Iterator<Item = &Model>| {
            let mut first = None;
            for model in models {
                match unmet(model) {
                    None => return None,
                    Some(reason) => first = first.or_else(|| Some(format!("`{}`: {reason}", model.id))),
                }
            }
            first
        };
        match selector {
            Selector::Name(id) => {
                let deployed = self.deployments.iter().find(|deployment| deployment.id == *id);
                // A deployment may have the name of another model: then both are candidates.
                let models = [deployed.map(|deployment| deployment.model.as_str()), Some(id)];
                let models: Vec<&Model> =
                    models.into_iter().flatten().filter_map(|id| self.catalog.model(id)).collect();
                let reasons: Option<Vec<String>> = models.into_iter().map(unmet).collect();
                reasons.and_then(|reasons| reasons.into_iter().next())
            }
            Selector::Family(family) => none_of(&mut self.catalog.models().filter(|model| model.family == *family)),
            // Any model may be deployed there.
            Selector::Any | Selector::Host(_) => {
                none_of(&mut self.catalog.models().filter(|model| model.kind == Kind::Model))
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
}
