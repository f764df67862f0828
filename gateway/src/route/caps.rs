//! Waivers that carry only so many requests: counted as requests are decided, and over once they are used up.
//!
//! What was carried before a start is read from the ledger, so a cap holds over restarts and reloads. A request counts as soon as
//! one of its candidates rests on the waiver, also if another one serves it: a cap is never passed, and may be reached a little
//! early. Each gateway counts for itself. Without a capped waiver nothing is read or counted.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use catalog::Catalog;
use ledger::ReadError;
use policies::{Plan, Verdict};

use crate::settle::record::Decision;

/// The code of the refusal.
pub const USED_UP: &str = "waiver-used-up";

/// The waivers of a configuration that have a cap.
#[derive(Debug, Default)]
pub struct Caps(Vec<Cap>);

#[derive(Clone, Debug)]
struct Cap {
    waiver: String,
    most: u64,
    carried: Arc<AtomicU64>,
}

impl Caps {
    /// Those of a catalog; what each has carried comes from `previous`, or from the ledger in `folder`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new(catalog: &Catalog, folder: &Path, previous: Option<&Self>) -> Result<Self, ReadError> {
        let capped = catalog.waivers().filter_map(|waiver| Some((waiver.id.clone(), waiver.at_most_requests?)));
        let mut caps = Vec::new();
        let mut unknown = Vec::new();
        for (waiver, most) in capped {
            let known = previous.and_then(|previous| previous.0.iter().find(|cap| cap.waiver == waiver));
            let carried = known.map_or_else(Arc::default, |cap| Arc::clone(&cap.carried));
            let cap = Cap { waiver, most, carried };
            if known.is_none() {
                unknown.push(cap.clone());
            }
            caps.push(cap);
        }
        if !unknown.is_empty() && folder.is_dir() {
            for record in ledger::read(folder)? {
                count(&record?.1, &unknown);
            }
        }
        Ok(Self(caps))
    }

    /// Counts a request for the waivers that its candidates rest on, and takes those candidates away that rest on one that is
    /// used up.
    pub fn hold(&self, plan: &mut Plan) {
        for cap in &self.0 {
            let rests =
                |candidate: &policies::Candidate| candidate.decision().rests_on.iter().any(|id| **id == *cap.waiver);
            if plan.verdict != Verdict::Serve || !plan.reached().any(rests) {
                continue;
            }
            let taken =
                cap.carried.fetch_update(Relaxed, Relaxed, |carried| (carried < cap.most).then_some(carried + 1));
            if taken.is_ok() {
                continue;
            }
            plan.candidates.retain(|candidate| !rests(candidate));
            plan.shadow.take_if(|shadow| shadow.candidates.iter().any(rests));
            if plan.candidates.is_empty() {
                let reason =
                    format!("the waiver `{}` has carried the {} requests that it may carry", cap.waiver, cap.most);
                plan.verdict = Verdict::NoneFits { code: USED_UP, reason, alternatives: Vec::new() };
            }
        }
    }
}

/// Counts a record of a request that was let through.
fn count(record: &[u8], caps: &[Cap]) {
    let text = String::from_utf8_lossy(record);
    if !caps.iter().any(|cap| text.contains(&cap.waiver)) {
        return;
    }
    let Ok(decision) = serde_json::from_slice::<Decision<'_>>(record) else { return };
    if decision.kind != "decision" || decision.verdict != "serve" {
        return;
    }
    for cap in caps {
        let rests = decision.candidates.iter().any(|candidate| candidate.rests_on.iter().any(|id| **id == *cap.waiver));
        cap.carried.fetch_add(u64::from(rests), Relaxed);
    }
}
