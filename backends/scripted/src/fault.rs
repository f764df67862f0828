//! The ways in which the scripted host can fail, each with a name.

use std::{fmt, str::FromStr};

/// One way to fail, or to spell an answer unusually.
///
/// The text form is the model name that asks for it; [`Fault::TABLE`] lists them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer with this status and an error body.
    Status(u16, Option<RetryAfter>),
    /// 400 with the code `context_length_exceeded`.
    ContextTooLong,
    /// 307 to another path.
    Redirect,
    /// Read the request, then close the connection.
    HangUp,
    /// Read the request, then never answer.
    Silent,
    /// Send the headers this many milliseconds late.
    SlowHeaders(u64),
    /// Break the connection after this many events; a whole answer in its middle.
    CutAfter(usize),
    /// Fall silent after this many events; a whole answer in its middle.
    StallAfter(usize),
    /// One event that is no JSON among good ones; a whole answer that is no JSON.
    MalformedFrame,
    /// A good stream without `[DONE]`.
    NoDone,
    /// No `finish_reason` anywhere.
    NoFinish,
    /// An error event after the first content, then `[DONE]`.
    ErrorEvent,
    /// An error event with this code as the only event; a 200 body that is an error.
    ErrorFirst(u16),
    /// `finish_reason: "error"`, as a router reports that its own upstream failed.
    FinishError,
    /// Headers, then nothing.
    EmptyStream,
    /// An event, or a body, that never ends.
    Oversized,
    /// An HTML page with status 200.
    WrongContentType,
    /// A body that claims to be compressed.
    Compressed,
    /// Everything in writes of one byte.
    Drip,
    /// The usage chunk twice.
    DuplicateUsage,
    /// Comments between events.
    Comments,
    /// A byte order mark first.
    Bom,
    /// Lines that end with CR LF.
    CrLf,
    /// Lines that end with CR.
    Cr,
    /// JSON spread over several `data:` lines of one event.
    MultiLine,
    /// The last event without its blank line.
    NoLastBlankLine,
    /// After `[DONE]` the body stays open.
    OpenAfterDone,
    /// After `[DONE]` the body ends this many milliseconds late.
    LateEnd(u64),
}

/// The form in which a status says when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// `retry-after: SECONDS`
    Seconds(u32),
    /// `retry-after-ms: MILLISECONDS`
    Millis(u32),
    /// `retry-after: HTTP-DATE`, this many seconds from now.
    Date(u32),
}

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
    ("silent", Fault::Silent),
    ("malformed-frame", Fault::MalformedFrame),
    ("no-done", Fault::NoDone),
    ("no-finish", Fault::NoFinish),
    ("error-event", Fault::ErrorEvent),
    ("finish-error", Fault::FinishError),
    ("empty-stream", Fault::EmptyStream),
    ("oversized", Fault::Oversized),
    ("wrong-content-type", Fault::WrongContentType),
    ("compressed", Fault::Compressed),
    ("drip", Fault::Drip),
    ("duplicate-usage", Fault::DuplicateUsage),
    ("comments", Fault::Comments),
    ("bom", Fault::Bom),
    ("crlf", Fault::CrLf),
    ("cr", Fault::Cr),
    ("multi-line", Fault::MultiLine),
    ("no-last-blank-line", Fault::NoLastBlankLine),
    ("open-after-done", Fault::OpenAfterDone),
];

impl Fault {
    /// Every fault: an example of its name, and what the host does.
    pub const TABLE: &[(&str, &str)] = &[
        ("fault-500", "answers with that status (400 to 599) and an error body"),
        ("fault-429-retry-after-2", "likewise, with `retry-after` in seconds"),
        ("fault-429-retry-after-ms-150", "likewise, with `retry-after-ms`"),
        ("fault-503-retry-after-date-60", "likewise, with a date that many seconds from now"),
        ("fault-context-too-long", "400 with the code `context_length_exceeded`"),
        ("fault-redirect", "307 to another path"),
        ("fault-hang-up", "closes the connection instead of an answer"),
        ("fault-silent", "never answers"),
        ("fault-slow-headers-50", "sends the headers that many milliseconds late"),
        ("fault-cut-after-3", "breaks the connection after that many events, or in the middle of a whole answer"),
        ("fault-stall-after-2", "falls silent after that many events, or in the middle of a whole answer"),
        ("fault-malformed-frame", "sends one event that is no JSON, or a whole answer that is none"),
        ("fault-no-done", "ends a good stream without `[DONE]`"),
        ("fault-no-finish", "never sends a `finish_reason`"),
        (
            "fault-error-event",
            "sends an error event after the first content; a whole answer is an error with status 200",
        ),
        ("fault-error-first-502", "sends an error with that code as the only event, or as the body with status 200"),
        ("fault-finish-error", "ends with `finish_reason: \"error\"`"),
        ("fault-empty-stream", "sends headers and an empty body"),
        ("fault-oversized", "sends one event, or one body, that never ends"),
        ("fault-wrong-content-type", "sends an HTML page with status 200"),
        ("fault-compressed", "sends a body that claims to be gzip"),
        ("fault-drip", "sends everything in writes of one byte"),
        ("fault-duplicate-usage", "sends the usage chunk twice"),
        ("fault-comments", "sends comments between events"),
        ("fault-bom", "sends a byte order mark first"),
        ("fault-crlf", "ends lines with CR LF"),
        ("fault-cr", "ends lines with CR"),
        ("fault-multi-line", "spreads the JSON of an event over several `data:` lines"),
        ("fault-no-last-blank-line", "leaves out the blank line after the last event"),
        ("fault-open-after-done", "keeps the body open after `[DONE]`"),
        ("fault-late-end-20", "ends the body that many milliseconds after `[DONE]`"),
    ];
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let name = text.strip_prefix("fault-").ok_or(UnknownFault)?;
        if let Some((_, fault)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
            return Ok(*fault);
        }
        if let Some(rest) = name.strip_prefix("slow-headers-") {
            return number(rest).map(Self::SlowHeaders);
        }
        if let Some(rest) = name.strip_prefix("cut-after-") {
            return number(rest).map(Self::CutAfter);
        }
        if let Some(rest) = name.strip_prefix("stall-after-") {
            return number(rest).map(Self::StallAfter);
        }
        if let Some(rest) = name.strip_prefix("late-end-") {
            return number(rest).map(Self::LateEnd);
        }
        if let Some(rest) = name.strip_prefix("error-first-") {
            return number(rest).map(Self::ErrorFirst);
        }
        let (status, retry_after) = match name.split_once("-retry-after-") {
            None => (name, None),
            Some((status, when)) => {
                let when = match (when.strip_prefix("ms-"), when.strip_prefix("date-")) {
                    (Some(ms), _) => RetryAfter::Millis(number(ms)?),
                    (_, Some(seconds)) => RetryAfter::Date(number(seconds)?),
                    _ => RetryAfter::Seconds(number(when)?),
                };
                (status, Some(when))
            }
        };
        match number(status)? {
            status @ 400..=599 => Ok(Self::Status(status, retry_after)),
            _ => Err(UnknownFault),
        }
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
            Self::SlowHeaders(n) => write!(f, "slow-headers-{n}"),
            Self::CutAfter(n) => write!(f, "cut-after-{n}"),
            Self::StallAfter(n) => write!(f, "stall-after-{n}"),
            Self::LateEnd(n) => write!(f, "late-end-{n}"),
            Self::ErrorFirst(n) => write!(f, "error-first-{n}"),
            plain => f.write_str(PLAIN.iter().find(|(_, fault)| fault == plain).map_or("", |(name, _)| name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_table_reads_and_prints_as_the_same_name() {
        for (name, _) in Fault::TABLE {
            let fault: Fault = name.parse().unwrap_or_else(|_| panic!("{name}"));
            assert_eq!(fault.to_string(), *name);
        }
    }

    #[test]
    fn the_table_lists_every_fault_without_a_number() {
        for (name, _) in PLAIN {
            assert!(Fault::TABLE.iter().any(|(listed, _)| listed.strip_prefix("fault-") == Some(name)), "{name}");
        }
    }

    #[test]
    fn an_ordinary_model_name_is_no_fault() {
        for name in [
            "gpt-4o",
            "fault-",
            "fault-200",
            "fault-700",
            "fault-cut-after-",
            "fault-cut-after-+3",
            "fault-429-retry-after-soon",
        ] {
            assert_eq!(name.parse::<Fault>(), Err(UnknownFault), "{name}");
        }
    }
}
