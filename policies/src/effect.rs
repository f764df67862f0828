//! What a plan comes to, so that two plans can be compared: route, verdict, and who serves in which order.
//!
//! Scores are left out: they move with every price, and what matters is whether somebody else serves.

use serde::Serialize;

use crate::{Candidate, Facts, Snapshot, plan::plan_whole};

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Effect {
    /// The route that takes the request.
    pub route: Option<String>,
    /// `serve`, `unknown_model`, `license`, `unavailable` or `none_fits`.
    pub verdict: &'static str,
    /// Everybody who may serve, best first; no limit.
    pub candidates: Vec<Serves>,
    /// Who else gets the request, where some requests of its kind are mirrored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Serves>,
}

/// A deployment that may serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Serves {
    /// Its id.
    pub deployment: String,
    /// The catalog id of its model.
    pub model: String,
    /// The strictest tier of its licences, 1 to 5.
    pub tier: u8,
}

impl Effect {
    /// What the plan of a request comes to.
    pub fn of(facts: &Facts, snapshot: &Snapshot<'_>) -> Self {
        Self::of_plan(&plan_whole(facts, snapshot, usize::MAX), snapshot)
    }

    pub(crate) fn of_plan(plan: &crate::Plan, snapshot: &Snapshot<'_>) -> Self {
        let serves = |candidate: &Candidate| Serves {
            deployment: snapshot.deployments[candidate.deployment].id.clone(),
            model: candidate.model().to_string(),
            tier: candidate.decision().tier.number(),
        };
        Self {
            route: plan.route.as_deref().map(str::to_owned),
            verdict: plan.verdict.as_str(),
            candidates: plan.candidates.iter().map(serves).collect(),
            shadow: plan.shadow.as_ref().and_then(|shadow| shadow.candidates.first()).map(serves),
        }
    }

    /// The strictest licence tier that the request can reach; 0 where nobody serves.
    pub fn strictest_tier(&self) -> u8 {
        self.candidates.iter().chain(&self.shadow).map(|candidate| candidate.tier).max().unwrap_or(0)
    }
}
