//! Compiled policies: routes bound to deployments, and how the route of a request is found.
//!
//! A request is looked up by the model it asks for and by its team, so a thousand routes cost no more than those that
//! could take it. Of these the first in the order of the files wins.

use std::{collections::HashMap, sync::Arc};

use catalog::Catalog;

use crate::{
    Attempts, Capabilities, Facts,
    parse::FileText,
    plan::Rejected,
    route::{Prefer, When},
    table::Table,
};

/// The name of the implicit route that serves a model asked for by its own name.
pub const DIRECT: &str = "direct";

/// Compiled policies. Immutable; share it in an [`Arc`].
#[derive(Clone, Debug)]
pub struct PolicySet {
    pub(crate) routes: Vec<Route>,
    pub(crate) index: Index,
    /// Routes for models and deployments asked for by their own names.
    pub(crate) direct: HashMap<String, Route>,
    pub(crate) table: Table,
    pub(crate) virtual_models: Vec<String>,
    /// What it was compiled from, for its tests.
    pub(crate) texts: Arc<[FileText]>,
}

/// A route bound to deployments.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    pub(crate) when: When,
    /// Absent: the order of the list decides.
    pub(crate) prefer: Option<Prefer>,
    /// Whether the order of its candidates can depend on the language of the request.
    pub(crate) ranks_by_language: bool,
    pub(crate) attempts: Attempts,
    /// Those that meet `require`, in the order of the list.
    pub(crate) entries: Box<[Entry]>,
    /// Those that do not, and candidates that nothing serves.
    pub(crate) out: Arc<[Rejected]>,
}

/// A deployment that a route may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Its row in the table.
    pub(crate) row: u32,
    /// A later stage is tried only after every candidate of the earlier ones.
    pub(crate) stage: u16,
    /// The place of its entry in `candidates`, from 0.
    pub(crate) rank: u16,
}

impl PolicySet {
    /// The names that routes give to requests and that are no model of the catalog and no deployment, such as `auto`,
    /// in the order of the files.
    pub fn virtual_models(&self) -> impl Iterator<Item = &str> {
        self.virtual_models.iter().map(String::as_str)
    }

    /// The names of the routes, in their order.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| &*route.name)
    }

    /// The name of the route that takes a request.
    pub fn route_name(&self, catalog: &Catalog, facts: &Facts) -> Option<&str> {
        self.route(catalog, facts, facts.needs.capabilities()).map(|route| &*route.name)
    }

    /// Whether the language of a request for `model` by `team` can make a difference: some route that could take it
    /// matches by language, or ranks different models by their quality in it. Telling the language of a text costs more
    /// than the whole plan, so a gateway does it only then.
    pub fn asks_language(&self, catalog: &Catalog, model: &str, team: Option<&str>) -> bool {
        let names = [Some(model), self.id(catalog, model)];
        self.index.candidates(names, team).any(|at| {
            let route = &self.routes[at];
            route.when.language.is_some() || route.ranks_by_language
        })
    }

    /// The catalog's id of a name that is neither in a route nor a deployment's own: a repository or an alias.
    fn id<'c>(&self, catalog: &'c Catalog, asked: &str) -> Option<&'c str> {
        let known = self.index.models.contains_key(asked) || self.direct.contains_key(asked);
        if known { None } else { catalog.resolve(asked).map(|model| model.id.as_str()) }
    }

    /// The route that takes a request.
    pub(crate) fn route(&self, catalog: &Catalog, facts: &Facts, needs: Capabilities) -> Option<&Route> {
        let asked = facts.model_asked.as_str();
        let id = self.id(catalog, asked);
        let team = facts.team.as_deref();
        let found = self.index.candidates([Some(asked), id], team).find(|at| self.routes[*at].when.takes(facts, needs));
        found.map(|at| &self.routes[at]).or_else(|| self.direct.get(asked).or_else(|| self.direct.get(id?)))
    }
}

/// Route numbers by model asked and team, each list in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    models: HashMap<String, ByTeam>,
    /// Routes that take any model name.
    every_model: ByTeam,
}

#[derive(Clone, Debug, Default)]
struct ByTeam {
    teams: HashMap<String, Vec<usize>>,
    every_team: Vec<usize>,
}

impl Index {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut index = Self::default();
        for (at, route) in routes.iter().enumerate() {
            match &route.when.model {
                None => index.every_model.insert(at, &route.when.team),
                Some(models) => {
                    for model in models {
                        index.models.entry(model.clone()).or_default().insert(at, &route.when.team);
                    }
                }
            }
        }
        index
    }

    /// The routes that could take a request for any of `names` by `team`, in order; a route may come twice.
    fn candidates(&self, names: [Option<&str>; 2], team: Option<&str>) -> impl Iterator<Item = usize> {
        let [first, second] = names.map(|name| name.and_then(|name| self.models.get(name)));
        let mut lists: [&[usize]; 6] = [&[]; 6];
        for (slot, by_team) in [first, second, Some(&self.every_model)].into_iter().enumerate() {
            let Some(by_team) = by_team else { continue };
            lists[2 * slot] = &by_team.every_team;
            lists[2 * slot + 1] = team.and_then(|team| by_team.teams.get(team)).map_or(&[], Vec::as_slice);
        }
        std::iter::from_fn(move || {
            let least = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
            let (at, rest) = least.split_first()?;
            *least = rest;
            Some(*at)
        })
    }
}

impl ByTeam {
    fn insert(&mut self, at: usize, teams: &Option<Vec<String>>) {
        match teams {
            None => push_once(&mut self.every_team, at),
            Some(teams) => {
                for team in teams {
                    push_once(self.teams.entry(team.clone()).or_default(), at);
                }
            }
        }
    }
}

/// A name that stands twice in one route adds it once.
fn push_once(list: &mut Vec<usize>, at: usize) {
    if list.last() != Some(&at) {
        list.push(at);
    }
}
