//! What a host says in its response headers of the limits on our requests, kept until it no longer holds.
//!
//! Which headers these are is data ([`catalog::RateLimit`]); this module reads the numbers, and knows neither hosts nor
//! requests. A host at its limit is not unwell: [`Quota`] tells for how long it takes nothing more, and health is told
//! elsewhere. Where several limits hold, the tightest counts.
//!
//! - A limit that comes back at once is closed until its reset; one that refills is closed until there is room for one
//!   more, as it fills evenly from nothing until its reset.
//! - A limit without a reset is believed for [`FRESH`], and closes nothing: nobody knows until when.
//! - `retry-after` closes the host whatever its limits say.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use catalog::{Limited, RateLimit, Refill};
use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

use crate::moment;

/// How long a limit without a reset is believed; common windows are of a minute.
const FRESH: Duration = Duration::from_secs(60);

/// The limits of OpenAI and Anthropic, whose headers other servers and gateways copy or pass on.
/// Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits.
const USUAL: [(Limited, [&str; 3]); 6] = [
    (Limited::Requests, ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]),
    (Limited::Tokens, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
    (
        Limited::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        Limited::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Limited::Tokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Limited::Tokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

/// The limits that a place without a row in the catalog may tell.
pub(crate) fn usual() -> Vec<RateLimit> {
    let row = |&(of, [limit, remaining, reset]): &(Limited, [&str; 3])| RateLimit {
        of,
        refills: Refill::Gradually,
        limit: Some(limit.into()),
        remaining: remaining.into(),
        reset: Some(reset.into()),
    };
    USUAL.iter().map(row).collect()
}

/// The limits of one deployment.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Vec<Names>,
    /// Whether anything was ever said, so that a host that says nothing costs nothing.
    heard: AtomicBool,
    said: Mutex<Said>,
}

/// The headers of one limit.
#[derive(Debug)]
struct Names {
    refills: Refill,
    limit: Option<HeaderName>,
    remaining: HeaderName,
    reset: Option<HeaderName>,
}

#[derive(Debug, Default)]
struct Said {
    /// The end of the last `retry-after`.
    pause: Option<Instant>,
    /// For each of the limits.
    left: Vec<Option<Left>>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// The share, 0 to 1, where it can be told.
    share: Option<f32>,
    /// Nothing passes until then.
    closed: Option<Instant>,
    /// Says nothing any more from then on.
    ends: Instant,
}

/// What holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// Nothing passes for so long.
    pub(crate) closed: Option<Duration>,
    /// What is left of the tightest limit, 0 to 1.
    pub(crate) left: Option<f32>,
}

impl Quota {
    /// For limits with these headers. A name that no header can have is never met.
    pub(crate) fn new(limits: &[RateLimit]) -> Self {
        let name = |text: &Option<String>| HeaderName::from_bytes(text.as_ref()?.as_bytes()).ok();
        let names = |limit: &RateLimit| {
            Some(Names {
                refills: limit.refills,
                limit: name(&limit.limit),
                remaining: name(&Some(limit.remaining.clone()))?,
                reset: name(&limit.reset),
            })
        };
        let limits: Vec<_> = limits.iter().filter_map(names).collect();
        let said = Said { pause: None, left: vec![None; limits.len()] };
        Self { limits, heard: AtomicBool::new(false), said: Mutex::new(said) }
    }

    /// Takes what the headers of a response say.
    pub(crate) fn take(&self, headers: &HeaderMap) {
        for (at, names) in self.limits.iter().enumerate() {
            if let Some(left) = names.read(headers, SystemTime::now(), Instant::now()) {
                self.said.lock().unwrap_or_else(PoisonError::into_inner).left[at] = Some(left);
                self.heard.store(true, Relaxed);
            }
        }
    }

    /// Takes nothing more for so long, as `retry-after` said. A shorter pause does not end a longer one.
    pub(crate) fn pause(&self, wait: Duration) {
        let end = Instant::now() + wait;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.pause = said.pause.max(Some(end));
        self.heard.store(true, Relaxed);
    }

    /// What holds now.
    pub(crate) fn standing(&self) -> Standing {
        if !self.heard.load(Relaxed) {
            return Standing::default();
        }
        let now = Instant::now();
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let holding = || said.left.iter().flatten().filter(|left| left.ends > now);
        let closed = holding().filter_map(|left| left.closed).chain(said.pause).max().filter(|end| *end > now);
        Standing {
            closed: closed.map(|end| end - now),
            left: holding().filter_map(|left| left.share).min_by(f32::total_cmp),
        }
    }
}

impl Names {
    fn read(&self, headers: &HeaderMap, now: SystemTime, here: Instant) -> Option<Left> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let number = |name: &HeaderName| {
            text(name)?.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
        };
        let remaining = number(&self.remaining)?;
        let limit = self.limit.as_ref().and_then(number).filter(|limit| *limit > 0.0);
        let reset = self.reset.as_ref().and_then(|name| moment::until(text(name)?, now));
        let room = match self.refills {
            Refill::AtOnce => reset,
            Refill::Gradually => reset.zip(limit).map(|(reset, limit)| reset.div_f64(limit.max(1.0))),
        };
        let share = match limit {
            Some(limit) => Some((remaining / limit).min(1.0) as f32),
            None if remaining < 1.0 => Some(0.0),
            None => None,
        };
        Some(Left {
            share,
            closed: room.filter(|_| remaining < 1.0).map(|room| here + room),
            ends: here + reset.unwrap_or(FRESH),
        })
    }
}

#[cfg(test)]
mod tests;
