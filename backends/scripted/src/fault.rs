//! The ways in which an answer of the scripted host can fail, each with a name.

mod name;

use crate::dialect::Dialect;

pub use name::UnknownFault;

/// One way to fail, or to spell an answer unusually.
///
/// The text form is the model name that asks for it; [`Fault::TABLE`] lists them all. An event is one of a stream; of a
/// whole answer "after so many events" is in its middle, or before its first byte where that is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer with this status and an error body.
    Status(u16, Option<RetryAfter>),
    /// Answer with this status as a host does whose rate limit is used up.
    RateLimited(u16, Dialect),
    /// Refuse this many requests with this status, answer one, and begin again.
    Burst(u8, u16),
    /// 400 with the code `context_length_exceeded`.
    ContextTooLong,
    /// 307 to another path.
    Redirect,
    /// Read the request, then close the connection.
    HangUp,
    /// Read the request, then reset the connection.
    Reset,
    /// Read the request, then never answer.
    Silent,
    /// Send the headers this many milliseconds late.
    SlowHeaders(u64),
    /// Break the connection after this many events.
    CutAfter(usize),
    /// Reset the connection after this many events.
    ResetAfter(usize),
    /// Close the sending side of the connection after this many events and keep the other open.
    HalfCloseAfter(usize),
    /// Fall silent after this many events.
    StallAfter(usize),
    /// Good content without end, this many milliseconds apart.
    Endless(u64),
    /// One event that is no JSON among good ones; a whole answer that is no JSON.
    MalformedFrame,
    /// A good stream without `[DONE]`.
    NoDone,
    /// No `finish_reason` anywhere.
    NoFinish,
    /// No usage, though it was asked for.
    NoUsage,
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
    /// A gzip body that nobody asked for.
    Gzip,
    /// Everything in writes of one byte.
    Drip,
    /// Each event, or eighth of a whole answer, this many milliseconds after the one before.
    SlowDrip(u64),
    /// Writes that end inside each character of more than one byte.
    SplitUtf8,
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

impl Fault {
    /// Every fault: an example of its name, and what the host does.
    pub const TABLE: &[(&str, &str)] = &[
        ("fault-500", "answers with that status (400 to 599) and an error body"),
        ("fault-429-retry-after-2", "likewise, with `retry-after` in seconds"),
        ("fault-429-retry-after-ms-150", "likewise, with `retry-after-ms`"),
        ("fault-503-retry-after-date-60", "likewise, with a date that many seconds from now"),
        ("fault-429-as-openai", "likewise, with OpenAI's `x-ratelimit-*`: resets are durations"),
        ("fault-429-as-azure", "likewise, as Azure OpenAI: `retry-after-ms` and what is left"),
        ("fault-429-as-anthropic", "likewise, with `anthropic-ratelimit-*` and Anthropic's body"),
        ("fault-429-as-groq", "likewise, as Groq: `retry-after` and `x-ratelimit-*`"),
        ("fault-429-as-together", "likewise, as Together: resets are seconds, no `retry-after`"),
        ("fault-429-as-fireworks", "likewise, as Fireworks: `x-ratelimit-over-limit`, and no word on when"),
        ("fault-429-as-openrouter", "likewise, as OpenRouter: headers inside the body"),
        ("fault-429-as-cerebras", "likewise, as Cerebras: a family of headers for each window"),
        ("fault-429-as-sambanova", "likewise, as SambaNova: resets are Unix seconds"),
        ("fault-429-as-replicate", "likewise, as Replicate: `ratelimit-*` and a problem body"),
        ("fault-burst-2-503", "refuses two requests for this name with 503, answers the third, and begins again"),
        ("fault-context-too-long", "400 with the code `context_length_exceeded`"),
        ("fault-redirect", "307 to another path"),
        ("fault-hang-up", "closes the connection instead of an answer"),
        ("fault-reset", "resets the connection instead of an answer"),
        ("fault-silent", "never answers"),
        ("fault-slow-headers-50", "sends the headers that many milliseconds late"),
        ("fault-cut-after-3", "breaks the connection after that many events, or in the middle of a whole answer"),
        ("fault-reset-after-3", "likewise, with a reset"),
        ("fault-half-close-after-3", "likewise, and keeps its reading side open"),
        ("fault-stall-after-2", "falls silent after that many events, or in the middle of a whole answer"),
        ("fault-endless-10", "sends good content for ever, that many milliseconds apart"),
        ("fault-malformed-frame", "sends one event that is no JSON, or a whole answer that is none"),
        ("fault-no-done", "ends a good stream without `[DONE]`"),
        ("fault-no-finish", "never sends a `finish_reason`"),
        ("fault-no-usage", "never sends usage"),
        (
            "fault-error-event",
            "sends an error event after the first content; a whole answer is an error with status 200",
        ),
        ("fault-error-first-502", "sends an error with that code as the only event, or as the body with status 200"),
        ("fault-finish-error", "ends with `finish_reason: \"error\"`"),
        ("fault-empty-stream", "sends headers and an empty body"),
        ("fault-oversized", "sends one event, or one body, that never ends"),
        ("fault-wrong-content-type", "sends an HTML page with status 200"),
        ("fault-gzip", "sends a gzip body that nobody asked for"),
        ("fault-drip", "sends everything in writes of one byte"),
        ("fault-slow-drip-5", "sends each event that many milliseconds after the one before"),
        ("fault-split-utf8", "ends a write inside each character of more than one byte"),
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
    fn the_table_lists_every_fault_without_a_number_and_every_dialect() {
        let listed = |name: &str| Fault::TABLE.iter().any(|(listed, _)| *listed == name);
        for name in name::plain() {
            assert!(listed(&format!("fault-{name}")), "{name}");
        }
        for (name, _) in Dialect::ALL {
            assert!(listed(&format!("fault-429-as-{name}")), "{name}");
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
            "fault-429-as-nobody",
            "fault-burst-0-503",
            "fault-burst-2-200",
            "fault-burst-2",
        ] {
            assert_eq!(name.parse::<Fault>(), Err(UnknownFault), "{name}");
        }
    }
}
