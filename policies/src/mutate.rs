//! Changes each rule, one at a time, and asks whether a test notices.
//!
//! A change that no test notices is one that somebody could make by mistake and merge. Some change nothing at all - the
//! order of two routes that no request can both take - and those are counted apart: where no cell (see [`Cells`]) has
//! another plan, in a world where everything that the routes name is deployed. Bounded, and the same every time.

use std::{cell::LazyCell, collections::HashSet, sync::Arc};

use catalog::{Date, Use};
use serde::Serialize;

use crate::{
    Caller, Cells, Deployment, Effect, Example, Facts, Only, Place, PolicySet, Snapshot, Source, TooManyCells,
    cases::{CaseText, strictest_use},
    cells::every_caller,
    compile::bind,
    coverage::{beside, changed, number, routes},
    parse::FileText,
    places::{Places, Spot},
    preset,
    route::{RouteText, Selector},
    rules::{Edit, Reach, mutations},
};

/// The most changes that are tried.
pub const MAX_MUTATIONS: usize = 5_000;
/// The most cells in which a change that no test notices is looked for.
const MAX_COMPARED: usize = 50_000;

/// What the tests notice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mutation {
    /// How many changes were tried.
    pub tried: usize,
    /// How many a test noticed.
    pub noticed: usize,
    /// How many change no plan.
    pub equivalent: usize,
    /// The share of those that change a plan which a test noticed, 0 to 1; `None` where there is none.
    pub score: Option<f64>,
    /// Those that no test noticed, in the order of the files.
    pub unnoticed: Vec<Unnoticed>,
    /// How many were left off, since there are more than [`MAX_MUTATIONS`].
    pub left_off: usize,
}

/// A change that no test notices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unnoticed {
    /// What was changed.
    pub what: String,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Spot,
    /// A request that is planned otherwise after it; none where there were too many kinds of request to look for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// Tries every change of the routes that `sources` were compiled to, and tells `progress` how many are done of how many.
/// `callers` are those of the configuration; those of the tests and one for each team and context that a route names
/// join them.
pub fn mutate(
    sources: &[Source],
    snapshot: &Snapshot<'_>,
    callers: &[Caller],
    today: Date,
    mut progress: impl FnMut(usize, usize),
) -> Mutation {
    let texts = &snapshot.policies.texts;
    let routes = routes(texts);
    let places = Places::of(sources);
    let all: Vec<&CaseText> = texts.iter().flat_map(|text| &text.cases).collect();
    // What fails before can notice nothing.
    let cases: Vec<&CaseText> =
        all.iter().copied().filter(|case| case.failures(texts, snapshot, today).is_empty()).collect();
    let taken =
        |case: &CaseText| case.planned(texts, snapshot, today, |plan, _| number(plan.route.as_deref(), &routes));
    let cases: Vec<(&CaseText, Option<usize>)> = cases.into_iter().map(|case| (case, taken(case))).collect();
    let deployments = everything(&routes, &all, snapshot);
    let mut edits = mutations(&routes);
    let left_off = edits.len().saturating_sub(MAX_MUTATIONS);
    edits.truncate(MAX_MUTATIONS);
    let callers = everyone(callers, &all, snapshot);
    let beside = beside(texts);
    let world = World::new(snapshot, &routes, &beside, &edits, &deployments, callers, today);
    let tried = edits.len();
    let mut mutation = Mutation { tried, noticed: 0, equivalent: 0, score: None, unnoticed: Vec::new(), left_off };
    for (done, edit) in edits.iter().enumerate() {
        progress(done, tried);
        let reach = Reach::of(edit, &routes, &beside, snapshot.catalog);
        let after = LazyCell::new(|| changed(edit, &routes, &beside));
        let fails = |(case, taken): &(&CaseText, Option<usize>)| {
            let texts = reach.enough(case.facts(), *taken).unwrap_or_else(|| &after);
            !case.failures(texts, snapshot, today).is_empty()
        };
        if cases.iter().any(|case| reach.may_move(case.0.facts(), case.1) && fails(case)) {
            mutation.noticed += 1;
            continue;
        }
        let example = match world.difference(&reach, || Arc::clone(&after)) {
            Difference::None => {
                mutation.equivalent += 1;
                continue;
            }
            Difference::At(example) => Some(*example),
            Difference::NotLookedFor => None,
        };
        let at = places.get(edit.route).map(|places| places.place(&edit.part));
        let at = at.unwrap_or(Spot { file: String::new(), line: 0 });
        mutation.unnoticed.push(Unnoticed { what: edit.what.clone(), at, example });
    }
    progress(tried, tried);
    let telling = mutation.tried - mutation.equivalent;
    mutation.score = (telling > 0).then(|| mutation.noticed as f64 / telling as f64);
    mutation
}

/// Where changes are looked for that no test notices: every cell, with the number of the route that takes it.
struct World<'a> {
    snapshot: &'a Snapshot<'a>,
    deployments: &'a [Deployment],
    before: PolicySet,
    /// Absent where there are too many.
    cells: Option<Vec<(Facts, Option<usize>)>>,
}

enum Difference {
    None,
    At(Box<Example>),
    NotLookedFor,
}

impl<'a> World<'a> {
    fn new(
        snapshot: &'a Snapshot<'a>,
        routes: &[RouteText],
        beside: &FileText,
        edits: &[Edit],
        deployments: &'a [Deployment],
        callers: Result<Vec<Caller>, TooManyCells>,
        today: Date,
    ) -> Self {
        let bound = |text: FileText| bind([text].into(), snapshot.catalog, deployments);
        let before = bound(FileText { routes: routes.to_vec(), ..beside.clone() });
        // What the changed routes tell apart, such as a size that is one token more, is told apart for all of them.
        let changed = edits.iter().filter_map(Edit::becomes).cloned().collect();
        let after = bind([FileText { routes: changed, ..beside.clone() }].into(), snapshot.catalog, &[]);
        let [before_, after_] =
            [&before, &after].map(|policies| Snapshot { policies, deployments, live: &[], ..*snapshot });
        let cells = callers.and_then(|callers| Cells::new(&[&before_, &after_], &callers, today, &Only::default()));
        let cells = cells.ok().filter(|cells| cells.len() <= MAX_COMPARED).map(|cells| {
            let cells = cells.iter().map(|cell| {
                let taken = before.route(snapshot.catalog, &cell.facts, cell.facts.needs.capabilities());
                let taken = number(taken.route.map(|route| &*route.name), routes);
                (cell.facts, taken)
            });
            cells.collect()
        });
        Self { snapshot, deployments, before, cells }
    }

    /// A request that the routes of `after` plan otherwise than before.
    fn difference(&self, reach: &Reach<'_>, after: impl Fn() -> Arc<[FileText]>) -> Difference {
        let Some(cells) = &self.cells else { return Difference::NotLookedFor };
        let bound = |texts| bind(texts, self.snapshot.catalog, self.deployments);
        let alone = LazyCell::new(|| reach.alone().map(|alone| bound(Arc::clone(alone))));
        let whole = LazyCell::new(|| bound(after()));
        let effect = |facts: &Facts, policies: &PolicySet| {
            Effect::of(facts, &Snapshot { policies, deployments: self.deployments, live: &[], ..*self.snapshot })
        };
        let differs = |facts: &Facts, taken| {
            let enough = alone.as_ref().filter(|_| reach.enough(facts, taken).is_some());
            let policies = enough.unwrap_or_else(|| &whole);
            effect(facts, &self.before) != effect(facts, policies)
        };
        match cells.iter().find(|(facts, taken)| reach.may_move(facts, *taken) && differs(facts, *taken)) {
            Some((facts, _)) => Difference::At(Box::new(facts.into())),
            None => Difference::None,
        }
    }
}

/// What is configured, what tests make up, and whatever else a candidate names, in this process.
fn everything(routes: &[RouteText], cases: &[&CaseText], snapshot: &Snapshot<'_>) -> Vec<Deployment> {
    let catalog = snapshot.catalog;
    let mut ids: HashSet<String> = HashSet::new();
    let mut all: Vec<Deployment> = Vec::new();
    let made_up = cases.iter().flat_map(|case| case.made_up(snapshot.deployments));
    for deployment in snapshot.deployments.iter().cloned().chain(made_up) {
        if ids.insert(deployment.id.clone()) {
            all.push(deployment);
        }
    }
    for selector in
        routes.iter().flat_map(|route| route.lists().flatten()).flat_map(|candidate| match &candidate.value {
            Selector::Preset(id) => {
                let models = preset::models(id).unwrap_or_default();
                models.into_iter().map(|model| Selector::Name(model.to_owned())).collect()
            }
            other => vec![other.clone()],
        })
    {
        let found = match &selector {
            Selector::Any | Selector::Preset(_) => None,
            Selector::Name(id) => catalog.model(id).map(|model| (id.clone(), &model.id, local())),
            Selector::Family(id) => {
                catalog.models().find(|model| model.family == *id).map(|model| (model.id.clone(), &model.id, local()))
            }
            Selector::Host(host) => catalog
                .prices()
                .find(|price| price.host == *host && price.model.is_some())
                .and_then(|price| catalog.model(price.model.as_deref()?))
                .map(|model| (format!("{host}-{}", model.id), &model.id, Place::Host(host.clone()))),
        };
        if let Some((id, model, place)) = found
            && ids.insert(id.clone())
        {
            all.push(Deployment::new(id, model, place));
        }
    }
    all
}

fn local() -> Place {
    Place::Local { engine: "test".to_owned() }
}

/// Whoever may ask or is asked about.
fn everyone(callers: &[Caller], cases: &[&CaseText], snapshot: &Snapshot<'_>) -> Result<Vec<Caller>, TooManyCells> {
    let of_tests = cases.iter().map(|case| case.caller());
    let mut all: Vec<Caller> = callers.iter().cloned().chain(of_tests).collect();
    let uses: HashSet<Use> =
        all.iter().map(|caller| Use { context: None, ..(*caller.use_).clone() }).chain([strictest_use()]).collect();
    // In the order of their texts, so that the same is shown every time.
    let mut uses: Vec<Arc<Use>> = uses.into_iter().map(Arc::new).collect();
    uses.sort_by_key(|use_| format!("{use_:?}"));
    all.extend(every_caller([snapshot.policies], &uses, &Only::default())?);
    let mut seen: HashSet<Caller> = HashSet::new();
    all.retain(|caller| seen.insert(caller.clone()));
    Ok(all)
}
