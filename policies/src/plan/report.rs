//! A plan for people and programs: the same facts as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Plan, Reason, Verdict};
use crate::{AskedAs, Attempts, Queue, Reuse, Snapshot, set::Alert};

/// A plan with every name written out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// The route that took the request.
    pub route: Option<String>,
    /// The arm of its split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<ArmReport>,
    /// What became of the name that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_as: Option<AskedAs>,
    /// `serve`, `unknown_model`, `license`, `unavailable` or `none_fits`.
    pub verdict: &'static str,
    /// Why there is no candidate; empty where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Other models that could be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<String>,
    /// Who may serve, best first.
    pub candidates: Vec<CandidateReport>,
    /// How many more may serve.
    pub more: usize,
    /// Who may not.
    pub rejected: Vec<RejectedReport>,
    /// How the candidates are worked through.
    pub attempts: Attempts,
    /// How long the request may wait for somebody, where nobody is available now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<Queue>,
    /// How the answer may be given again to the same request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// Who else gets the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Box<ShadowReport>>,
    /// Routes that were passed over because their expressions were errors for the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertReport>,
}

/// A route that was passed over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertReport {
    /// The route.
    pub route: String,
    /// Why its expression was an error.
    pub why: String,
}

/// The arm that a request is on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmReport {
    /// Its name.
    pub name: String,
    /// The share of requests that are on it, 0 to 1.
    pub share: f64,
    /// What keeps a request on it: `key`, `team`, `context`, `request`, `header NAME` or `metadata NAME`.
    pub by: String,
}

/// Who gets a request beside those that may answer it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowReport {
    /// The share of requests that are mirrored, 0 to 1.
    pub share: f64,
    /// The plan of the mirrored request.
    #[serde(flatten)]
    pub plan: PlanReport,
}

/// A candidate with every name written out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateReport {
    /// From 1.
    pub rank: usize,
    /// The deployment's id.
    pub deployment: String,
    /// Where it runs.
    pub place: String,
    /// The catalog id of its model.
    pub model: String,
    /// The licence that decided.
    pub license: String,
    /// The strictest tier of its licences.
    pub tier: u8,
    /// The rule that allows the use.
    pub rule: &'static str,
    /// What the use has to do in return.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
    /// Within its stage.
    pub score: f64,
    /// The grounds of its place.
    pub why: Vec<Reason>,
}

/// A rejected deployment with every name written out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectedReport {
    /// The deployment's id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The catalog id of its model, or the candidate as the route names it.
    pub model: String,
    /// The stable code.
    pub code: &'static str,
    /// In plain words.
    pub reason: String,
}

impl From<&Alert> for AlertReport {
    fn from(alert: &Alert) -> Self {
        Self { route: alert.route.to_string(), why: alert.error.to_string() }
    }
}

impl Plan {
    /// The plan with every name written out.
    pub fn report(&self, snapshot: &Snapshot<'_>) -> PlanReport {
        let deployment = |at: usize| snapshot.deployments.get(at);
        let id = |at: usize| deployment(at).map_or_else(|| format!("#{at}"), |d| d.id.clone());
        let candidates = self.candidates.iter().enumerate().map(|(at, candidate)| CandidateReport {
            rank: at + 1,
            deployment: id(candidate.deployment),
            place: deployment(candidate.deployment).map(|d| d.place.to_string()).unwrap_or_default(),
            model: candidate.model().to_string(),
            license: candidate.decision().license.to_string(),
            tier: candidate.decision().tier.number(),
            rule: candidate.decision().rule,
            obligations: candidate.decision().obligations.iter().map(ToString::to_string).collect(),
            score: (candidate.score * 1e4).round() / 1e4,
            why: candidate.reasons(),
        });
        let rejected = self.rejected().map(|rejected| RejectedReport {
            deployment: rejected.deployment.map(id),
            model: rejected.model.to_string(),
            code: rejected.code(),
            reason: rejected.reason(),
        });
        let (why, alternatives) = self.verdict.explain();
        let route = snapshot.policies.routes.iter().find(|route| Some(&*route.name) == self.route.as_deref());
        let split = route.and_then(|route| route.split.as_deref());
        let arm = self.arm.as_deref().zip(split).map(|(arm, split)| ArmReport {
            name: arm.to_owned(),
            share: split.share(arm),
            by: split.by.to_string(),
        });
        let mirrored = self.shadow.as_ref().zip(route.and_then(|route| route.shadow.as_deref()));
        PlanReport {
            arm,
            waits: self.waits,
            reuse: self.reuse,
            alerts: self.alerts.iter().map(AlertReport::from).collect(),
            shadow: mirrored
                .map(|(plan, shadow)| Box::new(ShadowReport { share: shadow.share, plan: plan.report(snapshot) })),
            route: self.route.as_deref().map(str::to_owned),
            asked_as: self.asked_as.clone(),
            verdict: self.verdict.as_str(),
            why,
            alternatives,
            candidates: candidates.collect(),
            more: self.more,
            rejected: rejected.collect(),
            attempts: self.attempts.clone(),
        }
    }

    /// The plan as a table for people.
    pub fn explain(&self, snapshot: &Snapshot<'_>) -> String {
        self.report(snapshot).to_text()
    }
}

impl Verdict {
    /// Why there is no candidate, and what to ask for instead.
    fn explain(&self) -> (String, Vec<String>) {
        match self {
            Self::Serve => (String::new(), Vec::new()),
            Self::UnknownModel { nearest } => {
                ("no route, deployment or catalog model goes by this name".to_owned(), nearest.clone())
            }
            Self::License { decision, alternatives, .. } => {
                (format!("{} (rule {})", decision.reason, decision.rule), alternatives.clone())
            }
            Self::Unavailable { models, .. } => {
                (format!("nothing that serves {} is available now", models.join(", ")), Vec::new())
            }
            Self::NoneFits { reason, alternatives, .. } => (reason.clone(), alternatives.clone()),
        }
    }
}

impl PlanReport {
    /// As a table for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "route    {}", self.route.as_deref().unwrap_or("none"));
        if let Some(ArmReport { name, share, by }) = &self.arm {
            let _ = writeln!(text, "arm      {name}, {:.4} % of the requests, split by {by}", share * 100.0);
        }
        if let Some(AskedAs { name, alias, suffix }) = &self.asked_as {
            let by = match (alias, suffix) {
                (true, Some(suffix)) => format!(", by an alias, and its candidates ordered by `{suffix}`"),
                (true, None) => ", by an alias".to_owned(),
                (false, Some(suffix)) => format!(", and its candidates ordered by `{suffix}`"),
                (false, None) => String::new(),
            };
            let _ = writeln!(text, "asked as {}{by}", name.escape_debug());
        }
        let _ = writeln!(text, "verdict  {}", self.verdict);
        if !self.why.is_empty() {
            let _ = writeln!(text, "why      {}", self.why);
        }
        if let Some(Reuse { ttl, sampled }) = self.reuse {
            let which = if sampled { "all answers are" } else { "answers without a draw are" };
            let _ = writeln!(text, "reuse    {which} given again for {} s", ttl.as_secs());
        }
        if let Some(Queue { wait, .. }) = self.waits {
            let _ = writeln!(text, "waits    up to {} ms for one that is available", wait.as_millis());
        }
        for AlertReport { route, why } in &self.alerts {
            let _ = writeln!(text, "alert    route {route} was passed over, because its `when` was an error: {why}");
        }
        if !self.alternatives.is_empty() {
            let _ = writeln!(text, "instead  {}", self.alternatives.join(", "));
        }
        if !self.candidates.is_empty() {
            let mut rows = vec![["#", "deployment", "model", "place", "licence", "score", "why"].map(str::to_owned)];
            rows.extend(self.candidates.iter().map(|c| {
                let why: Vec<&str> = c.why.iter().map(|reason| reason.text.as_str()).collect();
                [
                    c.rank.to_string(),
                    c.deployment.clone(),
                    c.model.clone(),
                    c.place.clone(),
                    format!("{} (tier {})", c.license, c.tier),
                    format!("{:.3}", c.score),
                    why.join(", "),
                ]
            }));
            text.push('\n');
            columns(&mut text, &rows);
        }
        if self.more > 0 {
            let _ = writeln!(text, "and {} more that may serve", self.more);
        }
        if !self.rejected.is_empty() {
            let mut rows = vec![["rejected", "model", "code", "reason"].map(str::to_owned)];
            rows.extend(self.rejected.iter().map(|r| {
                let deployment = r.deployment.clone().unwrap_or_else(|| "-".to_owned());
                [deployment, r.model.clone(), r.code.to_owned(), r.reason.clone()]
            }));
            text.push('\n');
            columns(&mut text, &rows);
        }
        if let Some(ShadowReport { share, plan }) = self.shadow.as_deref() {
            let first = plan.candidates.first();
            let who = first.map_or_else(|| format!("nobody: {}", plan.why), |first| format!("`{}`", first.deployment));
            let _ = writeln!(
                text,
                "\nmirrored to {who}, {:.4} % of the requests; that answer is thrown away",
                share * 100.0
            );
        }
        text
    }
}

/// Rows under one another, each column as wide as its widest cell.
fn columns<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
