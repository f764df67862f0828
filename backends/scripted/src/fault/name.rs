//! The names of faults, read and printed.

use std::{fmt, str::FromStr};

use super::{Fault, RetryAfter};

/// The text names no fault.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownFault;

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the name of a fault")
    }
}

impl std::error::Error for UnknownFault {}

/// The faults that have no number in their name.
const PLAIN: &[(&str, Fault)] = &[
    ("context-too-long", Fault::ContextTooLong),
    ("redirect", Fault::Redirect),
    ("hang-up", Fault::HangUp),
    ("reset", Fault::Reset),
    ("silent", Fault::Silent),
    ("malformed-frame", Fault::MalformedFrame),
    ("no-done", Fault::NoDone),
    ("no-finish", Fault::NoFinish),
    ("no-usage", Fault::NoUsage),
    ("error-event", Fault::ErrorEvent),
    ("finish-error", Fault::FinishError),
    ("empty-stream", Fault::EmptyStream),
    ("oversized", Fault::Oversized),
    ("wrong-content-type", Fault::WrongContentType),
    ("gzip", Fault::Gzip),
    ("drip", Fault::Drip),
    ("split-utf8", Fault::SplitUtf8),
    ("duplicate-usage", Fault::DuplicateUsage),
    ("comments", Fault::Comments),
    ("bom", Fault::Bom),
    ("crlf", Fault::CrLf),
    ("cr", Fault::Cr),
    ("multi-line", Fault::MultiLine),
    ("no-last-blank-line", Fault::NoLastBlankLine),
    ("open-after-done", Fault::OpenAfterDone),
];

#[cfg(test)]
pub(super) fn plain() -> impl Iterator<Item = &'static str> {
    PLAIN.iter().map(|(name, _)| *name)
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let name = text.strip_prefix("fault-").ok_or(UnknownFault)?;
        if let Some((_, fault)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
            return Ok(*fault);
        }
        if let Some(rest) = name.strip_prefix("burst-") {
            let (requests, status) = rest.split_once('-').ok_or(UnknownFault)?;
            return match number(requests)? {
                0 => Err(UnknownFault),
                requests => Ok(Self::Burst(requests, refusal(status)?)),
            };
        }
        if let Some((head, last)) = name.rsplit_once('-') {
            match head {
                "slow-headers" => return number(last).map(Self::SlowHeaders),
                "cut-after" => return number(last).map(Self::CutAfter),
                "reset-after" => return number(last).map(Self::ResetAfter),
                "half-close-after" => return number(last).map(Self::HalfCloseAfter),
                "stall-after" => return number(last).map(Self::StallAfter),
                "endless" => return number(last).map(Self::Endless),
                "slow-drip" => return number(last).map(Self::SlowDrip),
                "late-end" => return number(last).map(Self::LateEnd),
                "error-first" => return number(last).map(Self::ErrorFirst),
                _ => {}
            }
        }
        if let Some((status, host)) = name.split_once("-as-") {
            return Ok(Self::RateLimited(refusal(status)?, host.parse()?));
        }
        let Some((status, when)) = name.split_once("-retry-after-") else {
            return Ok(Self::Status(refusal(name)?, None));
        };
        let when = match (when.strip_prefix("ms-"), when.strip_prefix("date-")) {
            (Some(ms), _) => RetryAfter::Millis(number(ms)?),
            (_, Some(seconds)) => RetryAfter::Date(number(seconds)?),
            _ => RetryAfter::Seconds(number(when)?),
        };
        Ok(Self::Status(refusal(status)?, Some(when)))
    }
}

/// A status that refuses.
fn refusal(text: &str) -> Result<u16, UnknownFault> {
    match number(text)? {
        status @ 400..=599 => Ok(status),
        _ => Err(UnknownFault),
    }
}

/// A number spelled in digits alone (`parse` would also take a sign).
fn number<N: FromStr>(text: &str) -> Result<N, UnknownFault> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnknownFault);
    }
    text.parse().map_err(|_| UnknownFault)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault-")?;
        match self {
            Self::Status(status, None) => write!(f, "{status}"),
            Self::Status(status, Some(RetryAfter::Seconds(n))) => write!(f, "{status}-retry-after-{n}"),
            Self::Status(status, Some(RetryAfter::Millis(n))) => write!(f, "{status}-retry-after-ms-{n}"),
            Self::Status(status, Some(RetryAfter::Date(n))) => write!(f, "{status}-retry-after-date-{n}"),
            Self::RateLimited(status, dialect) => write!(f, "{status}-as-{dialect}"),
            Self::Burst(requests, status) => write!(f, "burst-{requests}-{status}"),
            Self::SlowHeaders(n) => write!(f, "slow-headers-{n}"),
            Self::CutAfter(n) => write!(f, "cut-after-{n}"),
            Self::ResetAfter(n) => write!(f, "reset-after-{n}"),
            Self::HalfCloseAfter(n) => write!(f, "half-close-after-{n}"),
            Self::StallAfter(n) => write!(f, "stall-after-{n}"),
            Self::Endless(n) => write!(f, "endless-{n}"),
            Self::SlowDrip(n) => write!(f, "slow-drip-{n}"),
            Self::LateEnd(n) => write!(f, "late-end-{n}"),
            Self::ErrorFirst(n) => write!(f, "error-first-{n}"),
            plain => f.write_str(PLAIN.iter().find(|(_, fault)| fault == plain).map_or("", |(name, _)| name)),
        }
    }
}
