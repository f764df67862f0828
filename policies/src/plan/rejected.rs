//! Who may not serve a request, and why.

use std::{fmt, sync::Arc};

use catalog::{Decision, Owed};

use crate::{Capability, table::Table};

/// Where one is ruled out, room is made for so many.
const MANY: usize = 64;

/// A deployment or model that may not serve the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rejected<'a> {
    /// Its index in the snapshot; `None` where nothing serves the candidate.
    pub deployment: Option<usize>,
    /// The catalog id of its model, or the candidate as the route names it.
    pub model: &'a str,
    /// Why.
    pub cause: &'a Cause,
}

/// One that is out of a list, whatever the request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Out {
    pub(crate) deployment: Option<usize>,
    pub(crate) model: Arc<str>,
    pub(crate) cause: Cause,
}

/// Deployments that one request ruled out. They may be many and are rarely looked at, so only their numbers are kept.
#[derive(Clone)]
pub(super) struct RuledOut {
    table: Arc<Table>,
    /// Deployments and causes.
    of: Vec<(u32, Cause)>,
}

/// Why a deployment may not serve a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The route's `require` keeps it out.
    Required {
        /// `required-license`, `required-region` and so on.
        code: &'static str,
        /// What it has, and what the route asks for.
        reason: Arc<str>,
    },
    /// No deployment serves it.
    NotDeployed,
    /// The caller's key may not reach it.
    OutOfScope,
    /// The prompt does not fit.
    ContextTooLong {
        /// Tokens of the prompt.
        tokens: u64,
        /// Tokens of its context window.
        limit: u64,
    },
    /// It cannot do what the request needs.
    Lacks(Capability),
    /// Its licence forbids the use.
    License(Arc<Decision>),
    /// It is not healthy.
    Unhealthy,
    /// A limit of its own is used up, by its own word.
    Throttled {
        /// For how long it takes nothing more, milliseconds.
        ms: u32,
    },
    /// As many of our requests run there as it may be given.
    Full,
    /// It takes longer than the route allows.
    Slow {
        /// `required-ttft` or `required-tpot`.
        code: &'static str,
        /// What was measured, milliseconds.
        ms: f32,
        /// What the route allows, milliseconds.
        max: f32,
    },
    /// It fails more often than the route allows.
    Failing {
        /// The share of recent attempts that failed.
        error_rate: f32,
        /// The share that the route allows.
        max: f32,
    },
    /// Its licence asks for duties that the route does not take on.
    Owes {
        /// The decision that asks for them.
        decision: Arc<Decision>,
        /// The kinds that the route takes on.
        allowed: Owed,
    },
}

impl Cause {
    /// The stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Required { code, .. } | Self::Slow { code, .. } => code,
            Self::NotDeployed => "not-deployed",
            Self::OutOfScope => "out-of-scope",
            Self::ContextTooLong { .. } => "context-too-long",
            Self::Lacks(_) => "lacks-capability",
            Self::License(_) => "license",
            Self::Unhealthy => "unhealthy",
            Self::Throttled { .. } => "throttled",
            Self::Full => "full",
            Self::Failing { .. } => "required-error-rate",
            Self::Owes { .. } => "required-obligations",
        }
    }
}

impl<'a> Rejected<'a> {
    /// The reason's stable kebab-case code.
    pub fn code(&self) -> &'static str {
        self.cause.code()
    }

    /// The reason in plain words.
    pub fn reason(&self) -> String {
        match self.cause {
            Cause::Required { reason, .. } => reason.to_string(),
            Cause::NotDeployed => "no deployment serves it".to_owned(),
            Cause::OutOfScope => "the caller's key may not use it".to_owned(),
            Cause::ContextTooLong { tokens, limit } => {
                format!("the prompt has about {tokens} tokens and its context window holds {limit}")
            }
            Cause::Lacks(capability) => format!("it lacks `{capability}`, which the request needs"),
            Cause::License(decision) => decision.reason.to_string(),
            Cause::Unhealthy => "it is not healthy now".to_owned(),
            Cause::Throttled { ms } => {
                format!("a limit of its own is used up; it says to come back in {} s", ms.div_ceil(1_000))
            }
            Cause::Full => "as many requests run there as it may be given".to_owned(),
            Cause::Slow { code: "required-ttft", ms, max } => {
                format!("its first token takes {ms:.0} ms; the route allows {max:.0}")
            }
            Cause::Slow { ms, max, .. } => format!("a token takes {ms:.0} ms; the route allows {max:.0}"),
            Cause::Failing { error_rate, max } => {
                format!(
                    "{:.0} % of its recent attempts failed; the route allows {:.0} %",
                    error_rate * 100.0,
                    max * 100.0
                )
            }
            Cause::Owes { decision, allowed } => {
                let beyond: Vec<&str> = decision.owed.beyond(*allowed).names().collect();
                let taken: Vec<&str> = allowed.names().collect();
                let taken = if taken.is_empty() { "none".to_owned() } else { taken.join(", ") };
                format!("its licence asks for {}; the route takes on {taken}", beyond.join(", "))
            }
        }
    }

    /// The licence decision, where it is the cause.
    pub fn decision(&self) -> Option<&'a Decision> {
        match self.cause {
            Cause::License(decision) | Cause::Owes { decision, .. } => Some(decision),
            _ => None,
        }
    }
}

impl Out {
    pub(crate) fn rejected(&self) -> Rejected<'_> {
        Rejected { deployment: self.deployment, model: &self.model, cause: &self.cause }
    }
}

impl RuledOut {
    pub(super) fn new(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table), of: Vec::new() }
    }

    pub(super) fn push(&mut self, deployment: u32, cause: Cause) {
        if self.of.is_empty() {
            self.of.reserve(MANY);
        }
        self.of.push((deployment, cause));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Rejected<'_>> + Clone {
        self.of.iter().map(|(deployment, cause)| {
            let deployment = *deployment as usize;
            Rejected { deployment: Some(deployment), model: self.table.model_of(deployment), cause }
        })
    }
}

impl fmt::Debug for RuledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for RuledOut {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
