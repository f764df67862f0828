//! What holds in every cell, whatever the table says.
//!
//! - The caller gets exactly one of: a whole answer, an error, or some of an answer and one error after it.
//! - What it gets is well formed, and a finish reason is one that the upstream gave.
//! - While nothing has reached the caller, a healthy second candidate answers; it is not asked after that, nor where the
//!   host says that the request itself is wrong.
//! - The ledger has one decision and one outcome, which says what the caller saw.
//! - Nothing is left open at the upstream.

use scripted::{Fault, Recorded};
use serde_json::Value;

use crate::{
    bed::SECOND,
    cell::{Cell, PROMPT},
    saw::{Response, Saw},
};

/// What is known of one request.
pub struct Evidence<'a> {
    pub cell: &'a Cell,
    pub response: &'a Response,
    pub saw: Result<Saw, String>,
    /// Records of the ledger of this request, by kind.
    pub decisions: usize,
    pub outcomes: Vec<&'a Value>,
    /// Requests that reached the failing host, and the healthy one.
    pub first: Vec<&'a Recorded>,
    pub second: Vec<&'a Recorded>,
}

impl Evidence<'_> {
    /// The promises that are broken.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut held = |holds: bool, promise: &str| {
            if !holds {
                broken.push(promise.to_owned());
            }
        };
        match &self.saw {
            Err(malformed) => held(false, malformed),
            Ok(saw) => {
                self.honest(saw, &mut held);
                self.recorded(saw, &mut held);
                self.failed_over(saw, &mut held);
            }
        }
        held(self.first.len() <= 1 && self.second.len() <= 1, "each candidate is asked at most once");
        let asked = self.first.iter().chain(&self.second);
        held(asked.clone().all(|request| request.end.is_some()), "nothing is left open at the upstream");
        broken
    }

    fn honest(&self, saw: &Saw, held: &mut impl FnMut(bool, &str)) {
        let whole = format!("scripted answer to: {PROMPT}");
        match saw {
            Saw::Answer { text, finish } => {
                held(*text == whole, "an answer is whole");
                let given = if self.by_first() { self.cell.finish_given() } else { Some("stop") };
                held(finish.as_deref() == given, "an answer has the finish reason that was given");
            }
            Saw::Broken { text, finish, .. } => {
                held(!text.is_empty(), "an answer that breaks off has begun");
                held(
                    whole.starts_with(text.as_str()) || self.cell.fault.starts_with("fault-endless"),
                    "what came of an answer is its beginning",
                );
                held(finish.is_none(), "an answer that breaks off has no finish reason");
            }
            Saw::Refused { status, .. } => held((400..600).contains(status), "an error has an error's status"),
        }
    }

    fn recorded(&self, saw: &Saw, held: &mut impl FnMut(bool, &str)) {
        held(self.decisions == 1, "there is one decision");
        let [outcome] = self.outcomes[..] else { return held(false, "there is one outcome") };
        let status = match saw {
            Saw::Answer { .. } => "completed",
            Saw::Broken { .. } => "broken",
            Saw::Refused { .. } => "failed",
        };
        held(outcome["status"] == status, "the outcome has the status that the caller saw");
        held(outcome["http"] == self.response.status, "the outcome has the HTTP status that the caller saw");
        // A host's own word for the caller's mistake is the host's to choose.
        let code = saw.error().map(|error| error.code.as_str());
        held(outcome["error"].as_str() == code, "the outcome has the code that the caller saw");
        held(outcome["deployment"].as_str() == self.response.deployment.as_deref(), "both name one deployment");
        let tried = outcome["tried"].as_array().map(Vec::as_slice).unwrap_or_default();
        let committed = tried.last().is_some_and(|attempt| attempt["error"].is_null());
        held(committed == !matches!(saw, Saw::Refused { .. }), "the last attempt is the one that answers");
        let earlier = tried.iter().rev().skip(1);
        held(earlier.clone().all(|attempt| attempt["error"].is_string()), "the attempts before it failed");
        if committed {
            held(tried.last().map(|attempt| &attempt["deployment"]) == Some(&outcome["deployment"]), "it is named");
        }
        let asked = |id: &str| tried.iter().any(|attempt| attempt["deployment"] == id);
        held(asked(SECOND) != self.second.is_empty(), "an attempt is recorded where the host was asked");
        held(asked(&self.cell.first()), "the first candidate is tried first");
    }

    fn failed_over(&self, saw: &Saw, held: &mut impl FnMut(bool, &str)) {
        if !self.cell.second {
            return held(self.second.is_empty(), "a candidate that the route does not name is not asked");
        }
        match saw {
            Saw::Refused { .. } => {
                held(self.cell.is_callers_own(), "the second candidate answers while nothing has reached the caller");
                held(self.second.is_empty(), "nobody else is asked what is wrong in itself");
            }
            Saw::Broken { .. } => held(self.second.is_empty(), "nobody is asked once something reached the caller"),
            Saw::Answer { .. } => held(self.by_first() == self.second.is_empty(), "who answers is who was asked last"),
        }
    }

    fn by_first(&self) -> bool {
        self.response.deployment.as_deref() == Some(&self.cell.first())
    }
}

impl Cell {
    /// Whether the host says that the request itself is wrong.
    fn is_callers_own(&self) -> bool {
        matches!(self.fault.parse(), Ok(Fault::Status(400 | 409 | 422, _) | Fault::ErrorFirst(400)))
    }

    /// The finish reason of the first candidate's answer.
    fn finish_given(&self) -> Option<&'static str> {
        (self.fault != "fault-no-finish").then_some("stop")
    }
}
