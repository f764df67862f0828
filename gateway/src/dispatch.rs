//! Works through a plan: tries candidates in order until one commits.
//!
//! A streamed attempt commits with its first content, one that is not streamed with its whole answer (`commit`). Until
//! then nothing has reached the caller and the next candidate may take over; afterwards never. Which failures go on to the
//! next candidate (`order`), how many attempts there are, how long each phase may last, whether one that failed is asked
//! once more (`pause`), and when a second candidate is asked beside the first, is the plan's to say; how many attempts
//! beyond the first all requests together may send is the configuration's (`retries`).
//! Dropping the future cancels the attempt in progress. Knows nothing of HTTP framing or of the ledger.

mod commit;
mod leave_out;
mod order;
mod pause;
mod retries;
pub mod stats;
#[cfg(test)]
pub(crate) mod tests;

use std::{pin::pin, sync::Arc, time::Duration};

use backends::{Backend, BackendError, Class, Event, EventStream, Fault, Phase, Probe, Request};
use futures_util::future::{Either, select};
use policies::{FailureClass, HedgeAfter, Plan};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::retries::{Retries, RetryBudget};
use self::{
    commit::{Ready, commit},
    order::Order,
    pause::Again,
    stats::{Attempt, Size, Stats},
};
use crate::observe;

/// What an attempt is noted with that was cancelled because another one answered first.
const LOST: &str = "hedge.lost";

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
    /// What the host calls the request, which its support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_request: Option<String>,
}

/// A plan to be worked through.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Who is tried, how often and how long.
    pub plan: &'a Plan,
    /// The deployments in the plan's numbering.
    pub places: &'a [Place],
    /// What is sent to them.
    pub request: &'a Arc<Request>,
    /// That of the prompt, for their statistics.
    pub size: Size,
    /// What attempts beyond the first are paid from.
    pub retries: &'a Retries,
}

/// A place at the candidate that a plan tries first, taken before anything is sent there.
#[derive(Debug)]
pub struct Reserved {
    candidate: usize,
    attempt: Attempt,
}

/// Takes the place for a request's first attempt. `None` where the plan serves nobody, and where by now as many run there
/// as may or its breaker has opened.
pub fn reserve(plan: &Plan, places: &[Place], size: Size) -> Option<Reserved> {
    let groups = plan.candidates.iter().map(|candidate| candidate.group);
    let candidate = order::first(&plan.attempts, groups)?;
    let attempt = places[plan.candidates[candidate].deployment].stats.begin(size)?;
    Some(Reserved { candidate, attempt })
}

/// Tries the candidates of a plan; the first attempt has `reserved`, or takes a place now. Each attempt is noted in `tried`
/// as it ends.
///
/// `attempts.max` counts what was sent to hosts and servers: a backend that says at once that it cannot do what is
/// asked uses up none, and an engine in this process may still be the last resort when the hosts have failed.
///
/// # Errors
/// When no candidate committed within the plan's bounds: the first error that is the caller's own fault, else the last
/// one; `None` where nothing could be tried because every breaker has opened since the plan was made.
pub async fn dispatch(
    work: Work<'_>,
    reserved: Option<Reserved>,
    tried: &mut Vec<Tried>,
) -> Result<Committed, Option<BackendError>> {
    work.retries.asked();
    let mut run = Run::new(work, reserved, tried);
    while let Some(begun) = run.next().await {
        let ended = match run.hedge_at(&begun) {
            None => begun.outcome().await,
            Some(at) => match run.hedged(begun, at).await {
                Some(ended) => ended,
                None => break,
            },
        };
        let go_on = match ended.outcome {
            Ok(ready) => return Ok(run.answers(ended.candidate, ended.ms, ended.named, ready)),
            Err(error) => run.failed(ended.candidate, ended.ms, ended.named, error),
        };
        if !go_on {
            break;
        }
    }
    Err(run.told)
}

/// A plan that is being worked through.
struct Run<'a, 't> {
    work: Work<'a>,
    begun: Instant,
    order: Order<'a>,
    again: Again,
    /// Attempts that were sent to hosts and servers.
    sent: u32,
    /// The retry budget had no attempt left for this request.
    unpaid: bool,
    failed_sites: Vec<&'a str>,
    hedged: bool,
    /// For the first attempt.
    reserved: Option<Reserved>,
    told: Option<BackendError>,
    tried: &'t mut Vec<Tried>,
}

/// An attempt that has begun.
struct Begun<'a> {
    candidate: usize,
    work: Work<'a>,
    attempt: Attempt,
}

/// An attempt that has ended, or that answers.
struct Ended {
    candidate: usize,
    ms: u64,
    named: Option<String>,
    outcome: Result<Ready, BackendError>,
}

impl<'a> Begun<'a> {
    /// Works it through up to its first content.
    async fn outcome(self) -> Ended {
        let Self { candidate, work, attempt } = self;
        let (Work { plan, request, .. }, place) = (work, place_of(work, candidate));
        let started = attempt.started();
        let chosen = &plan.candidates[candidate];
        let (_, deadlines) = plan.attempts.of(chosen.group);
        let request = leave_out::without(request, chosen.leaves_out);
        let (outcome, named) = commit(deadlines, place, &request, attempt).await;
        Ended { candidate, ms: started.elapsed().as_millis() as u64, named, outcome }
    }
}

/// Where a candidate of the plan is.
fn place_of(work: Work<'_>, candidate: usize) -> &Place {
    &work.places[work.plan.candidates[candidate].deployment]
}

/// The share of a request's prompt that a place was sent before.
fn cached_share(place: &Place, request: &Request) -> f32 {
    let Some(prefix) = request.prefix.as_deref().filter(|prefix| !prefix.is_new()) else { return 0.0 };
    let load = place.backend.load(&Probe { prefix: Some(prefix), ..Probe::default() });
    load.cached_prefix.unwrap_or(0) as f32 / prefix.tokens().max(1) as f32
}

impl<'a, 't> Run<'a, 't> {
    fn new(work: Work<'a>, reserved: Option<Reserved>, tried: &'t mut Vec<Tried>) -> Self {
        let attempts = &work.plan.attempts;
        Self {
            work,
            begun: Instant::now(),
            order: Order::new(attempts, work.plan.candidates.iter().map(|candidate| candidate.group)),
            again: Again::new(attempts.again),
            sent: 0,
            unpaid: false,
            failed_sites: Vec::new(),
            hedged: false,
            reserved,
            told: None,
            tried,
        }
    }

    /// Begins the next attempt: at a candidate that was not tried yet, else once more at one that was.
    async fn next(&mut self) -> Option<Begun<'a>> {
        if let Some(begun) = self.another() {
            return Some(begun);
        }
        let (candidate, at) = self.again.next(Instant::now())?;
        if at >= self.begun + self.work.plan.attempts.budget || !self.may_send(candidate) {
            return None;
        }
        sleep_until(at).await;
        self.begin(candidate)
    }

    /// Begins an attempt at a candidate that was not tried yet.
    fn another(&mut self) -> Option<Begun<'a>> {
        let work = self.work;
        if !self.tried.is_empty() && self.begun.elapsed() >= work.plan.attempts.budget {
            return None;
        }
        loop {
            let failed = |candidate| self.failed_sites.contains(&&*place_of(work, candidate).site);
            let candidate = self.order.next(failed)?;
            // Another may be one of this process, which is not counted.
            if self.may_send(candidate)
                && let Some(begun) = self.begin(candidate)
            {
                return Some(begun);
            }
        }
    }

    /// Whether the plan and the retry budget have an attempt left for a candidate.
    fn may_send(&mut self, candidate: usize) -> bool {
        if place_of(self.work, candidate).local {
            return true;
        }
        if self.sent >= self.work.plan.attempts.max || self.unpaid {
            return false;
        }
        self.unpaid = self.sent > 0 && !self.work.retries.one_more();
        if self.unpaid {
            observe::retry_refused();
        }
        !self.unpaid
    }

    /// Begins an attempt; `None` where its breaker may have opened since the plan was made, or as many run there as may.
    fn begin(&mut self, candidate: usize) -> Option<Begun<'a>> {
        let place = place_of(self.work, candidate);
        let attempt = match self.reserved.take() {
            Some(reserved) if reserved.candidate == candidate => reserved.attempt,
            _ => place.stats.begin(self.work.size)?,
        };
        self.sent += u32::from(!place.local);
        let attempt = attempt.expecting(cached_share(place, self.work.request));
        Some(Begun { candidate, work: self.work, attempt })
    }

    /// When a second candidate is asked beside this attempt; once a request.
    fn hedge_at(&self, begun: &Begun<'_>) -> Option<Instant> {
        let after = self.work.plan.attempts.hedge_after.filter(|_| !self.hedged)?;
        let wait = match after {
            HedgeAfter::Time(wait) => wait,
            // What is measured is the first token of streams.
            HedgeAfter::P95 if !self.work.request.stream => return None,
            HedgeAfter::P95 => {
                let usual = place_of(self.work, begun.candidate).stats.ttft(self.work.size)?;
                Duration::try_from_secs_f32(usual.p95 / 1e3).ok()?
            }
        };
        Some(begun.attempt.started() + wait)
    }

    /// Works an attempt through, from `at` on beside another. The one that answers first is kept and the other cancelled.
    /// `None` where one of them says that no other is to be tried.
    async fn hedged(&mut self, first: Begun<'a>, at: Instant) -> Option<Ended> {
        let (of_first, began) = (first.candidate, first.attempt.started());
        let mut first = pin!(first.outcome());
        if let Ok(ended) = timeout_at(at, &mut first).await {
            return Some(ended);
        }
        self.hedged = true;
        let Some(second) = self.another() else { return Some(first.await) };
        let (of_second, began_second) = (second.candidate, second.attempt.started());
        let second = pin!(second.outcome());
        let (ended, other, (candidate, since)) = match select(first, second).await {
            Either::Left((ended, second)) => (ended, Either::Right(second), (of_second, began_second)),
            Either::Right((ended, first)) => (ended, Either::Left(first), (of_first, began)),
        };
        let lost = |run: &mut Self| run.note(candidate, since.elapsed().as_millis() as u64, None, Some(LOST));
        let ended = match ended.outcome {
            Ok(_) => {
                lost(self);
                ended
            }
            Err(error) => {
                if !self.failed(ended.candidate, ended.ms, ended.named, error) {
                    lost(self);
                    return None;
                }
                match other {
                    Either::Left(first) => first.await,
                    Either::Right(second) => second.await,
                }
            }
        };
        observe::hedged(ended.candidate == of_second);
        Some(ended)
    }

    /// Notes one attempt for the ledger and the logs.
    fn note(&mut self, candidate: usize, ms: u64, named: Option<String>, error: Option<&'static str>) {
        let deployment = place_of(self.work, candidate).backend.id().to_string();
        self.tried.push(Tried { deployment, ms, error, host_request: named });
    }

    /// Notes an attempt that answers.
    fn answers(&mut self, candidate: usize, ms: u64, named: Option<String>, ready: Ready) -> Committed {
        self.note(candidate, ms, named, None);
        let Ready { head, rest, attempt, first_token, deadline, idle } = ready;
        let backend = Arc::clone(&place_of(self.work, candidate).backend);
        Committed { candidate, head, rest, attempt, first_token, deadline, idle, backend }
    }

    /// Notes an attempt that failed, and says whether there may be another.
    fn failed(&mut self, candidate: usize, ms: u64, named: Option<String>, error: BackendError) -> bool {
        self.note(candidate, ms, named, Some(error.code()));
        let place = place_of(self.work, candidate);
        let (id, request) = (place.backend.id(), &self.work.request.id);
        observe::attempt_failed(id.as_str(), error.code());
        if error.fault() == Fault::Caller {
            tracing::debug!(request, deployment = %id, error = chain(&error), "attempt refused");
        } else {
            tracing::warn!(request, deployment = %id, error = chain(&error), "attempt failed");
        }
        if matches!(error, BackendError::Unsupported { .. }) && !place.local {
            self.sent -= 1;
        }
        let go_on = self.order.failed(candidate, failure_class(&error)) && error.try_next();
        self.again.failed(candidate, &error, Instant::now());
        if matches!(
            error.class(),
            Class::Connect | Class::Timeout | Class::ServerError | Class::BadStream | Class::Auth
        ) {
            self.failed_sites.push(&place.site);
        }
        if self.told.as_ref().is_none_or(|told| told.fault() != Fault::Caller) {
            self.told = Some(error);
        }
        go_on
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
