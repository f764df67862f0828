//! Works through a plan: tries candidates in order until one commits.
//!
//! A streamed attempt commits with its first content, one that is not streamed with its whole answer. Until then nothing
//! has reached the caller and the next candidate may take over; afterwards never. Which failures go on to the next
//! candidate, how many attempts there are, and how long each phase may last, is the plan's to say.
//! Dropping the future cancels the attempt in progress. Knows nothing of HTTP framing or of the ledger.

mod order;
pub mod stats;

use std::{sync::Arc, time::Duration};

use backends::{Backend, BackendError, Class, Event, EventStream, Fault, Phase, Request};
use futures_util::StreamExt;
use policies::{Deadlines, FailureClass, Plan};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use self::{
    order::Order,
    stats::{Attempt, Size, Stats},
};
use crate::observe;

/// Most events that are held back while an attempt has not committed: start-up frames and role deltas.
const MAX_HELD: usize = 64;

/// A deployment that can be tried.
#[derive(Debug, Clone)]
pub struct Place {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// What is known of it.
    pub stats: Arc<Stats>,
    /// What fails together: the address of a host or server, or the id of a local engine.
    pub site: Arc<str>,
    /// Whether it runs in this process.
    pub local: bool,
}

/// An attempt that answers.
pub struct Committed {
    /// Its place in the plan's candidates.
    pub candidate: usize,
    /// The events up to and with the first content; all of them where the answer is not streamed.
    pub head: Vec<Event>,
    /// The events after them.
    pub rest: EventStream,
    /// The running attempt; whoever reads the stream says how it ended.
    pub attempt: Attempt,
    /// Time from its start to its first content.
    pub first_token: Duration,
    /// When the whole answer has to be there.
    pub deadline: Instant,
    /// How long it may take between two pieces.
    pub idle: Duration,
    /// Keeps the engine alive while its answer is read, also over a reload that replaces it.
    pub backend: Arc<dyn Backend>,
}

/// One attempt, for the ledger and the logs.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// The deployment's id.
    pub deployment: String,
    /// Milliseconds until it committed or failed.
    pub ms: u64,
    /// The error's stable code, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

/// Tries the candidates of `plan`; `places` are the deployments in the plan's numbering, and `size` is that of the
/// prompt, for their statistics. Each attempt is noted in `tried` as it ends.
///
/// `attempts.max` counts what was sent to hosts and servers: a backend that says at once that it cannot do what is
/// asked uses up none, and an engine in this process may still be the last resort when the hosts have failed.
///
/// # Errors
/// When no candidate committed within the plan's bounds: the first error that is the caller's own fault, else the last
/// one; `None` where nothing could be tried because every breaker has opened since the plan was made.
pub async fn dispatch(
    plan: &Plan,
    places: &[Place],
    request: &Arc<Request>,
    size: Size,
    tried: &mut Vec<Tried>,
) -> Result<Committed, Option<BackendError>> {
    let begun = Instant::now();
    let mut sent = 0;
    let mut told: Option<BackendError> = None;
    let mut order = Order::new(&plan.attempts, plan.candidates.iter().map(|candidate| candidate.group));
    let mut failed_sites: Vec<&str> = Vec::new();
    let at = |candidate: usize| &places[plan.candidates[candidate].deployment];
    while let Some(candidate) = order.next(|candidate| failed_sites.contains(&&*at(candidate).site)) {
        if !tried.is_empty() && begun.elapsed() >= plan.attempts.budget {
            break;
        }
        let place = at(candidate);
        if !place.local && sent >= plan.attempts.max {
            continue;
        }
        // The breaker may have opened since the plan was made.
        let Some(attempt) = place.stats.begin(size) else { continue };
        let started = attempt.started();
        let (_, deadlines) = plan.attempts.of(plan.candidates[candidate].group);
        let outcome = commit(deadlines, place, request, attempt).await;
        let ms = started.elapsed().as_millis() as u64;
        let error = outcome.as_ref().err().map(BackendError::code);
        tried.push(Tried { deployment: place.backend.id().to_string(), ms, error });
        let error = match outcome {
            Ok(Ready { head, rest, attempt, first_token, deadline }) => {
                let backend = Arc::clone(&place.backend);
                let idle = deadlines.idle;
                return Ok(Committed { candidate, head, rest, attempt, first_token, deadline, idle, backend });
            }
            Err(error) => error,
        };
        observe::attempt_failed(place.backend.id().as_str(), error.code());
        if error.fault() == Fault::Caller {
            tracing::debug!(request = request.id, deployment = %place.backend.id(), error = chain(&error), "attempt refused");
        } else {
            tracing::warn!(request = request.id, deployment = %place.backend.id(), error = chain(&error), "attempt failed");
        }
        sent += u32::from(!matches!(error, BackendError::Unsupported { .. }));
        let go_on = order.failed(candidate, failure_class(&error)) && error.try_next();
        if matches!(
            error.class(),
            Class::Connect | Class::Timeout | Class::ServerError | Class::BadStream | Class::Auth
        ) {
            failed_sites.push(&place.site);
        }
        if told.as_ref().is_none_or(|told| told.fault() != Fault::Caller) {
            told = Some(error);
        }
        if !go_on {
            break;
        }
    }
    Err(told)
}

struct Ready {
    head: Vec<Event>,
    rest: EventStream,
    attempt: Attempt,
    first_token: Duration,
    deadline: Instant,
}

/// One attempt up to its first content.
async fn commit(
    deadlines: &Deadlines,
    place: &Place,
    request: &Arc<Request>,
    mut attempt: Attempt,
) -> Result<Ready, BackendError> {
    let deadline = attempt.started() + deadlines.total;
    // An answer that is not streamed has its headers when it is done, so only the total counts there.
    let (headers_by, first_by) = if request.stream {
        (attempt.started() + deadlines.connect + deadlines.headers, attempt.started() + deadlines.first_token)
    } else {
        (deadline, deadline)
    };
    let late = |phase| if request.stream { phase } else { Phase::Total };
    let result = async {
        let mut rest = timeout_at(headers_by.min(deadline), place.backend.generate(Arc::clone(request)))
            .await
            .map_err(|_| BackendError::Timeout { phase: late(Phase::Headers) })??;
        let mut head = Vec::with_capacity(2);
        let mut whole = Whole::new(request);
        loop {
            let event = timeout_at(first_by.min(deadline), rest.next())
                .await
                .map_err(|_| BackendError::Timeout { phase: late(Phase::FirstToken) })?
                .transpose()?;
            let Some(event) = event else {
                let reason = if request.stream {
                    "it ended before the answer began"
                } else {
                    "it ended without a finish reason"
                };
                return Err(BackendError::BrokenStream { reason: reason.into() });
            };
            let committed =
                if request.stream { commits(&event) || head.len() + 1 >= MAX_HELD } else { whole.ends_with(&event) };
            head.push(event);
            if committed {
                return Ok((head, rest));
            }
        }
    };
    match result.await {
        Ok((head, rest)) => {
            let first_token = attempt.first_token().unwrap_or_default();
            Ok(Ready { head, rest, attempt, first_token, deadline })
        }
        Err(error) => {
            attempt.failed(&error);
            Err(error)
        }
    }
}

/// Whether an event is something a caller would miss if the attempt were replaced now.
fn commits(event: &Event) -> bool {
    match event {
        Event::Delta(delta) => !delta.text.is_empty() || !delta.logprobs.is_empty(),
        Event::Finish { .. } | Event::Whole(_) | Event::Usage(_) => true,
        Event::Frame(frame) => frame.content || frame.finished || frame.done,
    }
}

/// Counts what an answer that is not streamed still lacks.
struct Whole {
    unfinished: usize,
}

impl Whole {
    fn new(request: &Request) -> Self {
        Self { unfinished: request.answers() }
    }

    /// Whether the answer is whole with this event: an upstream's body, or the usage after every finish reason.
    fn ends_with(&mut self, event: &Event) -> bool {
        match event {
            Event::Whole(_) => true,
            Event::Finish { .. } => {
                self.unfinished = self.unfinished.saturating_sub(1);
                false
            }
            Event::Usage(_) => self.unfinished == 0,
            Event::Delta(_) | Event::Frame(_) => false,
        }
    }
}

fn failure_class(error: &BackendError) -> FailureClass {
    match (error.class(), error) {
        (Class::Connect, _) => FailureClass::Connect,
        (Class::Timeout, BackendError::Timeout { phase: Phase::Headers }) => FailureClass::TimeoutHeaders,
        (Class::Timeout, BackendError::Timeout { phase: Phase::FirstToken }) => FailureClass::TimeoutFirstToken,
        (Class::Timeout, _) => FailureClass::TimeoutTotal,
        (Class::TooManyRequests, _) => FailureClass::TooManyRequests,
        (Class::ServerError, _) => FailureClass::ServerError,
        (Class::BadStream, _) => FailureClass::BadStream,
        (Class::Auth, _) => FailureClass::Auth,
        (Class::ContentFilter, _) => FailureClass::ContentFilter,
        // What one model refuses (too long, not supported) another may take.
        (Class::ContextTooLong | Class::Caller, _) => FailureClass::ContextTooLong,
    }
}

/// An error with its causes, for the log.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
