//! What a request has taken of its quotas, from when it comes to when its answer ends.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use backends::{Request, Usage};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    book::{Aside, Book, Refused},
    bucket::Short,
    meters::{Meters, TYPICAL, nano_usd},
    nanos_now,
    places::Places,
    rate::Rate,
    unix_now,
};
use crate::{respond::error::ApiError, wire::ClientApi};

/// When somebody may come back where all places are taken: when one is free nobody knows.
const SOON: Duration = Duration::from_secs(1);
/// How long a request waits for the file of what was spent.
const WRITTEN: Duration = Duration::from_secs(5);

/// The tokens of a request: of prompt and answer, of the prompt, of the answer.
type Tokens = [u64; 3];

/// What a request may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foreseen {
    prompt: u64,
    /// `None` where the caller sets no bound.
    answer: Option<u64>,
    answers: u64,
    /// What the answer is taken to have.
    expected: u64,
}

/// A request that was let in. Kept until its answer ends; what it took and did not use is given back with it.
#[derive(Debug, Default)]
pub struct Pass {
    pub(super) held: Vec<Held>,
    pub(super) foreseen: Foreseen,
    /// Whether it counts as a request: it does unless a quota refuses it.
    counts: bool,
    settled: bool,
}

/// What it has taken of one quota.
#[derive(Debug)]
pub(super) struct Held {
    meters: Arc<Meters>,
    /// Of that model alone.
    model: Option<Box<str>>,
    request: bool,
    tokens: Tokens,
    aside: Vec<Option<Aside>>,
    _running: Option<OwnedSemaphorePermit>,
}

impl Foreseen {
    /// What a request may take whose prompts have about so many tokens.
    pub fn of(request: &Request, prompt: u64) -> Self {
        let answers = (request.answers() as u64).max(request.best_of.map_or(1, u64::from));
        let answer = if request.api.generates() { request.max_tokens.map(u64::from) } else { Some(0) };
        Self { prompt, answer, answers, expected: 0 }
    }

    fn tokens(&self, typical: u64) -> Tokens {
        let answer = self.answer.unwrap_or(typical).saturating_mul(self.answers);
        [self.prompt.saturating_add(answer), self.prompt, answer]
    }

    /// As the usage of a request that takes all of it.
    pub(super) fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.prompt, completion_tokens: self.expected, ..Usage::default() }
    }
}

impl Pass {
    pub(super) fn hold(&mut self, held: Held) -> &mut Held {
        self.held.push(held);
        self.held.last_mut().expect("it was pushed")
    }

    /// Takes the tokens that a request may need.
    ///
    /// # Errors
    /// A 429 with the time to wait.
    pub fn foresee(&mut self, foreseen: Foreseen) -> Result<(), ApiError> {
        self.foreseen = foreseen;
        let typical = self.held.iter().map(|held| held.meters.typical()).max();
        self.foreseen.expected = foreseen.tokens(typical.unwrap_or(TYPICAL))[2];
        self.held.iter_mut().try_for_each(|held| held.foresee(&foreseen))?;
        self.counts = true;
        Ok(())
    }

    /// A quota refused it after all: it does not count.
    pub fn refused(&mut self) {
        self.counts = false;
    }

    /// Whether it has a budget.
    pub(super) fn spends(&self) -> bool {
        self.held.iter().any(|held| !held.meters.money.is_empty())
    }

    /// Places among those that wait for a deployment, of every quota that bounds them; `None` where one has none left.
    pub fn queue(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let queued = self.held.iter().filter_map(|held| held.meters.queued.as_ref());
        queued.map(Places::take).collect()
    }

    /// The answer ended: what it took, what it cost where that is known, and the model that gave it, if one did.
    pub fn settle(&mut self, usage: Option<&Usage>, usd: Option<f64>, model: Option<&str>) {
        self.settled = true;
        let (now, today) = (nanos_now(), unix_now());
        for held in &mut self.held {
            let serves = held.model.is_none() || held.model.as_deref() == model;
            let used = usage.filter(|_| serves).map_or([0; 3], |usage| {
                let (prompt, answer) = (usage.prompt_tokens, usage.completion_tokens);
                [prompt.saturating_add(answer), prompt, answer]
            });
            if let Some(usage) = usage.filter(|_| serves) {
                held.meters.answered(usage.completion_tokens / self.foreseen.answers.max(1));
            }
            held.settle_tokens(used, now);
            held.settle_money(usd.filter(|_| serves).unwrap_or(0.0), today);
        }
    }

    /// An error that says what is left too: a refusal above all.
    pub fn told(&self, api: ClientApi, error: ApiError) -> ApiError {
        let mut left = HeaderMap::new();
        self.tell(api, &mut left);
        ApiError { headers: Some(Box::new(left)), ..error }
    }

    /// Says what is left of the tightest quota, by the names that clients of the API look for.
    pub fn tell(&self, api: ClientApi, headers: &mut HeaderMap) {
        let anthropic = api == ClientApi::Messages;
        let requests = self.held.iter().filter_map(|held| held.meters.requests.as_ref());
        tell(headers, requests, if anthropic { &ANTHROPIC[0] } else { &OPENAI[0] }, anthropic);
        // The API of OpenAI has one name for all tokens.
        let of = |kind: usize| self.held.iter().filter_map(move |held| held.meters.tokens[kind].as_ref());
        if anthropic {
            (0..3).for_each(|kind| tell(headers, of(kind), &ANTHROPIC[kind + 1], true));
        } else {
            tell(headers, (0..3).flat_map(of), &OPENAI[1], false);
        }
    }
}

impl Drop for Pass {
    /// Nothing was served.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        for held in &mut self.held {
            if self.counts {
                held.give_back();
            } else {
                held.give_back_all();
            }
        }
    }
}

impl Held {
    pub(super) fn new(meters: Arc<Meters>, model: Option<Box<str>>) -> Self {
        Self { meters, model, request: false, tokens: [0; 3], aside: Vec::new(), _running: None }
    }

    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Takes a place and a request.
    pub(super) fn enter(&mut self) -> Result<(), ApiError> {
        let meters = &self.meters;
        if let Some(running) = &meters.running {
            let full = || {
                let most = running.most();
                let (requests, run) = if most == 1 { ("request", "runs") } else { ("requests", "run") };
                let full = format!("{most} {requests} of {} {run}, and no more may at a time", meters.whose());
                ApiError::limited(full, SOON)
            };
            let place = running.take();
            meters.taken();
            self._running = Some(place.ok_or_else(full)?);
        }
        if let Some(requests) = &meters.requests {
            requests.take(1, nanos_now()).map_err(|short| self.short(short, requests, 1, "requests"))?;
            self.request = true;
            meters.taken();
        }
        Ok(())
    }

    /// Takes tokens.
    fn foresee(&mut self, foreseen: &Foreseen) -> Result<(), ApiError> {
        let wanted = foreseen.tokens(self.meters.typical());
        let meters = Arc::clone(&self.meters);
        for (kind, what) in ["tokens", "tokens of prompts", "tokens of answers"].into_iter().enumerate() {
            let Some(bucket) = &meters.tokens[kind] else { continue };
            let taken = bucket.take(wanted[kind], nanos_now());
            taken.map_err(|short| self.short(short, bucket, wanted[kind], what))?;
            self.tokens[kind] = wanted[kind];
        }
        meters.taken();
        Ok(())
    }

    /// Takes a place, a request and tokens.
    pub(super) fn take_all(&mut self, foreseen: &Foreseen) -> Result<(), ApiError> {
        self.enter()?;
        self.foresee(foreseen)
    }

    /// Sets aside what it may cost.
    pub(super) async fn set_aside(&mut self, usd: f64, book: &Book) -> Result<(), ApiError> {
        let meters = Arc::clone(&self.meters);
        for money in &meters.money {
            let taken = loop {
                // Before it is tried, so that no writing is missed.
                let written = book.written();
                let now = unix_now();
                match money.account.set_aside(nano_usd(usd), money.most, money.warn, now) {
                    Ok(taken) => break taken,
                    Err(Refused::Spent { ends }) => {
                        if let Some(crossed) = money.account.stopped() {
                            meters.tell(money, crossed, now);
                        }
                        return Err(spent(&meters, money.budget.usd, money.budget.every.as_str(), ends));
                    }
                    Err(Refused::NotWritten) => {
                        book.wake();
                        if timeout(WRITTEN, written).await.is_err() {
                            return Err(ApiError::unavailable(
                                "budget_unavailable",
                                format!(
                                    "what {} has spent cannot be recorded, so the request is not served",
                                    meters.whose()
                                ),
                            )
                            .hint("the operator has to look at the disk of the data folder"));
                        }
                    }
                }
            };
            if let Some(crossed) = taken.crossed {
                meters.tell(money, crossed, unix_now());
            }
            if taken.wake {
                book.wake();
            }
            self.aside.push(Some(taken.aside));
        }
        Ok(())
    }

    fn settle_tokens(&mut self, used: Tokens, now: super::Nanos) {
        for (kind, bucket) in self.meters.tokens.iter().enumerate() {
            if let Some(bucket) = bucket {
                bucket.settle(std::mem::take(&mut self.tokens[kind]), used[kind], now);
            }
        }
    }

    fn settle_money(&mut self, usd: f64, now: i64) {
        for (money, aside) in self.meters.money.iter().zip(&mut self.aside) {
            let Some(aside) = aside.take() else { continue };
            if let Some(crossed) = money.account.settle(aside, nano_usd(usd), money.warn, now) {
                self.meters.tell(money, crossed, now);
            }
        }
    }

    /// Gives everything back but the request itself, which came.
    fn give_back(&mut self) {
        self.settle_tokens([0; 3], nanos_now());
        self.settle_money(0.0, unix_now());
    }

    /// Gives everything back.
    pub(super) fn give_back_all(&mut self) {
        self.give_back();
        if let Some(requests) = self.meters.requests.as_ref().filter(|_| std::mem::take(&mut self.request)) {
            requests.settle(1, 0, nanos_now());
        }
    }

    /// The refusal of a rate.
    fn short(&self, short: Short, rate: &Rate, wanted: u64, what: &str) -> ApiError {
        let (whose, most) = (self.meters.whose(), rate.most());
        match short {
            Short::For(wait) => ApiError::limited(format!("{whose} may send {most} {what} a minute"), wait),
            Short::Always => {
                let message = format!("the request may take {wanted} {what}, and {whose} may send {most} a minute");
                ApiError { should_retry: Some(false), retry_after: None, ..ApiError::limited(message, SOON) }
                    .hint("shorten the prompt, ask for fewer `max_tokens`, or ask your platform team for more")
            }
        }
    }
}

/// The refusal of a budget.
fn spent(meters: &Meters, usd: f64, every: &str, ends: i64) -> ApiError {
    let again = SystemTime::UNIX_EPOCH + Duration::from_secs(ends.try_into().unwrap_or(0));
    // What no four-digit year reaches cannot be written.
    let until = match ends < i64::from(u32::MAX) {
        true => format!("; it begins anew at {}", humantime::format_rfc3339_seconds(again)),
        false => String::new(),
    };
    ApiError::out_of_budget(format!("{} has spent what it may of {usd} USD a {every}{until}", meters.whose()))
}

/// Tells the tightest of some rates.
fn tell<'a>(headers: &mut HeaderMap, rates: impl Iterator<Item = &'a Rate>, names: &[HeaderName; 3], anthropic: bool) {
    let now = nanos_now();
    let share = |rate: &Rate| rate.left(now) as f64 / rate.most() as f64;
    let Some(tightest) = rates.min_by(|one, other| share(one).total_cmp(&share(other))) else { return };
    let empty_in = tightest.empty_in(now);
    let reset = match anthropic {
        true => humantime::format_rfc3339_seconds(SystemTime::now() + empty_in).to_string(),
        false => format!("{:.3}s", empty_in.as_secs_f64()),
    };
    for (name, value) in names.iter().zip([tightest.most().to_string(), tightest.left(now).to_string(), reset]) {
        headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name.clone(), value)));
    }
}

/// Of requests, of tokens.
static OPENAI: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];
/// Of requests, of all tokens, of those of prompts, of those of answers.
static ANTHROPIC: [[HeaderName; 3]; 4] = [
    [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-input-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-input-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-input-tokens-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-output-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-output-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-output-tokens-reset"),
    ],
];
