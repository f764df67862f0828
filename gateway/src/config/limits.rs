//! Bounds: of the clients' listener, and of attempts beyond the first.

use std::time::Duration;

use super::{
    Limits, RetryBudget,
    decode::Spanned,
    load::Reading,
    raw::{RawLimits, RawRetryBudget},
    report::Problem,
};

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(10),
            connections: 10_000,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Checks what is written; the rest is the default. None if a bound is out of its range.
pub(super) fn check(reading: &mut Reading<'_>, raw: &RawLimits) -> Option<Limits> {
    let default = Limits::default();
    let mut bound = |key: &str, written: Option<Spanned<u64>>, default: u64, least: u64, most: u64| {
        let Some(written) = written else { return Some(default) };
        if (least..=most).contains(&written.value) {
            return Some(written.value);
        }
        let problem = Problem::error("out-of-range", format!("`{key}` is outside of what can be served"))
            .label(format!("expected {least} to {most}"));
        reading.note(problem, written.at);
        None
    };
    let body_bytes = raw.body_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    let header_bytes = raw.header_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    // The parser of request heads works in one buffer, and below 8 KiB common clients no longer fit.
    let header_bytes = bound("header_bytes", header_bytes, default.header_bytes as u64, 8 << 10, 1 << 20);
    let body_bytes = bound("body_bytes", body_bytes, default.body_bytes, 1 << 10, 1 << 30);
    let connections = bound("connections", raw.connections.clone(), default.connections as u64, 1, 1_000_000);
    Some(Limits {
        body_bytes: body_bytes?,
        header_bytes: header_bytes? as usize,
        header_timeout: raw.header_timeout.as_ref().map_or(default.header_timeout, |span| span.value.0),
        connections: connections? as usize,
        drain_timeout: raw.drain_timeout.as_ref().map_or(default.drain_timeout, |span| span.value.0),
    })
}

/// Checks what is written; the rest is the default. None if a bound is out of its range.
pub(super) fn retry_budget(reading: &mut Reading<'_>, raw: &RawRetryBudget) -> Option<RetryBudget> {
    /// More would be no bound.
    const MOST_SHARE: f64 = 10.0;
    const MOST_PER_SECOND: u64 = 100_000;
    let RetryBudget { share, per_second } = RetryBudget::default();
    let (share, per_second) = (
        raw.share.as_ref().map_or(Ok(share), |written| match written.value {
            value if (0.0..=MOST_SHARE).contains(&value) => Ok(value as f32),
            _ => Err(("share", written.at.clone(), MOST_SHARE.to_string())),
        }),
        raw.per_second.as_ref().map_or(Ok(per_second), |written| match written.value {
            value if value <= MOST_PER_SECOND => Ok(value as u32),
            _ => Err(("per_second", written.at.clone(), MOST_PER_SECOND.to_string())),
        }),
    );
    let wrong: Vec<_> = share.as_ref().err().into_iter().chain(per_second.as_ref().err()).cloned().collect();
    for (key, at, most) in wrong {
        let problem = Problem::error("out-of-range", format!("`{key}` is no bound on attempts"));
        reading.note(problem.label(format!("expected 0 to {most}")), at);
    }
    Some(RetryBudget { share: share.ok()?, per_second: per_second.ok()? })
}
