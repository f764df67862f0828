//! One attempt, up to its first content: the deadlines of its phases, and what is held back until it commits.
//!
//! A backend whose model has to be loaded first is waited for before the deadlines begin: they are about answers, and how long
//! a request waits for a model is the backend's own to say.

use std::{sync::Arc, time::Duration};

use backends::{BackendError, Event, EventStream, Phase, Request};
use futures_util::StreamExt;
use policies::Deadlines;
use tokio::time::{Instant, timeout_at};

use super::{Place, stats::Attempt};

/// Most events that are held back while an attempt has not committed: start-up frames and role deltas.
const MAX_HELD: usize = 64;

/// What an attempt has when it commits.
pub(super) struct Ready {
    pub(super) head: Vec<Event>,
    pub(super) rest: EventStream,
    pub(super) attempt: Attempt,
    pub(super) first_token: Duration,
    pub(super) deadline: Instant,
    pub(super) idle: Duration,
}

/// How an attempt went up to its first content, and what its host calls it.
pub(super) type Committing = (Result<Ready, BackendError>, Option<String>);

/// One attempt up to its first content.
pub(super) async fn commit(
    deadlines: &Deadlines,
    place: &Place,
    request: &Arc<Request>,
    mut attempt: Attempt,
) -> Committing {
    let ready = match place.backend.ready() {
        None => None,
        Some(ready) => match ready.await {
            Ok(backend) => {
                attempt.begins_now();
                Some(backend)
            }
            Err(error) => {
                attempt.failed(&error);
                return (Err(error), None);
            }
        },
    };
    let backend = ready.as_ref().unwrap_or(&place.backend);
    let deadline = attempt.started() + deadlines.total;
    // An answer that is not streamed has its headers when it is done, so only the total counts there.
    let (headers_by, first_by) = if request.stream {
        (attempt.started() + deadlines.connect + deadlines.headers, attempt.started() + deadlines.first_token)
    } else {
        (deadline, deadline)
    };
    let late = |phase| if request.stream { phase } else { Phase::Total };
    let result = async {
        let begins_by = first_by.min(deadline).into_std();
        let sent = remote::connect_within(deadlines.connect, backend.generate_by(Arc::clone(request), begins_by));
        let mut rest = timeout_at(headers_by.min(deadline), sent)
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
    let (result, named) = remote::naming(result).await;
    let ready = match result {
        Ok((head, rest)) => {
            let first_token = attempt.first_token().unwrap_or_default();
            Ok(Ready { head, rest, attempt, first_token, deadline, idle: deadlines.idle })
        }
        Err(error) => {
            attempt.failed(&error);
            Err(error)
        }
    };
    (ready, named)
}

/// Whether an event is something a caller would miss if the attempt were replaced now.
fn commits(event: &Event) -> bool {
    match event {
        Event::Delta(delta) => !delta.is_empty(),
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
