//! Who serves a request, in which order, and why: the one function behind serving, `explain`, tests and audit.
//!
//! A candidate must meet what the route requires (checked when it was compiled), what the request needs, what the
//! licence allows for this use, and be healthy. Those left are ordered by stage, then by score. Nothing here reads a
//! clock or does I/O: the same facts and snapshot give the same plan.

mod limits;
mod rejected;
mod report;
mod score;
mod verdict;

use std::sync::Arc;

use catalog::{Decision, Outcome};

use crate::{
    AskedAs, Attempts, Capabilities, Facts, Live, Queue, Reuse, Scope, Snapshot,
    eligible::{Able, Allowed, Eligible},
    route::Prefer,
    set::{Alert, Entry, Found, Route, Shadow},
    split::within,
};

use rejected::RuledOut;
use score::{Asked, Fits};

pub(crate) use rejected::Out;
pub use rejected::{Cause, Rejected};
pub use report::{AlertReport, ArmReport, CandidateReport, PlanReport, RejectedReport, ShadowReport};
pub use score::{Factor, Reason, Score};
pub use verdict::Verdict;

/// The most candidates that a plan lists, and so the most attempts of a request.
pub const MAX_CANDIDATES: usize = 16;

/// Who serves a request, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The route that took the request; `direct` where a model was asked for by its own name.
    pub route: Option<Arc<str>>,
    /// The arm of the route's split that the request is on.
    pub arm: Option<Arc<str>>,
    /// What became of the name that was asked for, where an alias or a suffix was applied to it.
    pub asked_as: Option<AskedAs>,
    /// Who may serve it, best first; at most [`MAX_CANDIDATES`], among them the last resort and, as far as there is room,
    /// the best of each place.
    pub candidates: Vec<Candidate>,
    /// How many more may serve it.
    pub more: usize,
    /// How they are worked through.
    pub attempts: Attempts,
    /// Whether there is a candidate, and else why not.
    pub verdict: Verdict,
    /// Where nobody is available now: how long the request may wait for somebody.
    pub waits: Option<Queue>,
    /// How the answer may be given again to the same request; never where it is `None`.
    pub reuse: Option<Reuse>,
    /// Who else gets the request, where it is mirrored: a plan of its own, of one candidate at most and without another
    /// shadow. Its answer is thrown away.
    pub shadow: Option<Box<Plan>>,
    /// Routes that did not take the request because their expressions were errors for it.
    pub alerts: Vec<Alert>,
    /// Those that no request of its kind can use: they lack what it needs, or their licences forbid the use.
    barred: Arc<[Out]>,
    /// Others that this request, its licences or their health ruled out.
    ruled_out: RuledOut,
    /// Those that no request on this route can use.
    never: Arc<[Out]>,
    /// Those likewise of the list that it degrades to, where that was asked.
    never_instead: Arc<[Out]>,
}

/// A model that may be used, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Licensed {
    pub(crate) model: Arc<str>,
    pub(crate) decision: Arc<Decision>,
}

/// A deployment that may serve the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its index in the snapshot.
    pub deployment: usize,
    /// Its model: one thing to count holders of, where there would be two.
    licensed: Arc<Licensed>,
    /// How it was ranked within its stage; higher is better.
    pub score: f64,
    /// Its group in the plan's attempts.
    pub group: Option<u8>,
    /// What the request asks and it lacks, and what the route lets the request be sent without.
    pub leaves_out: Capabilities,
    /// What the score was made of.
    pub made_of: Score,
}

impl Candidate {
    /// The catalog id of its model.
    pub fn model(&self) -> &Arc<str> {
        &self.licensed.model
    }

    /// Why its licence allows the use, and what it asks for.
    pub fn decision(&self) -> &Arc<Decision> {
        &self.licensed.decision
    }
}

impl Plan {
    /// Everything that was considered and may not serve.
    pub fn rejected(&self) -> impl Iterator<Item = Rejected<'_>> {
        let never = self.never.iter().chain(self.never_instead.iter());
        self.barred.iter().map(Out::rejected).chain(self.ruled_out.iter()).chain(never.map(Out::rejected))
    }

    /// Everybody who may get the request, the one that it is mirrored to last.
    pub fn reached(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().chain(self.shadow.iter().flat_map(|shadow| &shadow.candidates))
    }

    /// A plan without candidates.
    fn refused(found: &Found<'_>, ruled_out: RuledOut, verdict: Verdict) -> Self {
        let route = found.route;
        Self {
            asked_as: found.name.asked_as(),
            route: route.map(|route| route.name.clone()),
            arm: None,
            candidates: Vec::new(),
            more: 0,
            attempts: route.map_or_else(Attempts::default, |route| route.attempts.clone()),
            verdict,
            waits: None,
            reuse: None,
            shadow: None,
            alerts: found.alerts.clone(),
            barred: Arc::default(),
            ruled_out,
            never: route.map(|route| route.listed.out.clone()).unwrap_or_default(),
            never_instead: Arc::default(),
        }
    }
}

/// Who serves a request, and why. Lists [`MAX_CANDIDATES`]; no request is attempted more often.
pub fn plan(facts: &Facts, snapshot: &Snapshot<'_>) -> Plan {
    plan_whole(facts, snapshot, MAX_CANDIDATES)
}

/// The same with as many candidates as the caller wants to see.
pub(crate) fn plan_whole(facts: &Facts, snapshot: &Snapshot<'_>, keep: usize) -> Plan {
    let needs = facts.needs.capabilities();
    let table = &snapshot.policies.table;
    let found = snapshot.policies.route(snapshot.catalog, facts, needs);
    let Some(route) = found.route else {
        return Plan::refused(&found, RuledOut::new(table), verdict::without_route(found.name.name, facts, snapshot));
    };
    if facts.scope.as_ref().is_some_and(|scope| !scope.takes(&route.name)) {
        return Plan::refused(&found, RuledOut::new(table), verdict::route_out_of_scope(route, facts, snapshot));
    }
    if let Some(suffix) = found.refused_suffix() {
        return Plan::refused(&found, RuledOut::new(table), verdict::suffix_refused(route, found.name.name, suffix));
    }
    let arm = route.split.as_deref().map(|split| split.arm(&route.name, facts));
    let listed = arm.map_or(&route.listed, |arm| &arm.listed);
    let mut never_instead: Arc<[Out]> = Arc::default();
    let mut asking = Asking::new(facts, snapshot, route, found.prefer(route));
    let eligible = asking.eligible(&listed.entries);
    asking.ask(&eligible);
    // Rarely any: a rule of the company's own turned the request away from a candidate, and names others.
    if !route.spare.is_empty() && asking.diverted() {
        let spare = asking.eligible(&route.spare);
        for entry in &route.spare {
            let row = &table.rows[entry.row as usize];
            let model = &table.served(row).id;
            let asked = |rejected: Rejected<'_>| rejected.decision().is_some_and(|it| it.alternatives.contains(model));
            if asking.rejected().any(asked) {
                asking.ask_some(&spare, |deployment| deployment == row.deployment);
            }
        }
    }
    if asking.fit.is_empty() {
        if let Some(degraded) = &route.degraded {
            never_instead = degraded.out.clone();
            // A rule of the company may have asked some already.
            let asked: Vec<usize> = asking.rejected().filter_map(|rejected| rejected.deployment).collect();
            let degraded = asking.eligible(&degraded.entries);
            asking.ask_some(&degraded, |deployment| !asked.contains(&deployment));
        }
        if asking.fit.is_empty() {
            let never = listed.out.iter().chain(never_instead.iter());
            let verdict = verdict::without_candidate(facts, snapshot, asking.rejected(), never.map(Out::rejected));
            return Plan {
                arm: arm.map(|arm| arm.name.clone()),
                waits: route.queue.filter(|_| matches!(verdict, Verdict::Unavailable { .. })),
                barred: asking.barred,
                never: listed.out.clone(),
                never_instead,
                ..Plan::refused(&found, asking.ruled_out, verdict)
            };
        }
    }
    let candidates = asking.ordered(keep);
    let more = asking.fit.len() - candidates.len();
    let shadow = route.shadow.as_deref().filter(|shadow| within(shadow.share, facts.draw));
    let shadow = shadow.map(|shadow| Box::new(mirrored(shadow, candidates[0].deployment, &found, &asking)));
    Plan {
        route: Some(route.name.clone()),
        arm: arm.map(|arm| arm.name.clone()),
        asked_as: found.name.asked_as(),
        more,
        candidates,
        attempts: route.attempts.clone(),
        verdict: Verdict::Serve,
        waits: None,
        reuse: route.reuse,
        shadow,
        alerts: found.alerts,
        barred: asking.barred,
        ruled_out: asking.ruled_out,
        never: listed.out.clone(),
        never_instead,
    }
}

/// Who gets a request beside the one that is asked first, `first`; that one gets it anyway.
fn mirrored(shadow: &Shadow, first: usize, found: &Found<'_>, first_asked: &Asking<'_>) -> Plan {
    let Terms { facts, snapshot, route, .. } = first_asked.terms;
    let mut asking = Asking::new(facts, snapshot, route, found.prefer(route));
    let eligible = asking.eligible(&shadow.listed.entries);
    asking.ask_some(&eligible, |deployment| deployment != first);
    let mut candidates = match asking.fit.is_empty() {
        true => Vec::new(),
        false => asking.ordered(MAX_CANDIDATES),
    };
    candidates.truncate(1);
    let more = asking.fit.len() - candidates.len();
    let verdict = match candidates.is_empty() {
        true => {
            let never = shadow.listed.out.iter().map(Out::rejected);
            verdict::without_candidate(facts, snapshot, asking.rejected(), never)
        }
        false => Verdict::Serve,
    };
    Plan {
        candidates,
        more,
        attempts: Attempts { max: 1, groups: Arc::default(), ..route.attempts.clone() },
        never: shadow.listed.out.clone(),
        alerts: Vec::new(),
        ..Plan::refused(found, asking.ruled_out, verdict)
    }
}

/// What one request on a route asks of a deployment.
struct Terms<'a> {
    facts: &'a Facts,
    /// What a candidate has to be able to do.
    needs: Capabilities,
    snapshot: &'a Snapshot<'a>,
    route: &'a Route,
    /// What the caller may reach, where that is not everything.
    scope: Option<&'a Scope>,
    allowed: Allowed<'a>,
}

/// The deployments of one route, asked for one request.
struct Asking<'a> {
    terms: Terms<'a>,
    asked: Asked<'a>,
    /// Those that may serve.
    fit: Fits,
    /// Those of the list that was asked whole that may serve no request of this kind.
    barred: Arc<[Out]>,
    /// Others that may not serve.
    ruled_out: RuledOut,
}

impl Terms<'_> {
    /// Whether the caller may reach a deployment.
    fn reaches(&self, deployment: usize, model: &str) -> bool {
        let id = || self.snapshot.deployments.get(deployment).map(|deployment| deployment.id.as_str());
        self.scope.is_none_or(|scope| scope.reaches(id(), model))
    }

    /// Why one is out, as it is told: of what the caller may not reach, that comes before every other reason.
    fn scoped(&self, out: &Out) -> Cause {
        let reached = out.deployment.is_none_or(|deployment| self.reaches(deployment, &out.model));
        if reached { out.cause.clone() } else { Cause::OutOfScope }
    }

    /// Why a deployment does not serve this request, now; `None` where it does.
    fn cause(&self, able: &Able, live: &Live) -> Option<Cause> {
        let model = || &*able.served(&self.snapshot.policies.table).id;
        if self.scope.is_some() && !self.reaches(able.deployment as usize, model()) {
            return Some(Cause::OutOfScope);
        }
        let limit = able.context_tokens;
        if self.facts.prompt_tokens >= limit && limit != u64::MAX {
            return Some(Cause::ContextTooLong { tokens: self.facts.prompt_tokens, limit });
        }
        let Some(limits) = self.route.limits.as_ref() else { return unavailable(live) };
        // How it is now comes last, so that a deployment counts as down only where it would otherwise have served.
        limits::owes(limits, || self.allowed.decision(&self.snapshot.policies.table.rows[able.row as usize]))
            .or_else(|| unavailable(live))
            .or_else(|| limits::unmet(limits, live))
    }
}

impl<'a> Asking<'a> {
    fn new(facts: &'a Facts, snapshot: &'a Snapshot<'a>, route: &'a Route, prefer: Option<Prefer>) -> Self {
        let needs = facts.needs.required();
        let allowed = Allowed::new(facts, snapshot);
        let asked = Asked::new(facts, prefer, needs.common(route.leave_out), snapshot);
        let needs = needs.without(route.leave_out);
        let scope = facts.scope.as_deref().filter(|scope| !scope.models.is_empty());
        let terms = Terms { facts, needs, snapshot, route, scope, allowed };
        let (fit, barred) = Default::default();
        Self { terms, asked, fit, barred, ruled_out: RuledOut::new(&snapshot.policies.table) }
    }

    /// Who of a list may serve requests of this kind.
    fn eligible(&self, entries: &[Entry]) -> Arc<Eligible> {
        let Terms { facts, needs, snapshot, allowed, .. } = &self.terms;
        snapshot.policies.memo.of(entries, *needs, allowed, facts.today)
    }

    /// Asks a whole list.
    fn ask(&mut self, list: &Arc<Eligible>) {
        self.barred = match self.terms.scope {
            None => Arc::clone(&list.out),
            Some(_) => list.out.iter().map(|out| Out { cause: self.terms.scoped(out), ..out.clone() }).collect(),
        };
        self.ask_each(list, |_| true);
    }

    /// Asks those deployments of another list that are wanted.
    fn ask_some(&mut self, list: &Arc<Eligible>, wanted: impl Fn(usize) -> bool) {
        for out in &*list.out {
            if let Some(deployment) = out.deployment.filter(|deployment| wanted(*deployment)) {
                self.ruled_out.push(deployment as u32, self.terms.scoped(out));
            }
        }
        self.ask_each(list, wanted);
    }

    fn ask_each(&mut self, list: &Arc<Eligible>, wanted: impl Fn(usize) -> bool) {
        let Self { terms, asked, fit, ruled_out, .. } = self;
        let plain = terms.route.limits.is_none() && terms.scope.is_none();
        fit.add(asked, list, |able| {
            let deployment = able.deployment as usize;
            if !wanted(deployment) {
                return None;
            }
            let live = terms.snapshot.live.get(deployment).unwrap_or(&Live::UNMEASURED);
            // A prompt that fills the window leaves no room for an answer.
            let fits = terms.facts.prompt_tokens < able.context_tokens;
            if plain && fits && takes_more(live) {
                return Some(live);
            }
            let Some(cause) = terms.cause(able, live) else { return Some(live) };
            ruled_out.push(able.deployment, cause);
            None
        });
    }

    /// All that were asked and may not serve.
    fn rejected(&self) -> impl Iterator<Item = Rejected<'_>> + Clone {
        self.barred.iter().map(Out::rejected).chain(self.ruled_out.iter())
    }

    /// Whether a rule of the company names others than one of those that were asked.
    fn diverted(&self) -> bool {
        let route = |cause: &Cause| matches!(cause, Cause::License(decision) if decision.outcome == Outcome::Route);
        self.rejected().any(|rejected| route(rejected.cause))
    }

    /// At most `keep` of those that may serve, in order.
    fn ordered(&mut self, keep: usize) -> Vec<Candidate> {
        self.asked.order(&mut self.fit, keep)
    }
}

/// Whether a deployment takes requests now: asked of hundreds first, as it is cheaper than the reason.
#[inline]
fn takes_more(live: &Live) -> bool {
    unavailable(live).is_none()
}

/// Why a deployment takes no requests now; `None` where it does.
#[inline]
fn unavailable(live: &Live) -> Option<Cause> {
    match live {
        Live { healthy: false, .. } => Some(Cause::Unhealthy),
        Live { throttled_ms: 1.., .. } => Some(Cause::Throttled { ms: live.throttled_ms }),
        Live { full: true, .. } => Some(Cause::Full),
        _ => None,
    }
}
