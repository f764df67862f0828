//! Which routes, rules and candidates the tests exercise.
//!
//! A route is exercised if some test's request takes it. A key of `match` or `require`, or a candidate, is exercised if
//! some test's plan would be another without it: another route, verdict, or list of those who serve. Whether the test
//! would notice is the question of [`crate::mutate()`].

use std::{cell::LazyCell, sync::Arc};

use catalog::Date;
use serde::Serialize;

use crate::{
    Effect, Snapshot, Source,
    cases::CaseText,
    parse::FileText,
    places::{Places, Spot},
    route::RouteText,
    rules::{Edit, Part, Reach, drops},
    suffix::Suffixes,
};

/// What the tests exercise.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// The routes.
    pub routes: Covered,
    /// The keys of `match` and `require`, `leave_out`, `split`, `shadow`, and `on_none` where it asks others.
    pub rules: Covered,
    /// The entries of `candidates`.
    pub candidates: Covered,
}

/// How many of a kind of part are exercised.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Covered {
    /// How many there are.
    pub all: usize,
    /// How many a test exercises.
    pub exercised: usize,
    /// The others, in the order of the files.
    pub missed: Vec<Missed>,
}

/// A part that no test exercises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missed {
    /// The route that it belongs to.
    pub route: String,
    /// The key or the candidate; none for the route itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Spot,
}

impl Covered {
    fn count(&mut self, exercised: bool, missed: impl FnOnce() -> Missed) {
        self.all += 1;
        if exercised {
            self.exercised += 1;
        } else {
            self.missed.push(missed());
        }
    }
}

/// What the tests of `snapshot.policies` exercise, as on the day `today`; `sources` are the files that these were
/// compiled from.
pub fn coverage(sources: &[Source], snapshot: &Snapshot<'_>, today: Date) -> Coverage {
    let texts = &snapshot.policies.texts;
    let routes = routes(texts);
    let places = Places::of(sources);
    let cases: Vec<&CaseText> = texts.iter().flat_map(|text| &text.cases).collect();
    let effect = |case: &CaseText, texts: &_| case.planned(texts, snapshot, today, Effect::of_plan);
    let before: Vec<Effect> = cases.iter().map(|case| effect(case, texts)).collect();
    let taken: Vec<Option<usize>> = before.iter().map(|effect| number(effect.route.as_deref(), &routes)).collect();
    let beside = beside(texts);
    let mut coverage = Coverage::default();
    for (at, route) in routes.iter().enumerate() {
        let name = &route.name.value;
        let missed = |part: Option<String>, place: &Part| Missed {
            route: name.clone(),
            part,
            at: places.get(at).map_or_else(nowhere, |places| places.place(place)),
        };
        coverage.routes.count(taken.contains(&Some(at)), || missed(None, &Part::Route));
        for edit in drops(at, route) {
            let reach = Reach::of(&edit, &routes, &beside, snapshot.catalog);
            let whole = LazyCell::new(|| changed(&edit, &routes, &beside));
            let exercised = cases.iter().zip(&before).zip(&taken).any(|((case, before), taken)| {
                let (facts, taken) = (case.facts(), *taken);
                let texts = || reach.enough(facts, taken).unwrap_or_else(|| &whole);
                reach.may_move(facts, taken) && effect(case, texts()) != *before
            });
            let (counted, part) = match &edit.part {
                Part::Candidate(index) => (&mut coverage.candidates, route.candidates[*index].value.to_string()),
                Part::Match(key) => (&mut coverage.rules, format!("match.{key}")),
                Part::Require(key) => (&mut coverage.rules, format!("require.{key}")),
                Part::LeaveOut => (&mut coverage.rules, "leave_out".to_owned()),
                Part::OnNone => (&mut coverage.rules, "on_none".to_owned()),
                Part::Split => (&mut coverage.rules, "split".to_owned()),
                Part::Shadow => (&mut coverage.rules, "shadow".to_owned()),
                Part::Route | Part::Prefer => continue,
            };
            counted.count(exercised, || missed(Some(part), &edit.part));
        }
    }
    coverage
}

/// The routes of all files, in their order, each with what its file says of suffixes.
pub(crate) fn routes(texts: &[FileText]) -> Vec<RouteText> {
    let with_suffixes = |text: &FileText, route: &RouteText| {
        let suffixes = route.suffixes.or(text.suffixes).unwrap_or(Suffixes::Allow);
        RouteText { suffixes: Some(suffixes), ..route.clone() }
    };
    texts.iter().flat_map(|text| text.routes.iter().map(move |route| with_suffixes(text, route))).collect()
}

/// What stands beside the routes of all files: aliases, and whether some file refuses suffixes.
pub(crate) fn beside(texts: &[FileText]) -> FileText {
    let refused = texts.iter().any(|text| text.suffixes == Some(Suffixes::Refuse));
    FileText {
        aliases: texts.iter().flat_map(|text| &text.aliases).cloned().collect(),
        suffixes: refused.then_some(Suffixes::Refuse),
        ..FileText::default()
    }
}

/// The number of the route of this name.
pub(crate) fn number(name: Option<&str>, routes: &[RouteText]) -> Option<usize> {
    routes.iter().position(|route| Some(route.name.value.as_str()) == name)
}

/// The routes after a change, without tests.
pub(crate) fn changed(edit: &Edit, routes: &[RouteText], beside: &FileText) -> Arc<[FileText]> {
    [FileText { routes: edit.apply(routes), ..beside.clone() }].into()
}

fn nowhere() -> Spot {
    Spot { file: String::new(), line: 0 }
}
