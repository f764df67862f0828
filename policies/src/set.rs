//! Compiled policies: routes bound to deployments, and how the route of a request is found.
//!
//! A request is looked up by the model it asks for and by its team, so a thousand routes cost no more than those that
//! could take it. Of these the first in the order of the files wins.

use std::sync::Arc;

use catalog::Catalog;
use rapidhash::RapidHashMap;

use crate::{
    Attempts, Capabilities, ConditionError, Facts, Queue, Reuse, Suffix,
    condition::{Fact, TextFact},
    eligible::Memo,
    naming::{Alias, Name},
    parse::FileText,
    plan::Out,
    route::{Limits, Prefer, When},
    split::{By, Split},
    suffix::Suffixes,
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
    pub(crate) direct: RapidHashMap<String, Route>,
    pub(crate) table: Arc<Table>,
    pub(crate) virtual_models: Vec<String>,
    /// The catalog's ids of names that routes match and that are other names of a model.
    pub(crate) other_names: RapidHashMap<String, String>,
    pub(crate) aliases: RapidHashMap<String, Alias>,
    pub(crate) memo: Memo,
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
    /// Whether more than one model is among them, so that a caller's preference for quality depends on the language.
    pub(crate) mixes_models: bool,
    /// What a request is sent without to a candidate that lacks it.
    pub(crate) leave_out: Capabilities,
    /// What is asked of each candidate at the moment of a request; `None` where nothing is.
    pub(crate) limits: Option<Limits>,
    pub(crate) suffixes: Suffixes,
    pub(crate) attempts: Attempts,
    /// Its candidates, where it has no split.
    pub(crate) listed: Listed,
    pub(crate) split: Option<Box<Split>>,
    /// Those that the company's licence rules may ask instead of a candidate, and that meet `require` too.
    pub(crate) spare: Box<[Entry]>,
    /// Whom to ask where no candidate may serve; absent: the request is refused. None of them is a candidate.
    pub(crate) degraded: Option<Box<Listed>>,
    /// How long a request waits where no candidate is available now.
    pub(crate) queue: Option<Queue>,
    /// How its answers are given again; absent: never.
    pub(crate) reuse: Option<Reuse>,
    pub(crate) shadow: Option<Box<Shadow>>,
}

/// A list of a route, bound to deployments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    /// Those that meet the route's `require`, in the order of the list.
    pub(crate) entries: Box<[Entry]>,
    /// Those that do not, and candidates that nothing serves.
    pub(crate) out: Arc<[Out]>,
}

/// Whom requests are mirrored to.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    /// The share of the requests, 0 to 1.
    pub(crate) share: f64,
    pub(crate) listed: Listed,
}

/// The stage of the demo model where a wildcard reached it: after everything else.
pub(crate) const DEMO_STAGE: u16 = u16::MAX;
/// The stage of those that the company's licence rules ask instead of a candidate.
pub(crate) const SPARE_STAGE: u16 = u16::MAX - 1;

/// The first of the stages of those that are asked where no candidate may serve; they end before [`SPARE_STAGE`].
pub(crate) const DEGRADED_STAGE: u16 = 1 << 15;
/// The first of the stages of candidates that are held back for a failure of others; they end before [`DEGRADED_STAGE`].
pub(crate) const HELD_STAGE: u16 = 1 << 14;
/// A group of attempts that is none.
pub(crate) const NO_GROUP: u8 = u8::MAX;

/// A deployment that a route may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Its row in the table.
    pub(crate) row: u32,
    /// A later stage is tried only after every candidate of the earlier ones.
    pub(crate) stage: u16,
    /// The place of its entry in `candidates`, from 0.
    pub(crate) rank: u16,
    /// Its group in the attempts of the route, or [`NO_GROUP`].
    pub(crate) group: u8,
}

impl PolicySet {
    /// The names that routes give to requests and that are no model of the catalog and no deployment, such as `auto`,
    /// in the order of the files; then the aliases.
    pub fn virtual_models(&self) -> impl Iterator<Item = &str> {
        self.virtual_models.iter().map(String::as_str)
    }

    /// The names of the routes, in their order.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| &*route.name)
    }

    /// The name of the route that takes a request.
    pub fn route_name<'a>(&'a self, catalog: &'a Catalog, facts: &'a Facts) -> Option<&'a str> {
        self.route(catalog, facts, facts.needs.capabilities()).route.map(|route| &*route.name)
    }

    /// Whether the language of a request for `model` by `team` can make a difference: some route that could take it
    /// matches by language, or ranks different models by their quality in it. Telling the language of a text costs more
    /// than the whole plan, so a gateway does it only then.
    pub fn asks_language(&self, catalog: &Catalog, model: &str, team: Option<&str>) -> bool {
        let name = self.name(catalog, model);
        self.could_take(&name, team).any(|route| {
            let matches = route.when.language.is_some() || route.when.reads(&Fact::Text(TextFact::Language));
            matches || route.ranks_by_language || name.suffix.is_some() && route.mixes_models
        })
    }

    /// Whether some route that could take a request for `model` by `team` matches by script.
    pub fn asks_script(&self, catalog: &Catalog, model: &str, team: Option<&str>) -> bool {
        let asks = |route: &Route| route.when.script.is_some() || route.when.reads(&Fact::Text(TextFact::Script));
        self.could_take(&self.name(catalog, model), team).any(asks)
    }

    /// Whether some route matches or splits by the request header `name`, in lower case.
    pub fn asks_header(&self, name: &str) -> bool {
        self.routes.iter().any(|route| {
            let splits = matches!(route.split.as_deref(), Some(Split { by: By::Header(by), .. }) if by == name);
            let read = || route.when.reads(&Fact::Text(TextFact::Header(name.to_owned())));
            splits || route.when.header.iter().any(|tag| tag.name == name) || read()
        })
    }

    /// Whether some route matches or splits by the entry `name` of a request's `metadata`.
    pub fn asks_metadata(&self, name: &str) -> bool {
        self.routes.iter().any(|route| {
            let splits = matches!(route.split.as_deref(), Some(Split { by: By::Metadata(by), .. }) if by == name);
            let read = || route.when.reads(&Fact::Text(TextFact::Metadata(name.to_owned())));
            splits || route.when.metadata.iter().any(|tag| tag.name == name) || read()
        })
    }

    /// The catalog's id of a model that a name in some route stands for, where no such route takes the request.
    pub(crate) fn stands_for(&self, name: &str) -> Option<&str> {
        self.other_names.get(name).map(String::as_str)
    }

    /// The arms of the splits of routes that could take a request for `model` by `team`.
    pub(crate) fn arms(&self, catalog: &Catalog, model: &str, team: Option<&str>) -> impl Iterator<Item = &str> {
        let name = self.name(catalog, model);
        let routes: Vec<&Route> = self.could_take(&name, team).collect();
        routes
            .into_iter()
            .filter_map(|route| route.split.as_deref())
            .flat_map(|split| &split.arms)
            .map(|arm| &*arm.name)
    }

    /// Whether a route, a deployment or a served model goes by this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.index.models.contains_key(name) || self.direct.contains_key(name)
    }

    /// The routes that are looked up by a name.
    fn could_take(&self, name: &Name<'_>, team: Option<&str>) -> impl Iterator<Item = &Route> {
        self.index.candidates([Some(name.name), name.id], team).map(|at| &self.routes[at])
    }

    /// The route that takes a request.
    pub(crate) fn route<'a>(&'a self, catalog: &'a Catalog, facts: &'a Facts, needs: Capabilities) -> Found<'a> {
        let name = self.name(catalog, &facts.model_asked);
        let mut alerts = Vec::new();
        let takes = |route: &&Route| {
            route.when.fits(facts, needs)
                && route.when.holds(facts).unwrap_or_else(|error| {
                    alerts.push(Alert { route: route.name.clone(), error });
                    false
                })
        };
        let found = self.could_take(&name, facts.team.as_deref()).find(takes);
        let direct = || self.direct.get(name.name).or_else(|| self.direct.get(name.id?));
        Found { name, route: found.or_else(direct), alerts }
    }
}

/// The name that was asked for, looked up, and the route that takes the request.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) route: Option<&'a Route>,
    /// The routes that were passed over because of an error.
    pub(crate) alerts: Vec<Alert>,
}

/// A route whose expression was an error for a request, and which therefore did not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The route.
    pub route: Arc<str>,
    /// Why.
    pub error: ConditionError,
}

impl Found<'_> {
    /// The suffix, where the route takes none.
    pub(crate) fn refused_suffix(&self) -> Option<Suffix> {
        let suffixes = self.route.map(|route| route.suffixes);
        self.name.suffix.filter(|_| suffixes == Some(Suffixes::Refuse))
    }

    /// What the candidates of `route` are ordered by: the caller's preference, with what the route takes for quality.
    pub(crate) fn prefer(&self, route: &Route) -> Option<Prefer> {
        let Some(suffix) = self.name.suffix else { return route.prefer };
        Some(Prefer { quality_by: route.prefer.and_then(|prefer| prefer.quality_by), ..suffix.prefer() })
    }
}

/// Route numbers by model asked and team, each list in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    models: RapidHashMap<String, ByTeam>,
    /// Routes that take any model name.
    every_model: ByTeam,
}

#[derive(Clone, Debug, Default)]
struct ByTeam {
    teams: RapidHashMap<String, Vec<usize>>,
    every_team: Vec<usize>,
}

impl Index {
    /// The routes by what they match. Of `names` it is known that some route matches them, whether it is here or not.
    pub(crate) fn new<'n>(routes: &[Route], names: impl Iterator<Item = &'n str>) -> Self {
        let models = names.map(|name| (name.to_owned(), ByTeam::default())).collect();
        let mut index = Self { models, every_model: ByTeam::default() };
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
