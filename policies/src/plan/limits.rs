//! What a route asks of a deployment at the moment of a request: how fast it was, how often it failed, and which duties
//! its licence brings for this use.
//!
//! A time that was not measured yet passes, or else it would never be measured. An error rate that is no number
//! counts as 1.

use std::sync::Arc;

use catalog::Decision;

use super::Cause;
use crate::{Live, route::Limits};

/// Why a deployment is out, as it is now.
pub(super) fn unmet(limits: &Limits, live: &Live) -> Option<Cause> {
    let times =
        [("required-ttft", limits.max_ttft_ms, ttft_ms(live)), ("required-tpot", limits.max_tpot_ms, tpot_ms(live))];
    for (code, max, measured) in times {
        // As in the score, what is no number was not measured.
        if let (Some(max), Some(ms)) = (max, measured.filter(|ms| ms.is_finite()))
            && ms > max
        {
            return Some(Cause::Slow { code, ms, max });
        }
    }
    let max = limits.max_error_rate?;
    let error_rate = if live.error_rate.is_nan() { 1.0 } else { live.error_rate };
    (error_rate > max).then_some(Cause::Failing { error_rate, max })
}

/// Why a deployment is out under its licence: the duties go beyond those that the route allows.
pub(super) fn owes(limits: &Limits, decision: impl FnOnce() -> Arc<Decision>) -> Option<Cause> {
    let allowed = limits.obligations?;
    let decision = decision();
    (!decision.owed.beyond(allowed).is_empty()).then_some(Cause::Owes { decision, allowed })
}

/// The time to the first token that a limit is about, milliseconds: 95 of 100 requests took no longer.
fn ttft_ms(live: &Live) -> Option<f32> {
    live.ttft.map(|spread| spread.p95)
}

/// The time per further token that a limit is about, milliseconds.
fn tpot_ms(live: &Live) -> Option<f32> {
    live.tpot.map(|spread| spread.p95)
}
