//! Bounds: of the clients' listener, and of attempts beyond the first.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use super::{
    Limits, RetryBudget,
    decode::Spanned,
    load::Reading,
    raw::{RawLimits, RawRetryBudget},
    report::Problem,
};
use crate::kept::Bounds;

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(10),
            connections: 10_000,
            drain_timeout: Duration::from_secs(30),
            files_bytes: 1 << 30,
            answers_bytes: 64 << 20,
            responses: Bounds { kept_for: Duration::from_secs(3_600), bytes_per_team: 16 << 20 },
        }
    }
}

/// Checks what is written; the rest is the default. None if a bound is out of its range.
pub(super) fn check(reading: &mut Reading<'_>, raw: &RawLimits) -> Option<Limits> {
    let default = Limits::default();
    let mut bound = |key: &str, written: Option<Spanned<u64>>, default: u64, least: u64, most: u64| {
        within(reading, (key, "is outside of what can be served"), written, default, least..=most)
    };
    let body_bytes = raw.body_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    let header_bytes = raw.header_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    // The parser of request heads works in one buffer, and below 8 KiB common clients no longer fit.
    let header_bytes = bound("header_bytes", header_bytes, default.header_bytes as u64, 8 << 10, 1 << 20);
    let body_bytes = bound("body_bytes", body_bytes, default.body_bytes, 1 << 10, 1 << 30);
    let kept = raw.responses_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    let kept = bound("responses_bytes", kept, default.responses.bytes_per_team, 0, 1 << 40);
    let files = raw.files_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    let files_bytes = bound("files_bytes", files, default.files_bytes, 0, 1 << 50);
    let answers = raw.answers_bytes.as_ref().map(|bytes| bytes.map(|bytes| bytes.0));
    let answers_bytes = bound("answers_bytes", answers, default.answers_bytes, 0, 1 << 40);
    let connections = bound("connections", raw.connections.clone(), default.connections as u64, 1, 1_000_000);
    Some(Limits {
        body_bytes: body_bytes?,
        header_bytes: header_bytes? as usize,
        header_timeout: raw.header_timeout.as_ref().map_or(default.header_timeout, |span| span.value.0),
        connections: connections? as usize,
        drain_timeout: raw.drain_timeout.as_ref().map_or(default.drain_timeout, |span| span.value.0),
        files_bytes: files_bytes?,
        answers_bytes: answers_bytes?,
        responses: Bounds {
            kept_for: raw.responses_kept_for.as_ref().map_or(default.responses.kept_for, |span| span.value.0),
            bytes_per_team: kept?,
        },
    })
}

/// Checks what is written; the rest is the default. None if a bound is out of its range.
pub(super) fn retry_budget(reading: &mut Reading<'_>, raw: &RawRetryBudget) -> Option<RetryBudget> {
    let default = RetryBudget::default();
    let wrong = "is no bound on attempts";
    // More would be no bound.
    let share = within(reading, ("share", wrong), raw.share.clone(), default.share.into(), 0.0..=10.0);
    let per_second =
        within(reading, ("per_second", wrong), raw.per_second.clone(), default.per_second.into(), 0..=100_000);
    Some(RetryBudget { share: share? as f32, per_second: per_second? as u32 })
}

/// What is written, or the default; `None`, and a problem that says `wrong` of the key, where it is out of the range.
pub(super) fn within<T: PartialOrd + Display>(
    reading: &mut Reading<'_>,
    (key, wrong): (&str, &str),
    written: Option<Spanned<T>>,
    default: T,
    range: RangeInclusive<T>,
) -> Option<T> {
    let Some(written) = written else { return Some(default) };
    if range.contains(&written.value) {
        return Some(written.value);
    }
    let problem = Problem::error("out-of-range", format!("`{key}` {wrong}")).label(format!(
        "expected {} to {}",
        range.start(),
        range.end()
    ));
    reading.note(problem, written.at);
    None
}
