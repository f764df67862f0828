//! How much a team may ask of this gateway: requests a minute, and how many run at a time.
//!
//! Requests fill a bucket that empties evenly (GCRA, by `governor`): a team that was silent for a minute may send a minute's
//! worth at once, and then one each time that one has drained. What runs is counted from here to the last byte of the answer.
//! A request that is refused counts in neither, and no model, host or ledger hears of it. Each gateway counts for itself.
//!
//! Checked before a body is decoded: two atomic operations where a team has limits, none where it has not. Knows nothing of
//! tokens, money or models.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::{TeamLimits, Teams},
    respond::error::ApiError,
    wire::ClientApi,
};

type Rate = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// What is left to each team that has limits.
#[derive(Debug, Default)]
pub struct Quotas(HashMap<String, Arc<TeamQuota>>);

#[derive(Debug)]
struct TeamQuota {
    limits: TeamLimits,
    rate: Option<(NonZeroU32, Rate)>,
    running: Option<Arc<Semaphore>>,
}

/// A request that was let in. Kept until its answer ends.
#[derive(Debug, Default)]
pub struct Pass {
    /// Of the requests a minute: how many there are, and how many are left.
    requests: Option<(u32, u32)>,
    _running: Option<OwnedSemaphorePermit>,
}

impl Quotas {
    /// Those of a configuration. A team whose limits did not change keeps what it has left, and what runs counts on.
    pub fn new(teams: &Teams, previous: Option<&Self>) -> Self {
        let quota = |(name, limits): (&String, TeamLimits)| {
            let kept = previous.and_then(|previous| previous.0.get(name)).filter(|kept| kept.limits == limits);
            (name.clone(), kept.map_or_else(|| Arc::new(TeamQuota::new(limits)), Arc::clone))
        };
        let limited = |(name, team): (_, &crate::config::Team)| {
            (team.limits != TeamLimits::default()).then_some((name, team.limits))
        };
        Self(teams.iter().filter_map(limited).map(quota).collect())
    }

    /// Lets a request of a team in.
    ///
    /// # Errors
    /// A 429 with the time to wait, when the team has used up what it may.
    pub fn enter(&self, team: Option<&str>) -> Result<Pass, ApiError> {
        let Some(quota) = team.and_then(|team| self.0.get(team)) else { return Ok(Pass::default()) };
        quota.enter(team.unwrap_or_default())
    }
}

impl TeamQuota {
    fn new(limits: TeamLimits) -> Self {
        let rate = limits.requests_per_minute.map(|most| {
            (most, RateLimiter::direct(Quota::per_minute(most)).with_middleware::<StateInformationMiddleware>())
        });
        let running = limits.concurrent.map(|most| Arc::new(Semaphore::new(most.get() as usize)));
        Self { limits, rate, running }
    }

    fn enter(&self, team: &str) -> Result<Pass, ApiError> {
        // First, as a place that is not used is given back, and a request that is counted is not.
        let running = match &self.running {
            Some(running) => {
                let most = self.limits.concurrent.map_or(0, NonZeroU32::get);
                let full = || format!("{most} requests of team `{team}` run, and it may have no more at a time");
                Some(Arc::clone(running).try_acquire_owned().map_err(|_| ApiError::limited(full(), SOON))?)
            }
            None => None,
        };
        let requests = match &self.rate {
            Some((most, rate)) => {
                let state = rate.check().map_err(|until| {
                    let wait = until.wait_time_from(DefaultClock::default().now());
                    ApiError::limited(format!("team `{team}` may send {most} requests a minute"), wait)
                })?;
                Some((most.get(), state.remaining_burst_capacity()))
            }
            None => None,
        };
        Ok(Pass { requests, _running: running })
    }
}

/// When somebody may come back where all places are taken: when one is free nobody knows.
const SOON: Duration = Duration::from_secs(1);

impl Pass {
    /// Says how many requests are left, by the names that clients of the API look for.
    pub fn tell(&self, api: ClientApi, headers: &mut HeaderMap) {
        let Some((most, left)) = self.requests else { return };
        let full_in = Duration::from_secs(60).mul_f64(f64::from(most.saturating_sub(left)) / f64::from(most));
        let (names, reset) = match api {
            ClientApi::Messages => {
                (ANTHROPIC, humantime::format_rfc3339_seconds(SystemTime::now() + full_in).to_string())
            }
            _ => (OPENAI, format!("{:.3}s", full_in.as_secs_f64())),
        };
        for (name, value) in names.into_iter().zip([most.to_string(), left.to_string(), reset]) {
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
        }
    }
}

const OPENAI: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const ANTHROPIC: [HeaderName; 3] = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
