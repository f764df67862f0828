//! `candidates` and the other lists of a route: that each name is known, and that somebody can serve.
//!
//! What follows from licence, openness and scores is proved over the catalog: it holds whatever is deployed. The rest is
//! proved over the deployments of this configuration.

use std::collections::HashSet;

use catalog::{Kind, Model};

use super::{Checker, did_you_mean};
use crate::{
    bind::Binder,
    diag::{Code, Problems, nearest},
    plan::Cause,
    preset,
    read::Spanned,
    route::{ArmText, RouteText, Selector},
    unmet::unmet_by_model,
};

/// A list of a route, as messages call it.
struct List<'r> {
    /// As in "route `chat`".
    whose: String,
    /// As in "route `chat` names".
    names: &'static str,
    selectors: &'r [Spanned<Selector>],
}

impl<'r> List<'r> {
    /// Every list of a route, its candidates first.
    fn all(route: &'r RouteText) -> impl Iterator<Item = List<'r>> {
        let name = &route.name.value;
        let list = |whose, names, selectors| List { whose, names, selectors };
        let arms = route
            .split
            .iter()
            .flat_map(|split| &split.arms)
            .map(move |arm| list(format!("arm `{}` of route `{name}`", arm.name.value), "names", &arm.candidates));
        let shadow = route
            .shadow
            .iter()
            .map(move |shadow| list(format!("the shadow of route `{name}`"), "names", &shadow.candidates));
        let degrades = list(format!("route `{name}`"), "degrades to", route.on_none.degrade_to());
        std::iter::once(list(format!("route `{name}`"), "names", &route.candidates))
            .chain(arms)
            .chain(shadow)
            .chain([degrades])
    }
}

/// What a list comes to.
#[derive(Default)]
struct Looked<'r> {
    /// How many of its names are known.
    known: usize,
    /// Whether some deployment is named.
    reached: bool,
    /// Whether one of them could serve, whatever is deployed.
    possible: bool,
    /// Those that can never meet what the route requires, and why.
    excluded: Vec<(&'r Spanned<Selector>, String)>,
}

impl Checker<'_> {
    /// That every name in every list of a route is known, stands there once, and can serve.
    pub(super) fn candidates(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        let name = &route.name.value;
        let mut lists = List::all(route);
        let Some(own) = lists.next() else { return };
        let looked = self.look(route, &own, &[], binder, problems);
        let mut reader = self.reader(route.source, problems);
        if looked.known > 0 && !looked.possible {
            let message = format!("route `{name}` can never have a candidate, whatever is deployed");
            let hint = looked.excluded.first().map(|(first, reason)| format!("`{}`: {reason}", first.value));
            let hint = hint.unwrap_or_else(|| "look at `require`".to_owned());
            let label = "every model that it names is ruled out by what it requires";
            reader.error_with_hint(Code::ImpossibleRoute, &route.name.at, message, label, hint);
        } else {
            self.never(route, &own, &looked, problems);
            if looked.reached && !self.sources[route.source].builtin {
                self.served(route, binder, problems);
            }
        }
        for list in lists {
            // Whom a route degrades to is asked beside its candidates, all others in place of them.
            let beside = if list.names == "degrades to" { &route.candidates[..] } else { &[] };
            let looked = self.look(route, &list, beside, binder, problems);
            self.never(route, &list, &looked, problems);
        }
        self.groups(route, binder, problems);
    }

    /// Looks the names of a list up; `beside` are those that were named before.
    fn look<'r>(
        &self,
        route: &'r RouteText,
        list: &List<'r>,
        beside: &'r [Spanned<Selector>],
        binder: &Binder<'_>,
        problems: &mut Problems,
    ) -> Looked<'r> {
        let builtin = self.sources[route.source].builtin;
        let List { whose, names, selectors } = list;
        let mut seen: Vec<&Selector> = beside.iter().map(|candidate| &candidate.value).collect();
        let mut looked = Looked::default();
        for candidate in *selectors {
            let Spanned { value: selector, at } = candidate;
            if problems.full() {
                return looked;
            }
            let mut reader = self.reader(route.source, problems);
            if seen.contains(&selector) {
                let message = format!("{whose} {names} `{selector}`, which it names before");
                reader.warning(Code::DuplicateCandidate, at, message, "asked already", "remove it here");
                continue;
            }
            seen.push(selector);
            if let Some((code, what, hint)) = self.unknown(selector) {
                let message = format!("{whose} {names} a {what} the catalog does not have");
                reader.error_with_hint(code, at, message, format!("no {what} with this id"), hint);
                // What it was to be is not known, so nothing is proved of the route.
                looked.possible = true;
                continue;
            }
            looked.known += 1;
            let serves = !builtin && !binder.reach(selector).is_empty();
            looked.reached |= serves;
            match self.excluded(route, selector) {
                Some(reason) => looked.excluded.push((candidate, reason)),
                None if builtin || serves => looked.possible = true,
                None => {
                    looked.possible = true;
                    let message = format!("{whose} {names} `{selector}`, which no deployment serves");
                    let hint = "add a deployment of it to the configuration, or remove it here";
                    reader.warning(Code::NoDeployment, at, message, "never chosen", hint);
                }
            }
        }
        looked
    }

    /// Warns of those that can never serve.
    fn never(&self, route: &RouteText, list: &List<'_>, looked: &Looked<'_>, problems: &mut Problems) {
        if self.sources[route.source].builtin {
            return;
        }
        let mut reader = self.reader(route.source, problems);
        for (Spanned { value: selector, at }, reason) in &looked.excluded {
            let message = format!("{} {} `{selector}`, which can never serve", list.whose, list.names);
            let hint = format!("{reason}; remove it, or require less");
            reader.warning(Code::ExcludedCandidate, at, message, "ruled out by what the route requires", hint);
        }
    }

    /// Warns of a group of attempts that no candidate of the route is in, and of arms that do the same.
    fn groups(&self, route: &RouteText, binder: &Binder<'_>, problems: &mut Problems) {
        if self.sources[route.source].builtin {
            return;
        }
        let mut free: HashSet<u32> = route.lists().flatten().flat_map(|c| binder.reach(&c.value)).collect();
        let mut reader = self.reader(route.source, problems);
        for group in &route.groups {
            let Some(Spanned { at, .. }) = group.candidates.first() else { continue };
            let rows: Vec<u32> = group.candidates.iter().flat_map(|candidate| binder.reach(&candidate.value)).collect();
            let before = free.len();
            rows.iter().for_each(|row| {
                free.remove(row);
            });
            if before == free.len() {
                let message = format!("a group of attempts of route `{}` has no candidate of it", route.name.value);
                let hint = "name candidates of the route that no earlier group names";
                reader.warning(Code::NoEffect, at, message, "changes nothing", hint);
            }
        }
        let arms = route.split.as_ref().map_or(&[][..], |split| &split.arms);
        for (at, arm) in arms.iter().enumerate() {
            let same = |other: &&ArmText| {
                let selectors = |arm: &ArmText| arm.candidates.iter().map(|c| c.value.clone()).collect::<Vec<_>>();
                selectors(other) == selectors(arm)
            };
            if let Some(other) = arms[..at].iter().find(same) {
                let (name, other) = (&arm.name.value, &other.name.value);
                let message = format!("the arms `{other}` and `{name}` of route `{}` do the same", route.name.value);
                let hint = "give them different candidates, or one arm both weights";
                reader.warning(Code::OverlappingArms, &arm.name.at, message, "tells nobody apart", hint);
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
            Selector::Preset(id) => {
                let models = preset::models(id).unwrap_or_default();
                none_of(&mut models.into_iter().filter_map(|id| self.catalog.model(id)))
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
            Selector::Preset(id) => {
                if preset::models(id).is_some() {
                    return None;
                }
                let hint = did_you_mean(nearest(id, preset::ids()), "`pointsman advise` prints every preset");
                Some((Code::UnknownPreset, "preset", hint))
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
