//! Claims about every request there can be, proved by looking at all of them.
//!
//! A [`Claim`] is held against every cell (see [`Cells`]) and every candidate of each cell's plan, not only the first, since
//! fallback reaches them all. What is not known of a deployment speaks against the claim: a place whose region nobody
//! stated may be in the one that the claim forbids.
//!
//! `no S reaches O` holds if no request of S has a candidate that is O. `every S reaches O` holds if each request of S has
//! at least one, and `every S reaches only O` if it has no other; a name that nobody knows is not counted there. With
//! `without a waiver`, what rests on a waiver does not count as reached (and alike for attestations and agreements).

use std::collections::HashMap;

use catalog::{Catalog, Date, Decision};
use serde::Serialize;

use crate::{
    Caller, Candidate, Cell, Cells, Claim, ClaimError, Deployment, Example, Only, Place, Plan, Snapshot, Verdict,
    claim::{Ground, Object, Quantity, Subject},
    diag::nearest,
    plan::plan_whole,
};

/// Counterexamples that differ in caller or deployment and are kept; more are only counted.
const MAX_KEPT: usize = 1_000;

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// The claim.
    pub claim: String,
    /// Whether it holds.
    pub holds: bool,
    /// How many kinds of request it speaks of.
    pub cells: usize,
    /// How many candidates were looked at.
    pub candidates: usize,
    /// How many kinds of request speak against it.
    pub against: usize,
    /// What speaks against it, each caller and deployment once.
    pub counterexamples: Vec<Counterexample>,
    /// What the reader should know: the claim may hold for an idle reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A kind of request that speaks against a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counterexample {
    /// The request.
    pub request: Example,
    /// How many alike: of the same caller, by the same deployment.
    pub cells: usize,
    /// The route that takes it.
    pub route: Option<String>,
    /// Who is reached, or should not be; none where nobody fitting is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Reached>,
    /// In plain words.
    pub why: String,
}

/// A candidate that speaks against a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// From 1: its place in the plan; the one that requests are mirrored to comes after the candidates.
    pub rank: usize,
    /// The deployment.
    pub deployment: String,
    /// The catalog id of its model.
    pub model: String,
    /// Where it runs.
    pub place: String,
    /// Its region, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The licence decision.
    pub decision: Decision,
}

/// Whether a candidate is what a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Yes,
    No,
    NotKnown,
}

/// Holds a claim against every cell and candidate, for these callers on the day `today`.
///
/// # Errors
/// The claim names what there is not, or there are too many cells.
pub fn prove(
    claim: &Claim,
    snapshot: &Snapshot<'_>,
    callers: &[Caller],
    today: Date,
    only: &Only,
) -> Result<Proof, ClaimError> {
    let claim = claim.resolved(snapshot, callers)?;
    let cells = Cells::new(&[snapshot], callers, today, only)?;
    let mut proof = Proof {
        claim: claim.text.clone(),
        holds: true,
        cells: 0,
        candidates: 0,
        against: 0,
        counterexamples: Vec::new(),
        notes: Vec::new(),
    };
    let mut known: HashMap<(usize, Option<usize>), usize> = HashMap::new();
    for cell in cells.iter().filter(|cell| claim.speaks_of(&callers[cell.caller])) {
        let plan = plan_whole(&cell.facts, snapshot, usize::MAX);
        if claim.quantity != Quantity::No && matches!(plan.verdict, Verdict::UnknownModel { .. }) {
            continue;
        }
        proof.cells += 1;
        proof.candidates += plan.reached().count();
        let found = claim.against(&plan, snapshot);
        proof.against += usize::from(!found.is_empty());
        for against in found {
            let key =
                (cell.caller, against.and_then(|at| plan.reached().nth(at)).map(|candidate| candidate.deployment));
            match known.get(&key) {
                Some(at) => proof.counterexamples[*at].cells += 1,
                None if proof.counterexamples.len() < MAX_KEPT => {
                    known.insert(key, proof.counterexamples.len());
                    proof.counterexamples.push(claim.counterexample(&cell, &plan, against, snapshot));
                }
                None => {}
            }
        }
    }
    proof.holds = proof.against == 0;
    if proof.cells == 0 {
        proof.notes.push("no request is of the kind that the claim speaks of".to_owned());
    }
    if let Object::Region(region) = &claim.object
        && !snapshot.deployments.iter().any(|d| is_in(d, region) == Is::Yes)
    {
        proof.notes.push(format!("no deployment is known to be in the region `{}`", region.escape_debug()));
    }
    Ok(proof)
}

impl Claim {
    /// The claim with the catalog's own ids.
    fn resolved(&self, snapshot: &Snapshot<'_>, callers: &[Caller]) -> Result<Self, ClaimError> {
        let catalog = snapshot.catalog;
        let known = |there: bool, what, name: &String, names: &mut dyn Iterator<Item = &str>| match there {
            true => Ok(()),
            false => {
                let near = nearest(name, names).map(str::to_owned);
                Err(ClaimError::Unknown { what, name: name.clone(), near })
            }
        };
        let teams = || callers.iter().filter_map(|caller| caller.team.as_deref());
        let contexts = || callers.iter().filter_map(|caller| caller.context.as_deref());
        match &self.subject {
            Subject::Team(name) => known(teams().any(|team| team == name), "team", name, &mut teams())?,
            Subject::Context(name) => known(contexts().any(|c| c == name), "context", name, &mut contexts())?,
            Subject::Request | Subject::Purpose(_) => {}
        }
        let mut claim = self.clone();
        match &mut claim.object {
            Object::Model(name) => match catalog.resolve(name) {
                Some(model) => name.clone_from(&model.id),
                None => {
                    let near = catalog.nearest(name, 1).first().map(|near| (*near).to_owned());
                    return Err(ClaimError::Unknown { what: "model", name: name.clone(), near });
                }
            },
            Object::License(id) => {
                let mut ids = catalog.licenses().map(|license| license.id.as_str());
                known(catalog.license(id).is_some(), "licence", id, &mut ids)?;
            }
            Object::Host(id) => {
                let mut ids = catalog.hosts().map(|host| host.id.as_str());
                known(catalog.host(id).is_some(), "host", id, &mut ids)?;
            }
            Object::Family(id) => {
                let families = || catalog.models().map(|model| model.family.as_str());
                known(families().any(|family| family == id), "model family", id, &mut families())?;
            }
            Object::TierAtLeast(_) | Object::TierAtMost(_) | Object::Region(_) => {}
        }
        Ok(claim)
    }

    fn speaks_of(&self, caller: &Caller) -> bool {
        match &self.subject {
            Subject::Request => true,
            Subject::Team(name) => caller.team.as_ref() == Some(name),
            Subject::Context(name) => caller.context.as_ref() == Some(name),
            Subject::Purpose(purpose) => caller.use_.purpose == *purpose,
        }
    }

    /// What of a plan speaks against the claim: candidates by their places, or `None` for the lack of a fitting one.
    fn against(&self, plan: &Plan, snapshot: &Snapshot<'_>) -> Vec<Option<usize>> {
        let is = |candidate: &Candidate| self.is(candidate, snapshot);
        let excused = |candidate: &Candidate| {
            self.without.is_some_and(|ground| ground.carries(candidate.decision(), snapshot.catalog))
        };
        let at = |against: &dyn Fn(&Candidate) -> bool| {
            plan.reached().enumerate().filter(|(_, c)| against(c)).map(|(at, _)| Some(at)).collect()
        };
        match self.quantity {
            Quantity::No => at(&|candidate| is(candidate) != Is::No && !excused(candidate)),
            Quantity::EveryOnly => at(&|candidate| is(candidate) != Is::Yes),
            Quantity::Every if plan.candidates.iter().any(|c| is(c) == Is::Yes && !excused(c)) => Vec::new(),
            Quantity::Every => vec![None],
        }
    }

    fn is(&self, candidate: &Candidate, snapshot: &Snapshot<'_>) -> Is {
        let deployment = &snapshot.deployments[candidate.deployment];
        let model = || snapshot.catalog.model(candidate.model());
        let tier = candidate.decision().tier.number();
        let yes = match &self.object {
            Object::TierAtLeast(least) => tier >= *least,
            Object::TierAtMost(most) => tier <= *most,
            Object::License(id) => {
                let bound = model().is_some_and(|m| snapshot.catalog.licenses_of(m).iter().any(|l| **l == **id));
                bound || *candidate.decision().license == **id
            }
            Object::Model(id) => **candidate.model() == **id,
            Object::Family(id) => model().is_some_and(|model| model.family == *id),
            Object::Host(id) => matches!(&deployment.place, Place::Host(host) if host == id),
            Object::Region(region) => return is_in(deployment, region),
        };
        if yes { Is::Yes } else { Is::No }
    }

    fn counterexample(
        &self,
        cell: &Cell,
        plan: &Plan,
        against: Option<usize>,
        snapshot: &Snapshot<'_>,
    ) -> Counterexample {
        let candidate = against.and_then(|at| {
            let candidate = plan.reached().nth(at)?;
            let deployment = &snapshot.deployments[candidate.deployment];
            Some(Reached {
                rank: at + 1,
                deployment: deployment.id.clone(),
                model: candidate.model().to_string(),
                place: deployment.place.to_string(),
                region: deployment.region.clone(),
                decision: (**candidate.decision()).clone(),
            })
        });
        let why = match against.and_then(|at| plan.reached().nth(at)) {
            Some(candidate) if self.is(candidate, snapshot) == Is::NotKnown => {
                "its region is not known, so it may be the one that the claim speaks of".to_owned()
            }
            Some(candidate) => candidate.decision().reason.to_string(),
            None if plan.candidates.is_empty() => {
                format!("nobody serves it: the verdict is `{}`", plan.verdict.as_str())
            }
            None => format!("none of its {} candidates fits", plan.candidates.len()),
        };
        let route = plan.route.as_deref().map(str::to_owned);
        Counterexample { request: (&cell.facts).into(), cells: 1, route, candidate, why }
    }
}

impl Ground {
    /// Whether a decision rests on such a ground.
    fn carries(self, decision: &Decision, catalog: &Catalog) -> bool {
        let rests_on = |id: &str| decision.rests_on.iter().any(|known| **known == *id);
        match self {
            Self::Waiver => catalog.waivers().any(|row| rests_on(&row.id)),
            Self::Attestation => catalog.attestations().any(|row| rests_on(&row.id)),
            Self::Agreement => catalog.agreements().any(|row| rests_on(&row.id)),
        }
    }
}

/// Whether a deployment is in a region. This machine is in its own, `local`, and in the one that it was said to be in.
fn is_in(deployment: &Deployment, region: &str) -> Is {
    let local = matches!(deployment.place, Place::Local { .. });
    match deployment.region.as_deref() {
        _ if local && region == "local" => Is::Yes,
        Some(known) if known == region => Is::Yes,
        None if !local => Is::NotKnown,
        _ => Is::No,
    }
}
