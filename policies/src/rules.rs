//! The rules of a route, one by one, and the ways to change each: what coverage takes out and mutation alters.
//!
//! Each key of `match` and `require` stands here once, with the route as it is without that key. The lists take the
//! structures apart field by field, so a key that is added to the language does not compile until it is added here.

use std::sync::Arc;

use catalog::{Catalog, Tier};

use crate::{
    Capabilities, Capability, Facts, PolicySet,
    compile::bind,
    condition::Condition,
    parse::FileText,
    read::Spanned,
    route::{Limits, OnNone, Require, RouteText, When},
};

/// A part of a route that can be changed by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Route,
    /// A key of `match`.
    Match(&'static str),
    /// A key of `require`, with a dot before a key below it.
    Require(&'static str),
    Prefer,
    /// An entry of `candidates`, from 0.
    Candidate(usize),
    LeaveOut,
    OnNone,
    Split,
    Shadow,
}

/// A change of one route.
pub(crate) struct Edit {
    /// The number of the route.
    pub(crate) route: usize,
    pub(crate) part: Part,
    /// What it does, in words.
    pub(crate) what: String,
    change: Change,
}

enum Change {
    /// The route becomes this one.
    Becomes(Box<RouteText>),
    /// The route goes.
    Drop,
    /// It changes places with the next.
    Swap,
}

impl Edit {
    /// The route as it becomes, where it stays in its place.
    pub(crate) fn becomes(&self) -> Option<&RouteText> {
        match &self.change {
            Change::Becomes(route) => Some(route),
            Change::Drop | Change::Swap => None,
        }
    }

    /// The routes after the change.
    pub(crate) fn apply(&self, routes: &[RouteText]) -> Vec<RouteText> {
        let mut routes = routes.to_vec();
        match &self.change {
            Change::Becomes(route) => routes[self.route] = (**route).clone(),
            Change::Drop => {
                routes.remove(self.route);
            }
            Change::Swap => routes.swap(self.route, self.route + 1),
        }
        routes
    }
}

/// Which requests an edit can move at all: a quick answer, so that few need to be planned again.
pub(crate) struct Reach<'a> {
    edit: &'a Edit,
    /// The route as it was.
    before: &'a RouteText,
    catalog: &'a Catalog,
    /// The changed route by itself, with no deployment.
    alone: Option<PolicySet>,
}

impl<'a> Reach<'a> {
    pub(crate) fn of(edit: &'a Edit, routes: &'a [RouteText], beside: &FileText, catalog: &'a Catalog) -> Self {
        let alone = match &edit.change {
            Change::Becomes(route) => {
                let text = FileText { routes: vec![(**route).clone()], ..beside.clone() };
                Some(bind([text].into(), catalog, &[]))
            }
            Change::Drop | Change::Swap => None,
        };
        Self { edit, before: &routes[edit.route], catalog, alone }
    }

    /// Whether a request that the route of number `taken` takes may be planned otherwise; `None` is no route of a file.
    pub(crate) fn may_move(&self, facts: &Facts, taken: Option<usize>) -> bool {
        let at = self.edit.route;
        if self.renames(facts) {
            return true;
        }
        match (&self.edit.change, &self.alone) {
            (Change::Drop, _) => taken == Some(at),
            (Change::Swap, _) => taken == Some(at) || taken == Some(at + 1),
            // A route takes from those after it only what it matches now.
            (Change::Becomes(_), alone) => {
                let takes =
                    |alone: &PolicySet| alone.route(self.catalog, facts, facts.needs.capabilities()).route.is_some();
                taken == Some(at) || taken.is_none_or(|taken| taken > at) && alone.as_ref().is_some_and(takes)
            }
        }
    }
}

impl Reach<'_> {
    /// Whether the name that is asked for stands in the route before or after, not both. A name that stands in a route is no
    /// alias of a model, so such a change may reach requests of any other route.
    fn renames(&self, facts: &Facts) -> bool {
        let names =
            |route: &RouteText| route.when.model.as_ref().is_some_and(|models| models.contains(&facts.model_asked));
        let changed = match self.edit.change {
            Change::Swap => Some(self.before),
            Change::Drop | Change::Becomes(_) => self.edit.becomes(),
        };
        names(self.before) != changed.is_some_and(names)
    }

    /// The changed route by itself, where it stays in its place.
    pub(crate) fn alone(&self) -> Option<&Arc<[FileText]>> {
        self.alone.as_ref().map(|alone| &alone.texts)
    }

    /// The changed route by itself where it is sure to be the first to take a request that may move, so that no other route
    /// has a say in its plan.
    pub(crate) fn enough(&self, facts: &Facts, taken: Option<usize>) -> Option<&Arc<[FileText]>> {
        let (route, alone) = self.edit.becomes().zip(self.alone.as_ref())?;
        // Whether another name stands for the model that is asked for depends on all routes.
        let by_name = route.when.model.as_ref().is_none_or(|models| models.contains(&facts.model_asked));
        let first = taken.is_none_or(|taken| taken >= self.edit.route);
        let takes = || alone.route(self.catalog, facts, facts.needs.capabilities()).route.is_some();
        (by_name && first && !self.renames(facts) && takes()).then_some(&alone.texts)
    }
}

/// Each rule and candidate of a route left out once.
pub(crate) fn drops(at: usize, route: &RouteText) -> Vec<Edit> {
    let name = &route.name.value;
    let edit = |part, what: String, changed: RouteText| Edit {
        route: at,
        part,
        what,
        change: Change::Becomes(Box::new(changed)),
    };
    let mut edits = Vec::new();
    for (key, when) in match_parts(&route.when) {
        let what = format!("route `{name}`: `match.{key}` left out");
        edits.push(edit(Part::Match(key), what, RouteText { when, ..route.clone() }));
    }
    for (key, require) in require_parts(&route.require) {
        let what = format!("route `{name}`: `require.{key}` left out");
        edits.push(edit(Part::Require(key), what, RouteText { require, ..route.clone() }));
    }
    if !route.leave_out.is_empty() {
        let what = format!("route `{name}`: `leave_out` left out");
        edits.push(edit(Part::LeaveOut, what, RouteText { leave_out: Capabilities::default(), ..route.clone() }));
    }
    for (index, candidate) in route.candidates.iter().enumerate() {
        let mut candidates = route.candidates.clone();
        candidates.remove(index);
        let what = format!("route `{name}`: the candidate `{}` left out", candidate.value);
        edits.push(edit(Part::Candidate(index), what, RouteText { candidates, ..route.clone() }));
    }
    if !route.on_none.degrade_to().is_empty() {
        let what = format!("route `{name}`: `on_none` left out");
        edits.push(edit(Part::OnNone, what, RouteText { on_none: OnNone::Refuse, ..route.clone() }));
    }
    if route.split.is_some() {
        let what = format!("route `{name}`: `split` left out");
        edits.push(edit(Part::Split, what, RouteText { split: None, ..route.clone() }));
    }
    if route.shadow.is_some() {
        let what = format!("route `{name}`: `shadow` left out");
        edits.push(edit(Part::Shadow, what, RouteText { shadow: None, ..route.clone() }));
    }
    edits
}

/// Every change that mutation makes, route by route.
pub(crate) fn mutations(routes: &[RouteText]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let name = &route.name.value;
        let mut push = |part, what: String, change| edits.push(Edit { route: at, part, what, change });
        let becomes = |changed: RouteText| Change::Becomes(Box::new(changed));
        push(Part::Route, format!("route `{name}` left out"), Change::Drop);
        if let Some(next) = routes.get(at + 1) {
            let what = format!("route `{name}` after the next, `{}`", next.name.value);
            push(Part::Route, what, Change::Swap);
        }
        for Edit { part, what, change, .. } in drops(at, route) {
            push(part, what, change);
        }
        for (key, what, when) in match_values(&route.when) {
            let what = format!("route `{name}`: `match.{key}` {what}");
            push(Part::Match(key), what, becomes(RouteText { when, ..route.clone() }));
        }
        for (key, what, require) in require_values(&route.require) {
            let what = format!("route `{name}`: `require.{key}` {what}");
            push(Part::Require(key), what, becomes(RouteText { require, ..route.clone() }));
        }
        if route.prefer.is_some() {
            let changed = RouteText { prefer: None, ..route.clone() };
            push(Part::Prefer, format!("route `{name}`: `prefer` left out"), becomes(changed));
        }
        for (index, pair) in route.candidates.windows(2).enumerate() {
            let what = format!("route `{name}`: the candidates `{}` and `{}` swapped", pair[0].value, pair[1].value);
            let mut candidates = route.candidates.clone();
            candidates.swap(index, index + 1);
            push(Part::Candidate(index), what, becomes(RouteText { candidates, ..route.clone() }));
        }
    }
    edits
}

/// Each key of a `match`, and the same `match` without it.
fn match_parts(when: &When) -> Vec<(&'static str, When)> {
    let When {
        team,
        key,
        context,
        language,
        script,
        model,
        modality,
        needs,
        prompt_tokens,
        stream,
        time,
        header,
        metadata,
        condition,
    } = when;
    let parts = [
        ("team", team.is_some(), When { team: None, ..when.clone() }),
        ("key", key.is_some(), When { key: None, ..when.clone() }),
        ("context", context.is_some(), When { context: None, ..when.clone() }),
        ("language", language.is_some(), When { language: None, ..when.clone() }),
        ("script", script.is_some(), When { script: None, ..when.clone() }),
        ("modality", modality.is_some(), When { modality: None, ..when.clone() }),
        ("time", time.is_some(), When { time: None, ..when.clone() }),
        ("header", !header.is_empty(), When { header: Vec::new(), ..when.clone() }),
        ("metadata", !metadata.is_empty(), When { metadata: Vec::new(), ..when.clone() }),
        ("model", model.is_some(), When { model: None, ..when.clone() }),
        ("needs", !needs.is_empty(), When { needs: Capabilities::default(), ..when.clone() }),
        ("prompt_tokens", prompt_tokens.is_some(), When { prompt_tokens: None, ..when.clone() }),
        ("stream", stream.is_some(), When { stream: None, ..when.clone() }),
        ("when", condition.is_some(), When { condition: None, ..when.clone() }),
    ];
    parts.into_iter().filter(|(_, present, _)| *present).map(|(key, _, without)| (key, without)).collect()
}

/// Each key of a `require`, and the same `require` without it.
pub(crate) fn require_parts(require: &Require) -> Vec<(&'static str, Require)> {
    let Require {
        max_tier,
        allow_licenses,
        deny_licenses,
        min_context_tokens,
        effective,
        capabilities,
        region,
        retention,
        training_use,
        openness,
        hardware,
        local,
        min_bits,
        max_input_usd,
        max_output_usd,
        benchmarks,
        limits,
    } = require;
    let Limits { max_ttft_ms, max_tpot_ms, max_error_rate, obligations } = limits;
    let limited = |limits: Limits| Require { limits, ..require.clone() };
    let all = || require.clone();
    let parts = [
        ("license.max_tier", max_tier.is_some(), Require { max_tier: None, ..all() }),
        ("license.allow", allow_licenses.is_some(), Require { allow_licenses: None, ..all() }),
        ("license.deny", !deny_licenses.is_empty(), Require { deny_licenses: Vec::new(), ..all() }),
        ("context_tokens", min_context_tokens.is_some(), Require { min_context_tokens: None, ..all() }),
        ("context_tokens.effective", *effective, Require { effective: false, ..all() }),
        ("capabilities", !capabilities.is_empty(), Require { capabilities: Capabilities::default(), ..all() }),
        ("training_use", training_use.is_some(), Require { training_use: None, ..all() }),
        ("openness", openness.is_some(), Require { openness: None, ..all() }),
        ("hardware", hardware.is_some(), Require { hardware: None, ..all() }),
        ("local", local.is_some(), Require { local: None, ..all() }),
        ("benchmarks", !benchmarks.is_empty(), Require { benchmarks: Vec::new(), ..all() }),
        ("license.obligations", obligations.is_some(), limited(Limits { obligations: None, ..*limits })),
        ("ttft_p95_ms", max_ttft_ms.is_some(), limited(Limits { max_ttft_ms: None, ..*limits })),
        ("tpot_p95_ms", max_tpot_ms.is_some(), limited(Limits { max_tpot_ms: None, ..*limits })),
        ("error_rate", max_error_rate.is_some(), limited(Limits { max_error_rate: None, ..*limits })),
        ("region", region.is_some(), Require { region: None, ..all() }),
        ("retention", retention.is_some(), Require { retention: None, ..all() }),
        ("quantization", min_bits.is_some(), Require { min_bits: None, ..all() }),
        ("price.input_usd_per_million", max_input_usd.is_some(), Require { max_input_usd: None, ..all() }),
        ("price.output_usd_per_million", max_output_usd.is_some(), Require { max_output_usd: None, ..all() }),
    ];
    parts.into_iter().filter(|(_, present, _)| *present).map(|(key, _, without)| (key, without)).collect()
}

/// Each value of a `match` with several, left out, and each number one step up and down.
fn match_values(when: &When) -> Vec<(&'static str, String, When)> {
    let mut changed = Vec::new();
    let all = || when.clone();
    for (name, team) in shorter(&when.team) {
        changed.push(("team", name, When { team, ..all() }));
    }
    for (name, context) in shorter(&when.context) {
        changed.push(("context", name, When { context, ..all() }));
    }
    for (name, language) in shorter(&when.language) {
        changed.push(("language", name, When { language, ..all() }));
    }
    for (name, model) in shorter(&when.model) {
        changed.push(("model", name, When { model, ..all() }));
    }
    for (name, key) in shorter(&when.key) {
        changed.push(("key", name, When { key, ..all() }));
    }
    for (name, script) in shorter(&when.script) {
        changed.push(("script", name, When { script, ..all() }));
    }
    let negated = when.condition.as_ref().and_then(|condition| Condition::compile(&format!("!({condition})")).ok());
    if let Some(negated) = negated {
        let condition = Some(Arc::new(negated));
        changed.push(("when", "negated".to_owned(), When { condition, ..all() }));
    }
    for (name, needs) in fewer(when.needs) {
        changed.push(("needs", name, When { needs, ..all() }));
    }
    if let Some(range) = &when.prompt_tokens {
        let (min, max) = (*range.start(), *range.end());
        let mut ends = Vec::new();
        if min > 0 {
            ends.extend([(min - 1, max), (min + 1, max)]);
        }
        if max < u64::MAX {
            ends.extend([(min, max.saturating_sub(1)), (min, max + 1)]);
        }
        for (min, max) in ends.into_iter().filter(|(min, max)| min <= max) {
            let upper = if max == u64::MAX { "no end".to_owned() } else { max.to_string() };
            let what = format!("from {min} to {upper}");
            changed.push(("prompt_tokens", what, When { prompt_tokens: Some(min..=max), ..all() }));
        }
    }
    if let Some(stream) = when.stream {
        changed.push(("stream", format!("is {}", !stream), When { stream: Some(!stream), ..all() }));
    }
    changed
}

/// The same for a `require`: tiers and bits by one, tokens and prices by half.
fn require_values(require: &Require) -> Vec<(&'static str, String, Require)> {
    let mut changed = Vec::new();
    let all = || require.clone();
    if let Some(Spanned { value: tier, at }) = &require.max_tier {
        for other in [tier.number() - 1, tier.number() + 1].into_iter().filter_map(|n| Tier::try_from(n).ok()) {
            let what = format!("is {}", other.number());
            let max_tier = Some(Spanned { value: other, at: at.clone() });
            changed.push(("license.max_tier", what, Require { max_tier, ..all() }));
        }
    }
    if let Some(Spanned { value: local, at }) = &require.local {
        let other = Some(Spanned { value: !local, at: at.clone() });
        changed.push(("local", format!("is {}", !local), Require { local: other, ..all() }));
    }
    for (name, training_use) in shorter(&require.training_use) {
        changed.push(("training_use", name, Require { training_use, ..all() }));
    }
    for (at, (name, floor)) in require.benchmarks.iter().enumerate() {
        for score in [floor.value / 2.0, floor.value * 2.0] {
            let mut benchmarks = require.benchmarks.clone();
            benchmarks[at].1.value = score;
            changed.push(("benchmarks", format!("`{}` is {score}", name.value), Require { benchmarks, ..all() }));
        }
    }
    let licenses = require.allow_licenses.as_deref().unwrap_or_default();
    for (name, allow) in without_each(licenses) {
        changed.push(("license.allow", name, Require { allow_licenses: Some(allow), ..all() }));
    }
    for (name, deny) in without_each(&require.deny_licenses) {
        changed.push(("license.deny", name, Require { deny_licenses: deny, ..all() }));
    }
    let hardware = require.hardware.as_deref().unwrap_or_default();
    for (name, hardware) in without_each(hardware) {
        changed.push(("hardware", name, Require { hardware: Some(hardware), ..all() }));
    }
    if let Some(min) = require.min_context_tokens {
        for min in [min / 2, min.saturating_mul(2)] {
            let what = format!("is {min}");
            changed.push(("context_tokens", what, Require { min_context_tokens: Some(min), ..all() }));
        }
    }
    for (name, capabilities) in fewer(require.capabilities) {
        changed.push(("capabilities", name, Require { capabilities, ..all() }));
    }
    for (name, region) in shorter(&require.region) {
        changed.push(("region", name, Require { region, ..all() }));
    }
    for (name, retention) in shorter(&require.retention) {
        changed.push(("retention", name, Require { retention, ..all() }));
    }
    if let Some(bits) = require.min_bits {
        for bits in [(bits - 1.0).max(0.0), bits + 1.0] {
            changed.push(("quantization", format!("is {bits}"), Require { min_bits: Some(bits), ..all() }));
        }
    }
    if let Some(usd) = require.max_input_usd {
        for usd in [usd / 2.0, usd * 2.0] {
            let changed_to = Require { max_input_usd: Some(usd), ..all() };
            changed.push(("price.input_usd_per_million", format!("is {usd}"), changed_to));
        }
    }
    if let Some(usd) = require.max_output_usd {
        for usd in [usd / 2.0, usd * 2.0] {
            let changed_to = Require { max_output_usd: Some(usd), ..all() };
            changed.push(("price.output_usd_per_million", format!("is {usd}"), changed_to));
        }
    }
    changed
}

/// A list of several names without each of them.
fn shorter(names: &Option<Vec<String>>) -> Vec<(String, Option<Vec<String>>)> {
    let names = names.as_deref().filter(|names| names.len() > 1).unwrap_or_default();
    let without = |at: usize| names.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, n)| n.clone()).collect();
    names.iter().enumerate().map(|(at, name)| (format!("without `{name}`"), Some(without(at)))).collect()
}

fn without_each(names: &[Spanned<String>]) -> Vec<(String, Vec<Spanned<String>>)> {
    let names = if names.len() > 1 { names } else { &[] };
    let without = |at: usize| names.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, n)| n.clone()).collect();
    names.iter().enumerate().map(|(at, name)| (format!("without `{}`", name.value), without(at))).collect()
}

/// A set of several capabilities without each of them.
fn fewer(set: Capabilities) -> Vec<(String, Capabilities)> {
    let all: Vec<Capability> = if set.iter().count() > 1 { set.iter().collect() } else { Vec::new() };
    all.into_iter().map(|c| (format!("without `{c}`"), set.without([c].into_iter().collect()))).collect()
}

#[cfg(test)]
mod tests;
